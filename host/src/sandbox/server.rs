//! The sandbox's listener: GHL's endpoints and its own controls.

use super::state::State;
use super::{contacts, control, delivery};
use crate::domain::Clock;
use crate::outbound::Client;
use axum::Router;
use axum::routing::{get, post, put};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Messages that may wait to be sent; beyond it the sandbox says so and gives one up.
const QUEUE: usize = 100_000;

/// How the sandbox runs.
#[derive(Clone, Debug)]
pub struct SandboxSettings {
    /// Address and port; port 0 takes a free one.
    pub listen: String,
    /// The folder of its journal and keys.
    pub folder: PathBuf,
}

/// A bound sandbox.
pub struct Sandbox {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
}

impl Sandbox {
    /// Opens the journal, binds the address and starts sending.
    ///
    /// # Errors
    /// When the folder or the address can't be had.
    pub async fn bind(settings: &SandboxSettings, clock: Clock, client: Client) -> std::io::Result<Self> {
        let (outgoing, messages) = mpsc::channel(QUEUE);
        let state = Arc::new(State::open(&settings.folder, clock, outgoing)?);
        tokio::spawn(delivery::send_all(Arc::clone(&state), client, messages));
        let listener = TcpListener::bind(&settings.listen).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, router: router(state) })
    }

    /// Where it really listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`.
    ///
    /// # Errors
    /// When the listener breaks.
    pub async fn serve(self, stop: CancellationToken) -> std::io::Result<()> {
        axum::serve(self.listener, self.router)
            .with_graceful_shutdown(async move { stop.cancelled().await })
            .await
    }
}

fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/contacts/", post(contacts::create))
        .route("/contacts/{id}", get(contacts::get).put(contacts::update).delete(contacts::delete))
        .route("/_sandbox/keys", get(control::keys))
        .route("/_sandbox/apps", post(control::register))
        .route("/_sandbox/tokens", post(control::token))
        .route("/_sandbox/contacts", post(control::create))
        .route("/_sandbox/contacts/{id}", put(control::update).delete(control::delete))
        .route("/_sandbox/faults", put(control::faults))
        .route("/_sandbox/pending", get(control::pending))
        .with_state(state)
}
