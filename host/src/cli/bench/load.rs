//! A cheap load generator: whole HTTP requests made beforehand, kept-alive connections, one thread of its own. It knows
//! just enough HTTP to see that an answer is a 200 without a body.

use crate::domain::Clock;
use anyhow::{Context as _, bail};
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

/// Whole requests, in the order they are sent.
pub(super) type Requests = Arc<Vec<Vec<u8>>>;

/// Machine time a connection waits for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// What a load came to.
pub(super) struct Answered {
    /// Requests that were answered 200; all of them.
    pub(super) requests: usize,
    /// From the first request to the last answer.
    pub(super) took: Duration,
    /// How long each answer took, sorted.
    pub(super) times: Vec<Duration>,
}

/// How a load is put on.
#[derive(Clone, Copy)]
pub(super) struct Load {
    /// Where to.
    pub(super) to: SocketAddr,
    /// Connections; each has one request under way at a time.
    pub(super) connections: usize,
    /// Requests a second, evenly spread; as many as are answered where not given.
    pub(super) rate: Option<f64>,
}

impl Load {
    /// Sends all requests, each once, from a thread of its own.
    pub(super) async fn send(self, requests: Requests) -> anyhow::Result<Answered> {
        let (sender, answer) = tokio::sync::oneshot::channel();
        std::thread::Builder::new().name("load".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let done = match runtime {
                Ok(runtime) => runtime.block_on(LocalSet::new().run_until(self.run(requests))),
                Err(error) => Err(error.into()),
            };
            // Nobody waits any more where the command was ended.
            drop(sender.send(done));
        })?;
        answer.await.context("the load generator ended without a result")?
    }

    async fn run(self, requests: Requests) -> anyhow::Result<Answered> {
        let clock = Clock::system();
        let mut streams = Vec::with_capacity(self.connections);
        for _ in 0..self.connections {
            let stream = TcpStream::connect(self.to).await.context("the server does not accept")?;
            stream.set_nodelay(true)?;
            streams.push(stream);
        }
        let began = clock.machine_now();
        let next = Rc::new(Cell::new(0));
        let tasks: Vec<_> = streams
            .into_iter()
            .map(|stream| {
                let sending = Sending {
                    stream,
                    clock: clock.clone(),
                    requests: Arc::clone(&requests),
                    next: Rc::clone(&next),
                    began,
                    rate: self.rate,
                };
                tokio::task::spawn_local(sending.send_all())
            })
            .collect();
        let mut times = Vec::with_capacity(requests.len());
        for task in tasks {
            times.extend(task.await??);
        }
        let took = began.elapsed();
        times.sort_unstable();
        Ok(Answered { requests: times.len(), took, times })
    }
}

/// One connection's part.
struct Sending {
    stream: TcpStream,
    clock: Clock,
    requests: Requests,
    next: Rc<Cell<usize>>,
    began: Instant,
    rate: Option<f64>,
}

impl Sending {
    async fn send_all(mut self) -> anyhow::Result<Vec<Duration>> {
        let mut times = Vec::new();
        let mut idle_since = self.began;
        loop {
            let place = self.next.get();
            self.next.set(place + 1);
            let requests = Arc::clone(&self.requests);
            let Some(request) = requests.get(place) else { return Ok(times) };
            let due = match self.rate {
                None => idle_since,
                Some(rate) => self.due(place, rate).await,
            };
            // A connection that was busy when its request came due has let it wait, and that counts. The timer's own
            // lateness does not: it is the generator's, not the server's.
            let from = if due < idle_since { due } else { self.clock.machine_now() };
            self.stream.write_all(request).await?;
            let answered = self.clock.within(ANSWER_WITHIN, read_answer(&mut self.stream)).await;
            answered.context("an answer did not come within 30 seconds")??;
            idle_since = self.clock.machine_now();
            times.push(idle_since.duration_since(from));
        }
    }

    /// Waits until the request at that place comes due.
    async fn due(&self, place: usize, rate: f64) -> Instant {
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        let due = self.began + Duration::from_secs_f64(f64::from(place) / rate);
        let now = self.clock.machine_now();
        if due > now {
            self.clock.machine_sleep(due.duration_since(now)).await;
        }
        due
    }
}

/// Reads one answer; anything but a 200 without a body is an error.
async fn read_answer(stream: &mut TcpStream) -> anyhow::Result<()> {
    let mut buffer = [0_u8; 2048];
    let mut filled = 0;
    loop {
        let free = buffer.get_mut(filled..).unwrap_or_default();
        let read = stream.read(free).await?;
        filled += read;
        let text = buffer.get(..filled).unwrap_or_default();
        if text.ends_with(b"\r\n\r\n") && text.starts_with(b"HTTP/1.1 200") {
            return Ok(());
        }
        if read == 0 || filled == buffer.len() || (filled > 12 && !text.starts_with(b"HTTP/1.1 200")) {
            let text = String::from_utf8_lossy(text).into_owned();
            bail!("the server did not answer 200 but: {}", text.lines().next().unwrap_or("nothing"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn server(answer: &'static [u8]) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut buffer = [0_u8; 64];
                    while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                        stream.write_all(answer).await.unwrap();
                    }
                });
            }
        });
        address
    }

    #[tokio::test]
    async fn every_request_is_sent_once_and_timed() {
        let to = server(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let requests: Requests = Arc::new(vec![b"x".to_vec(); 50]);
        let load = Load { to, connections: 4, rate: None };
        let answered = load.send(Arc::clone(&requests)).await.unwrap();
        assert_eq!((answered.requests, answered.times.len()), (50, 50));
        let paced = Load { rate: Some(500.0), ..load }.send(requests).await.unwrap();
        assert!(paced.took >= Duration::from_millis(90), "{:?}", paced.took);
    }

    #[tokio::test]
    async fn an_answer_that_is_no_200_ends_the_load_with_its_status() {
        let to = server(b"HTTP/1.1 429 Too Many Requests\r\n\r\n").await;
        let load = Load { to, connections: 1, rate: None };
        let error = load.send(Arc::new(vec![b"x".to_vec()])).await.err().unwrap().to_string();
        assert!(error.contains("429"), "{error}");
    }
}
