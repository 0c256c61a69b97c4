//! The composition root: builds the rooms from the settings, starts them in order, stops them in the reverse.

mod connections;
mod notes;
mod polling;
mod runner;
mod timing;

use crate::accounts::Accounts;
use crate::api::{ApiParts, ApiState, Door, DoorSettings, WrongKeys};
use crate::backup::Backups;
use crate::config::{Role, Settings};
use crate::domain::{Clock, ClockRate};
use crate::effects::{Changed, Decisions, Outbox, OutboxParts};
use crate::pipeline::{Pipeline, PipelineParts, ReadLimits, Reruns, WorkerSettings};
use crate::plugins::{Limits, Runtime};
use crate::schedule::{Timers, Timing};
use crate::store::{Store, StoreSettings, Synchronous};
use crate::sync::{Connecting, Poller};
use crate::telemetry::{self, HealthNotes};
use crate::tenants::{
    Assignments, BreakerSettings, Breakers, Connections, Deployer, DeployerParts, DirectoryCell, Keeper,
    PluginFolder, Roster, apply_settings,
};
use crate::vault::Vault;
use crate::webhooks::{Ingest, RankrDoor};
use anyhow::Context as _;
use futures_util::future::join;
use runner::{Runner, runtime_settings};
use secrecy::SecretString;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use timing::TimingGround;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A running host.
pub struct App {
    address: SocketAddr,
    store: Store,
    clock: Clock,
    working: Option<Working>,
    folder: PluginFolder,
    drain: Duration,
    stop_door: CancellationToken,
    door: JoinHandle<()>,
}

impl App {
    /// Starts a host: database, tenants, plugins, pipeline, and the door last.
    ///
    /// # Errors
    /// What could not be started, and why.
    pub async fn start(settings: &Settings) -> anyhow::Result<Self> {
        telemetry::start_metrics();
        let ground = Ground::open(settings).await?;
        let folder = PluginFolder::start(ground.deployer.clone(), settings, ground.health.clone()).await;
        ground.assignments.refresh(&ground.store).await?;
        let working = match settings.process.has(Role::Worker) {
            true => Some(Working::start(&ground, settings).await?),
            false => None,
        };
        let accounts = Accounts::new(ground.store.clone(), ground.clock.clone(), &settings.api.host_key);
        let app = Self::open_door(
            (ground, folder),
            settings,
            accounts,
            (&settings.http.listen, working, settings.process.has(Role::Api)),
        )
        .await?;
        tracing::info!(address = %app.address, "the host is listening on {}", app.address);
        Ok(app)
    }

    /// Opens the API alone, over a database that no host has open, for the command line: on a port of the loopback,
    /// behind a key that nobody else knows. Nothing runs and nothing is sent.
    ///
    /// # Errors
    /// What could not be started, and why; [`crate::store::StoreError::InUse`] when a host has the database open.
    pub async fn start_local(settings: &Settings) -> anyhow::Result<(Self, SecretString)> {
        let ground = Ground::open(settings).await?;
        ground.assignments.refresh(&ground.store).await?;
        let (accounts, key) =
            Accounts::with_local_key(ground.store.clone(), ground.clock.clone(), &settings.api.host_key)?;
        let folder = PluginFolder::unwatched(ground.deployer.clone(), ground.health.clone());
        let app = Self::open_door((ground, folder), settings, accounts, ("127.0.0.1:0", None, true)).await?;
        Ok((app, key))
    }

