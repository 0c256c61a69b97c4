//! One pooled client: a request in, a whole reply or a typed failure out.

use std::time::Duration;

/// How the client behaves, the same for all its requests.
#[derive(Clone, Copy, Debug)]
pub struct ClientSettings {
    /// Machine time for connecting.
    pub connect_timeout: Duration,
    /// Machine time for the whole exchange.
    pub request_timeout: Duration,
    /// Largest reply body that is read, in bytes; a longer one is a failure.
    pub max_reply_bytes: usize,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            max_reply_bytes: 16 * 1024 * 1024,
        }
    }
}

/// A request to send.
#[derive(Clone, Debug)]
pub struct Request {
    /// GET, POST …
    pub method: reqwest::Method,
    /// The whole address, query included.
    pub url: String,
    /// Header names and values.
    pub headers: Vec<(String, String)>,
    /// The body's bytes, if there is one.
    pub body: Option<Vec<u8>>,
}

/// A whole reply.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Header names (lower case) and values; values that are not text are left out.
    pub headers: Vec<(String, String)>,
    /// The body's bytes.
    pub body: Vec<u8>,
}

impl Reply {
    /// The first header of that lower-case name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Why there is no reply; the variant tells whether the request may have been carried out.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// Nothing was sent: no such host, refused, or a bad address.
    #[error("could not connect")]
    NotSent(#[source] reqwest::Error),
    /// The request may have arrived; its answer didn't.
    #[error("no answer")]
    NoAnswer(#[source] reqwest::Error),
    /// The answer was longer than we read.
    #[error("the answer is longer than {limit_bytes} bytes")]
    TooLong {
        /// The cap it passed.
        limit_bytes: usize,
    },
}

/// A pooled HTTP client. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    inner: reqwest::Client,
    max_reply_bytes: usize,
}

impl Client {
    /// A client with these settings.
    ///
    /// # Errors
    /// When the TLS roots can't be loaded.
    #[expect(clippy::disallowed_methods, reason = "this file is where the HTTP client is made")]
    pub fn new(settings: ClientSettings) -> Result<Self, OutboundError> {
        let inner = reqwest::Client::builder()
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.request_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("mapwright/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(OutboundError::NotSent)?;
        Ok(Self { inner, max_reply_bytes: settings.max_reply_bytes })
    }

    /// Sends once and reads the whole reply. Every status is a reply.
    ///
    /// # Errors
    /// When there is no whole reply; see [`OutboundError`].
    pub async fn send(&self, request: Request) -> Result<Reply, OutboundError> {
        let mut builder = self.inner.request(request.method, &request.url);
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        if let Some(body) = request.body {
            builder = builder.body(body);
        }
        let mut response = builder.send().await.map_err(|error| {
            if error.is_connect() || error.is_builder() {
                OutboundError::NotSent(error)
            } else {
                OutboundError::NoAnswer(error)
            }
        })?;
        let status = response.status().as_u16();
        let headers = response
            .headers()
            .iter()
            .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
            .collect();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(OutboundError::NoAnswer)? {
            if body.len() + chunk.len() > self.max_reply_bytes {
                return Err(OutboundError::TooLong { limit_bytes: self.max_reply_bytes });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { status, headers, body })
    }
}
