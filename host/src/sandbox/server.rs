//! The sandbox's listener: GHL's endpoints and its own controls.

use super::state::State;
use super::{
    calendars, children, consent, contacts, control, delivery, install_control, keys, limits, oauth, search,
};
use crate::domain::Clock;
use crate::outbound::Client;
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post, put};
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
    let api = Router::new()
        .route("/contacts/", get(contacts::list).post(contacts::create))
        .route("/contacts/search", post(search::search))
        .route("/contacts/search/duplicate", get(contacts::duplicate))
        .route("/contacts/upsert", post(contacts::upsert))
        .route("/contacts/business/{business}", get(contacts::of_business))
        .route("/contacts/{id}", get(contacts::get).put(contacts::update).delete(contacts::delete))
        .route("/contacts/{id}/tags", post(contacts::add_tags).delete(contacts::remove_tags))
        .route(
            "/contacts/{id}/workflow/{workflow}",
            post(contacts::start_workflow).delete(contacts::stop_workflow),
        )
        .route("/contacts/{id}/tasks", get(children::tasks).post(children::create_task))
        .route(
            "/contacts/{id}/tasks/{task}",
            get(children::task).put(children::update_task).delete(children::delete_task),
        )
        .route("/contacts/{id}/tasks/{task}/completed", put(children::complete_task))
        .route("/contacts/{id}/notes", get(children::notes).post(children::create_note))
        .route(
            "/contacts/{id}/notes/{note}",
            get(children::note).put(children::update_note).delete(children::delete_note),
        )
        .route("/contacts/{id}/appointments", get(children::appointments))
        .route("/calendars/", get(calendars::list))
        .route("/calendars/events", get(calendars::events))
        .route("/calendars/events/{id}", delete(calendars::delete))
        .route("/calendars/events/appointments", post(children::create_appointment))
        .route(
            "/calendars/events/appointments/{id}",
            get(children::appointment).put(children::update_appointment),
        )
        .route("/locations/{location}/tasks/search", post(children::search_tasks))
        .route("/locations/{location}/customFields", get(children::custom_fields))
        .route_layer(from_fn_with_state(Arc::clone(&state), limits::guard));
    Router::new()
        .route("/_sandbox/keys", get(control::keys))
        .route("/_sandbox/apps", post(control::register))
        .route("/_sandbox/tokens", post(control::token))
        .route("/_sandbox/api-keys", post(keys::create))
        .route("/_sandbox/api-keys/{key}", put(keys::set_scopes).delete(keys::revoke))
        .route("/_sandbox/index", put(control::index))
        .route("/_sandbox/contacts/{id}/business", put(control::set_business))
        .route("/_sandbox/faults", put(control::faults))
        .route("/_sandbox/script", put(control::script))
        .route("/_sandbox/limits", put(control::limits))
        .route("/_sandbox/pending", get(control::pending))
        .route("/_sandbox/events", post(install_control::send_event))
        .route("/_sandbox/agencies", put(install_control::set_agency))
        .route("/_sandbox/locations/{id}", put(install_control::set_location))
        .route("/_sandbox/oauth/approval", put(install_control::approval))
        .route("/_sandbox/oauth/settings", put(install_control::settings))
        .route("/_sandbox/oauth/revoke", post(install_control::revoke))
        .route("/_sandbox/oauth/uninstall", post(install_control::uninstall))
        .route("/oauth/chooselocation", get(consent::choose))
        .route("/v2/oauth/chooselocation", get(consent::choose))
        .route("/oauth/token", post(oauth::token))
        .route("/oauth/locationToken", post(oauth::location_token))
        .route("/oauth/installedLocations", get(oauth::installed_locations))
        .route("/oauth/reconnect", post(oauth::reconnect))
        .merge(api)
        .with_state(state)
}