    async fn open_door(
        (ground, folder): (Ground, PluginFolder),
        settings: &Settings,
        accounts: Accounts,
        (listen, working, serves_api): (&str, Option<Working>, bool),
    ) -> anyhow::Result<Self> {
        let ingest = Ingest::new(
            ground.store.clone(),
            ground.clock.clone(),
            ground.directory.clone(),
            ground.assignments.clone(),
            settings.webhooks.max_waiting,
        )
        .telling(ground.connections.wake())
        .with_timeline(&settings.timeline.types, ground.timing.needs.clone());
        ingest.take_keys(settings.webhooks.accept_legacy_rsa)?;
        let stop_door = CancellationToken::new();
        let seen = working.as_ref().map(|working| Arc::clone(&working.pipeline));
        let state = ApiState::new(ApiParts {
            store: ground.store.clone(),
            clock: ground.clock.clone(),
            ingest,
            rankr: RankrDoor::new(ground.store.clone(), ground.clock.clone(), ground.directory),
            connections: ground.connections,
            connecting: ground.connecting,
            timing_rules: ground.timing.rules,
            accounts,
            backups: backups(settings, &ground.clock),
            takes_webhooks: settings.process.has(Role::Ingest),
            serves_api,
            roster: ground.roster,
            decisions: Decisions::new(
                ground.store.clone(),
                ground.clock.clone(),
                ground.assignments.clone(),
                ground.changed.clone(),
            ),
            reruns: Reruns::new(ground.store.clone(), ground.clock.clone(), ground.assignments.clone()),
            body_limit_bytes: settings.http.body_limit_bytes,
            door: Arc::new(door_settings(settings)),
            wrong_keys: WrongKeys::allowing(settings.api.wrong_keys_per_minute),
            health: ground.health,
            stopping: stop_door.clone(),
            pipeline: Arc::new(move || seen.as_ref().map(|pipeline| pipeline.status()).unwrap_or_default()),
            deployer: ground.deployer,
            breakers: ground.breakers,
            folder: folder.clone(),
            upload_bytes: settings.plugins.upload_bytes,
        });
        let door = Door::bind(listen).await.with_context(|| format!("http.listen {listen} can't be had"))?;
        let address = door.address();
        let door = tokio::spawn(door.serve(state));
        let drain = Duration::from_secs(settings.http.drain_seconds);
        Ok(Self {
            address,
            store: ground.store,
            clock: ground.clock,
            working,
            folder,
            drain,
            stop_door,
            door,
        })
    }

    /// The database, for whoever measures a host in its own process.
    #[must_use]
    pub fn store(&self) -> Store {
        self.store.clone()
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
        // Beside each other: a slow caller must not use up the time in which effects on their way are finished.
        let working = async {
            self.folder.stop().await;
            if let Some(working) = self.working {
                working.stop().await;
            }
        };
        let ending = async { join(self.door, working).await.0 };
        let ended = self.clock.within(self.drain, ending).await;
        self.store.close().await;
        match ended {
            Some(served) => Ok(served?),
            None => {
                tracing::warn!(drain = ?self.drain, "not everything ended within the drain time; it goes on at the next start");
                Ok(())
            }
        }
    }
}

/// What every part of a host stands on.
struct Ground {
    clock: Clock,
    store: Store,
    directory: DirectoryCell,
    roster: Roster,
    assignments: Assignments,
    health: HealthNotes,
    runtime: Arc<Runtime>,
    limits: Limits,
    deployer: Deployer,
    breakers: Breakers,
    connections: Connections,
    connecting: Connecting,
    /// Effects that people have moved, for the outbox.
    changed: Changed,
    /// Told when there is something for the outbox.
    planned: Arc<Notify>,
    timing: TimingGround,
}

impl Ground {
    async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let clock = clock(settings);
        let store = Store::open(&store_settings(settings)).await?;
        let vault = Vault::open(&settings.data.folder)?;
        apply_settings(&store, settings, &vault, clock.now()).await?;
        let directory = DirectoryCell::default();
        directory.refresh(&store).await?;
        let roster = Roster::read(store.clone(), clock.clone()).await?;
        let runtime =
            Arc::new(Runtime::new(runtime_settings(settings, workers(settings), &vault), clock.clone())?);
        let limits = Limits::from(&settings.plugins);
        let planned = Arc::new(Notify::new());
        let (connections, credentials) =
            connections::connections(settings, (&store, &vault), (&directory, &clock), &planned).await?;
        let ghl = connections.ghl();
        let connecting =
            polling::connecting(settings, (&store, &clock), (&ghl, &directory, credentials)).await?;
        let timing = TimingGround::open(&store, &clock, &directory).await?;
        let health = HealthNotes::default();
        notes::of_settings(settings, &health);
        notes::of_runtime(&runtime, &health);
        let (assignments, changed) = (Assignments::default(), Changed::default());
        let breakers = Breakers::load(store.clone(), clock.clone(), breaker_settings(settings)).await?;
        let deployer = Deployer::new(DeployerParts {
            store: store.clone(),
            runtime: Arc::clone(&runtime),
            limits,
            clock: clock.clone(),
            assignments: assignments.clone(),
            breakers: breakers.clone(),
        });
        Ok(Self {
            clock,
            store,
            directory,
            roster,
            assignments,
            health,
            runtime,
            limits,
            deployer,
            breakers,
            connections,
            connecting,
            planned,
            changed,
            timing,
        })
    }
}

