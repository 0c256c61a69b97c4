//! JSON over HTTP for the demo and its checker; they reach host and sandbox as anyone would.

use crate::outbound::{Client, ClientSettings, Method, Request};
use anyhow::{Context as _, bail};
use serde_json::Value;

/// A page as a person gets it.
pub(super) struct Page {
    pub(super) status: u16,
    /// Where it leads on to.
    pub(super) location: Option<String>,
    pub(super) page: String,
}

/// A JSON client.
pub(super) struct Http(Client);

impl Http {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self(Client::new(ClientSettings::default())?))
    }

    pub(super) async fn get(&self, url: &str, key: Option<&str>) -> anyhow::Result<Value> {
        self.send(Method::GET, url, key, None).await
    }

    /// What is there; none where it answers 404.
    pub(super) async fn find(&self, url: &str, key: &str) -> anyhow::Result<Option<Value>> {
        let request = Request {
            method: Method::GET,
            url: url.to_owned(),
            headers: key_headers(Some(key), &[]),
            body: None,
        };
        let reply = self.0.send(request).await.with_context(|| format!("GET {url}"))?;
        match reply.status {
            200..300 => Ok(Some(serde_json::from_slice(&reply.body)?)),
            404 => Ok(None),
            status => bail!("GET {url} answered {status}: {}", String::from_utf8_lossy(&reply.body)),
        }
    }

    pub(super) async fn post(&self, url: &str, key: Option<&str>, body: &Value) -> anyhow::Result<Value> {
        self.send(Method::POST, url, key, Some(body)).await
    }

    pub(super) async fn put(&self, url: &str, key: Option<&str>, body: &Value) -> anyhow::Result<Value> {
        self.send(Method::PUT, url, key, Some(body)).await
    }

    pub(super) async fn delete(&self, url: &str, key: Option<&str>) -> anyhow::Result<Value> {
        self.send(Method::DELETE, url, key, None).await
    }

    /// Uploads a plugin's file.
    pub(super) async fn upload(&self, url: &str, key: &str, bytes: Vec<u8>) -> anyhow::Result<Value> {
        let headers = vec![
            ("content-type".to_owned(), "application/wasm".to_owned()),
            ("authorization".to_owned(), format!("Bearer {key}")),
        ];
        let request = Request { method: Method::POST, url: url.to_owned(), headers, body: Some(bytes) };
        let reply = self.0.send(request).await.with_context(|| format!("POST {url}"))?;
        if !(200..300).contains(&reply.status) {
            bail!("POST {url} answered {}: {}", reply.status, String::from_utf8_lossy(&reply.body));
        }
        Ok(serde_json::from_slice(&reply.body)?)
    }

    /// Opens a page as a browser does; where it leads on to is the caller's to open.
    pub(super) async fn follow(&self, url: &str) -> anyhow::Result<Page> {
        let request = Request { method: Method::GET, url: url.to_owned(), headers: Vec::new(), body: None };
        let reply = self.0.send(request).await.with_context(|| format!("GET {url}"))?;
        Ok(Page {
            status: reply.status,
            location: reply.header("location").map(str::to_owned),
            page: String::from_utf8_lossy(&reply.body).into_owned(),
        })
    }

    /// Tells the host of an event under an idempotency key.
    pub(super) async fn tell(&self, url: &str, key: &str, once: &str, body: &Value) -> anyhow::Result<Value> {
        self.exchange((Method::POST, url), key_headers(Some(key), &[("idempotency-key", once)]), Some(body))
            .await
    }

    async fn send(
        &self,
        method: Method,
        url: &str,
        key: Option<&str>,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        self.exchange((method, url), key_headers(key, &[]), body).await
    }

    async fn exchange(
        &self,
        (method, url): (Method, &str),
        headers: Vec<(String, String)>,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let body = body.map(|body| body.to_string().into_bytes());
        let request = Request { method: method.clone(), url: url.to_owned(), headers, body };
        let reply = self.0.send(request).await.with_context(|| format!("{method} {url}"))?;
        if !(200..300).contains(&reply.status) {
            bail!("{method} {url} answered {}: {}", reply.status, String::from_utf8_lossy(&reply.body));
        }
        if reply.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&reply.body).with_context(|| format!("{method} {url} answered no JSON"))
    }
}

/// The headers of every request; GHL wants its version named, the host does not mind.
fn key_headers(key: Option<&str>, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let mut headers = vec![owned(("content-type", "application/json")), owned(("version", "2021-07-28"))];
    headers.extend(more.iter().copied().map(owned));
    if let Some(key) = key {
        headers.push(("authorization".to_owned(), format!("Bearer {key}")));
    }
    headers
}
