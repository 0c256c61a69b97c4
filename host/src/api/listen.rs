//! The listener: connections in, each with a limit on how long a request's head may take, and an orderly end.

use super::envelope::Peer;
use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;

/// Accepts until `stop`, then closes the listener and finishes the requests under way.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    header_timeout: Duration,
    (clock, stop): (crate::domain::Clock, CancellationToken),
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(header_timeout);
    let connections = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => take(&http, &connections, &router, (stream, peer)),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                // Most likely too many open files; accepting at once again would only spin.
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "no connection can be accepted; trying again"
                );
                clock.machine_sleep(AFTER_FAILURE).await;
            }
        }
    }
    drop(listener);
    connections.shutdown().await;
}

/// Machine time after which accepting is tried again.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

fn take(
    http: &http1::Builder,
    connections: &GracefulShutdown,
    router: &Router,
    (stream, peer): (TcpStream, SocketAddr),
) {
    // An answer is not to wait for the other side to acknowledge the one before.
    let _as_good_without = stream.set_nodelay(true);
    let router = router.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        router.clone().call(request)
    });
    let connection = connections.watch(http.serve_connection(TokioIo::new(stream), service));
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = &error as &dyn std::error::Error, "a connection broke");
        }
    });
}

/// Whether the failure is that of a connection that went before it was accepted.
fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