/// What does the work: the pipeline, the outbox, the poller, the timers and the keeper of connections.
struct Working {
    keeper: Keeper,
    pipeline: Arc<Pipeline>,
    outbox: Outbox,
    poller: Poller,
    timers: Timers,
    timing: Timing,
}

impl Working {
    async fn start(ground: &Ground, settings: &Settings) -> anyhow::Result<Self> {
        let (store, clock, assignments) =
            (ground.store.clone(), ground.clock.clone(), ground.assignments.clone());
        let runner = Arc::new(Runner {
            store: store.clone(),
            runtime: Arc::clone(&ground.runtime),
            limits: ground.limits,
        });
        let (planned, ghl) = (Arc::clone(&ground.planned), ground.connections.ghl());
        let keeper = Keeper::start(ground.connections.clone()).await?;
        let outbox = Outbox::start(
            OutboxParts {
                store: store.clone(),
                clock: clock.clone(),
                ghl: ghl.clone(),
                assignments: assignments.clone(),
                planned: Arc::clone(&planned),
                changed: ground.changed.clone(),
                paused: ground.roster.paused(),
                give_up_after: hours(settings.pipeline.effects_give_up_after_hours),
            },
            settings.pipeline.effects_at_once,
        );
        let timers = Timers::start(store.clone(), clock.clone(), assignments.clone());
        let parts = PipelineParts {
            store,
            clock,
            assignments,
            runner,
            ghl,
            paused: ground.roster.paused(),
            planned,
            breakers: ground.breakers.clone(),
        };
        let worker_settings = WorkerSettings {
            workers: workers(settings),
            batch: settings.pipeline.batch,
            window: settings.pipeline.window,
            give_up_after: hours(settings.pipeline.give_up_after_hours),
            reads: ReadLimits { rounds: settings.plugins.read_rounds, reads: settings.plugins.reads },
        };
        let pipeline = Arc::new(Pipeline::start(parts, worker_settings).await?);
        let poller = Poller::start(&ground.connecting);
        let timing = timing::start(ground, settings).await?;
        Ok(Self { keeper, pipeline, outbox, poller, timers, timing })
    }

    async fn stop(self) {
        self.poller.stop().await;
        self.keeper.stop().await;
        self.timers.stop().await;
        self.timing.stop().await;
        self.pipeline.stop().await;
        self.outbox.stop().await;
    }
}

fn hours(count: u64) -> Duration {
    Duration::from_secs(count.saturating_mul(3600))
}

fn clock(settings: &Settings) -> Clock {
    let origin_millis = match settings.clock.origin_millis {
        0 => Clock::system().now().millis(),
        given => given,
    };
    Clock::at_rate(ClockRate { rate: settings.clock.rate, origin_millis })
}

fn door_settings(settings: &Settings) -> DoorSettings {
    DoorSettings {
        header_timeout: Duration::from_secs(settings.http.header_seconds),
        request_timeout: Duration::from_secs(settings.http.request_seconds),
        trusted_proxies: settings.http.trusted_proxies.clone(),
    }
}

fn backups(settings: &Settings, clock: &Clock) -> Backups {
    let folder = match settings.backup.folder.as_os_str().is_empty() {
        true => settings.data.folder.join("backups"),
        false => settings.backup.folder.clone(),
    };
    Backups::new(&settings.data.folder, &folder, settings.backup.keep, clock.clone())
}

fn store_settings(settings: &Settings) -> StoreSettings {
    let mut store = StoreSettings::in_folder(&settings.data.folder);
    store.readers = settings.database.readers;
    if settings.database.synchronous == "off" {
        store.synchronous = Synchronous::Off;
    }
    store
}

fn breaker_settings(settings: &Settings) -> BreakerSettings {
    BreakerSettings {
        contacts: settings.plugins.breaker_contacts,
        window: Duration::from_secs(settings.plugins.breaker_window_seconds),
        pause: Duration::from_secs(settings.plugins.breaker_pause_seconds),
    }
}

/// Workers; twice the cores by default, so that one runs while another waits for its commit.
fn workers(settings: &Settings) -> usize {
    match settings.pipeline.workers {
        0 => std::thread::available_parallelism().map_or(2, std::num::NonZeroUsize::get) * 2,
        given => given,
    }
}
