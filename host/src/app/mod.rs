//! The composition root: builds the rooms from the settings, starts them in order, stops them in the reverse.

mod deploy;
mod runner;

use crate::api::{ApiState, Door, HostKey};
use crate::config::Settings;
use crate::domain::{Clock, ClockRate, ConnectionId, TenantId};
use crate::effects::{Outbox, OutboxParts};
use crate::ghl::Ghl;
use crate::outbound::{Client, ClientSettings};
use crate::pipeline::{Pipeline, PipelineParts, WorkerSettings};
use crate::plugins::{Limits, Runtime, RuntimeSettings};
use crate::schedule::Timers;
use crate::store::{Store, StoreSettings, Synchronous};
use crate::telemetry;
use crate::tenants::{Assignments, BaseUrls, Credentials, DirectoryCell, apply_settings};
use crate::vault::Vault;
use crate::webhooks::{Ingest, RankrDoor};
use anyhow::Context as _;
use runner::Runner;
use secrecy::ExposeSecret as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A running host.
pub struct App {
    address: SocketAddr,
    store: Store,
    clock: Clock,
    pipeline: Arc<Pipeline>,
    outbox: Outbox,
    timers: Timers,
    drain: Duration,
    stop_door: CancellationToken,
    door: JoinHandle<std::io::Result<()>>,
}

impl App {
    /// Starts a host: database, tenants, plugins, pipeline, and the door last.
    ///
    /// # Errors
    /// What could not be started, and why.
    pub async fn start(settings: &Settings) -> anyhow::Result<Self> {
        telemetry::start_metrics();
        let clock = clock(settings);
        let store = Store::open(&store_settings(settings)).await?;
        apply_settings(&store, settings, clock.now()).await?;
        let directory = DirectoryCell::default();
        directory.refresh(&store).await?;
        let workers = workers(settings);
        let runtime = Runtime::new(
            RuntimeSettings { concurrent_runs: u32::try_from(workers).unwrap_or(64) },
            clock.clone(),
        )?;
        let limits = Limits {
            fuel: settings.plugins.fuel,
            memory_bytes: settings.plugins.memory_bytes,
            wall: Duration::from_secs(settings.plugins.wall_seconds),
            ..Limits::default()
        };
        let deployment =
            deploy::Deployment { store: &store, runtime: &runtime, limits: &limits, now: clock.now() };
        let deployed = deployment.folder(&settings.plugins.folder).await?;
        deployment.assign(settings, &deployed).await?;
        let assignments = Assignments::default();
        assignments.refresh(&store).await?;
        let ghl = ghl(settings, &store, &directory, &clock).await?;
        let ingest = Ingest::new(
            store.clone(),
            clock.clone(),
            directory.clone(),
            assignments.clone(),
            settings.webhooks.max_waiting,
        );
        ingest.take_keys(settings.webhooks.accept_legacy_rsa)?;
        let runner = Arc::new(Runner { store: store.clone(), runtime, limits });
        let planned = Arc::new(Notify::new());
        let outbox = Outbox::start(
            OutboxParts {
                store: store.clone(),
                clock: clock.clone(),
                ghl: ghl.clone(),
                assignments: assignments.clone(),
                planned: Arc::clone(&planned),
            },
            settings.pipeline.effects_at_once,
        );
        let timers = Timers::start(store.clone(), clock.clone(), assignments.clone());
        let parts =
            PipelineParts { store: store.clone(), clock: clock.clone(), assignments, runner, ghl, planned };
        let worker_settings =
            WorkerSettings { workers, batch: settings.pipeline.batch, window: settings.pipeline.window };
        let pipeline = Arc::new(Pipeline::start(parts, worker_settings).await?);
        let seen = Arc::clone(&pipeline);
        let state = ApiState {
            store: store.clone(),
            clock: clock.clone(),
            ingest,
            rankr: RankrDoor::new(store.clone(), clock.clone(), directory),
            host_key: HostKey::new(settings.api.host_key.expose_secret()),
            body_limit_bytes: settings.http.body_limit_bytes,
            pipeline: Arc::new(move || seen.status()),
        };
        let door = Door::bind(&settings.http.listen)
            .await
            .with_context(|| format!("http.listen {} can't be had", settings.http.listen))?;
        let address = door.address();
        let stop_door = CancellationToken::new();
        let door = tokio::spawn(door.serve(state, stop_door.clone()));
        let drain = Duration::from_secs(settings.http.drain_seconds);
        tracing::info!(%address, "the host is listening on {address}");
        Ok(Self { address, store, clock, pipeline, outbox, timers, drain, stop_door, door })
    }

    /// Where the door really listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more requests, finishes what is under way within the drain time, and closes the database.
    ///
    /// # Errors
    /// When the door broke before.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop_door.cancel();
        let ending = async {
            let served = self.door.await;
            self.timers.stop().await;
            self.pipeline.stop().await;
            self.outbox.stop().await;
            served
        };
        let ended = self.clock.within(self.drain, ending).await;
        self.store.close().await;
        match ended {
            Some(served) => Ok(served??),
            None => {
                tracing::warn!(drain = ?self.drain, "not everything ended within the drain time; it goes on at the next start");
                Ok(())
            }
        }
    }
}

/// The transport to GHL, over the connections' sealed tokens.
async fn ghl(
    settings: &Settings,
    store: &Store,
    directory: &DirectoryCell,
    clock: &Clock,
) -> anyhow::Result<Ghl> {
    let vault = Vault::open(&settings.data.folder)?;
    let urls = BaseUrls {
        live: Arc::from(settings.ghl.live_url.trim_end_matches('/')),
        sandbox: Arc::from(settings.ghl.sandbox_url.trim_end_matches('/')),
    };
    let credentials = Credentials::new(store.clone(), vault, directory.clone(), urls);
    for connection in &settings.connections {
        let (tenant, id) = (TenantId::new(&connection.tenant), ConnectionId::new(&connection.id));
        credentials.put_fixed(&tenant, &id, &connection.access_token).await?;
    }
    Ok(Ghl::new(Client::new(ClientSettings::default())?, clock.clone(), Arc::new(credentials)))
}

fn clock(settings: &Settings) -> Clock {
    let origin_millis = match settings.clock.origin_millis {
        0 => Clock::system().now().millis(),
        given => given,
    };
    Clock::at_rate(ClockRate { rate: settings.clock.rate, origin_millis })
}

fn store_settings(settings: &Settings) -> StoreSettings {
    let mut store = StoreSettings::in_folder(&settings.data.folder);
    store.readers = settings.database.readers;
    if settings.database.synchronous == "off" {
        store.synchronous = Synchronous::Off;
    }
    store
}

/// Workers; twice the cores by default, so that one runs while another waits for its commit.
fn workers(settings: &Settings) -> usize {
    match settings.pipeline.workers {
        0 => std::thread::available_parallelism().map_or(2, std::num::NonZeroUsize::get) * 2,
        given => given,
    }
}
