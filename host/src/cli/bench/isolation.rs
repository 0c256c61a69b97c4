//! `mapwright bench isolation`: how long a quiet tenant's events take alone, and beside a tenant whose plugin is hostile.
//!
//! The whole host runs in this process over a temporary database: lanes, scheduler, runs, commits. The quiet tenant maps
//! contacts with contact-profile, one event every few milliseconds; the loud one has more events than can be run, each of
//! which spins until its fuel is gone, eats memory without end, calls the host forever, or floods its output.

use super::percentile;
use crate::app::App;
use crate::cli::output;
use crate::cli::plugin::{BuildRequest, Toolchain, build};
use crate::config::{self, Settings};
use crate::domain::{Cause, Clock, ConnectionId, Lane, TenantId, Timestamp, dedupe_key};
use crate::plugins::{Limits, RunContext, RunInput, Runtime, RuntimeSettings};
use crate::store::{EventFilter, InboxRow, Store};
use anyhow::{Context as _, ensure};
use clap::Args;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How much is measured.
#[derive(Debug, Args)]
#[command(after_help = "Example: mapwright bench isolation --json")]
pub(crate) struct IsolationArgs {
    /// The quiet tenant's mapping plugin, a .wasm file; contact-profile, built from the source tree, if not given.
    #[arg(long)]
    quiet: Option<PathBuf>,
    /// The loud tenant's plugin; the guest `hostile`, built from the source tree, if not given.
    #[arg(long)]
    hostile: Option<PathBuf>,
    /// Events of the quiet tenant, alone and again beside the other.
    #[arg(long, default_value_t = 500)]
    events: usize,
    /// Machine time between two of them, milliseconds.
    #[arg(long, default_value_t = 20)]
    every: u64,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Events of the loud tenant that wait at any time.
const BACKLOG: usize = 64;
/// What the loud tenant's events have their plugin do, in turn; the contact's first name says it.
const HOSTILE: &[&str] = &["spin", "eat-memory", "call-forever", "flood-fields", "recurse", "huge-string"];
/// Machine time between two looks at what has ended.
const LOOK: Duration = Duration::from_millis(1);
/// Machine time after which events that do not end are given up.
const STUCK: Duration = Duration::from_secs(120);
/// Events before those that count, so that everything is loaded.
const WARM_UP: usize = 50;

pub(super) async fn run(args: IsolationArgs) -> anyhow::Result<()> {
    let clock = Clock::system();
    let folder = tempfile::tempdir().context("no temporary folder could be made")?;
    let plugins = plugins(&args, folder.path())?;
    let limit = one_runs_limit(&plugins.join("hostile.wasm"), &clock).await?;
    let alone = phase(&args, &folder.path().join("alone"), &plugins, false).await?;
    let beside = phase(&args, &folder.path().join("beside"), &plugins, true).await?;
    let millis = |times: &[Duration], hundredth| percentile(times, hundredth) / 1000.0;
    let (baseline, ours) = (millis(&alone.times, 99), millis(&beside.times, 99));
    let limit_ms = limit.as_secs_f64() * 1000.0;
    let allowed = 1.5 * baseline + limit_ms;
    let report = serde_json::json!({
        "bench": "isolation", "unit": "milliseconds from stored to done, the quiet tenant's p99",
        "baseline": baseline, "ours": ours, "ratio": ours / baseline,
        "p50": millis(&beside.times, 50), "p99": ours, "baseline_p50": millis(&alone.times, 50),
        "limit_ms": limit_ms, "allowed": allowed, "within": ours <= allowed,
        "quiet_events": beside.times.len(), "hostile_events_ended": beside.hostile_ended,
    });
    if args.json {
        output::say(&report.to_string());
    } else {
        output::say(&format!(
            "the quiet tenant's p99: {baseline:.1} ms alone, {ours:.1} ms beside {} hostile runs; allowed {allowed:.1} ms \
             (1.5 times alone and one run's limit of {limit_ms:.1} ms)",
            beside.hostile_ended
        ));
    }
    ensure!(ours <= allowed, "the quiet tenant's p99 is {ours:.1} ms, {allowed:.1} ms are allowed");
    Ok(())
}

/// A folder with both plugins.
fn plugins(args: &IsolationArgs, folder: &Path) -> anyhow::Result<PathBuf> {
    let plugins = folder.join("plugins");
    std::fs::create_dir_all(&plugins)?;
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (given, name, source) in [
        (&args.quiet, "contact-profile", "plugins/contact-profile"),
        (&args.hostile, "hostile", "tests/guests/hostile"),
    ] {
        let file = match given {
            Some(file) => file.clone(),
            None => {
                let request = BuildRequest {
                    crates: vec![tree.join(source)],
                    out: Some(folder.join("built")),
                    toolchain: Toolchain::Auto,
                };
                build(&request)?.pop().context("no plugin was built")?
            }
        };
        std::fs::copy(&file, plugins.join(format!("{name}.wasm")))
            .with_context(|| format!("{} can't be read", file.display()))?;
    }
    Ok(plugins)
}

/// How long the longest single run takes: one that spins until its fuel is gone, on this machine, with nothing else to do.
async fn one_runs_limit(hostile: &Path, clock: &Clock) -> anyhow::Result<Duration> {
    let limits = Limits::default();
    let runtime = Runtime::new(RuntimeSettings::default(), clock.clone())?;
    let package = runtime.check(&std::fs::read(hostile)?, &limits).await?;
    let version = runtime.load(&package.version, &package.component).await?;
    let prepared = match runtime.prepare(&version, "{}", &limits).await? {
        Ok(prepared) => prepared,
        Err(faults) => anyhow::bail!("the hostile guest refuses its configuration: {faults:?}"),
    };
    let input = RunInput {
        event_id: "1".to_owned(),
        event_type: "spin",
        cause: Cause::Test,
        source_time: Timestamp::default(),
        now: Timestamp::default(),
        seed: 1,
        contact: None,
        object: None,
        raw: "{}",
        current: None,
        before: None,
        context: RunContext::default(),
        prepared: &prepared,
    };
    let mut times = Vec::new();
    for _ in 0..20 {
        let report = runtime.map(&version, &input, &limits).await;
        ensure!(report.outcome.is_err(), "the hostile guest does not spin");
        times.push(report.took);
    }
    times.sort_unstable();
    times.get(times.len() / 2).copied().context("nothing was measured")
}

/// What a phase came to.
struct Phase {
    /// The quiet tenant's times, sorted.
    times: Vec<Duration>,
    hostile_ended: usize,
}

/// Runs the quiet tenant's events, beside the loud one's if `loud`.
async fn phase(args: &IsolationArgs, folder: &Path, plugins: &Path, loud: bool) -> anyhow::Result<Phase> {
    let app = App::start(&settings(folder, plugins)?).await?;
    let store = app.store();
    let clock = Clock::system();
    let stop = Arc::new(AtomicBool::new(false));
    let flood = loud.then(|| tokio::spawn(flood(store.clone(), clock.clone(), Arc::clone(&stop))));
    if loud {
        // The loud tenant has its backlog before the first event that counts.
        clock.machine_sleep(Duration::from_millis(500)).await;
    }
    let times = quiet(args, &store, &clock).await;
    stop.store(true, Ordering::Relaxed);
    let hostile_ended = match flood {
        Some(flood) => flood.await??,
        None => 0,
    };
    let mut times = times?;
    times.sort_unstable();
    app.stop().await?;
    Ok(Phase { times, hostile_ended })
}

/// Sends the quiet tenant's events at a steady pace and looks when each has ended.
async fn quiet(args: &IsolationArgs, store: &Store, clock: &Clock) -> anyhow::Result<Vec<Duration>> {
    let tenant = TenantId::from("quiet");
    let mut open: BTreeMap<i64, (Instant, usize)> = BTreeMap::new();
    let mut times = Vec::new();
    let (mut sent, began) = (0_usize, clock.machine_now());
    let total = WARM_UP + args.events;
    let every = Duration::from_millis(args.every.max(1));
    while sent < total || !open.is_empty() {
        let due = every.saturating_mul(u32::try_from(sent)?);
        if sent < total && began.elapsed() >= due {
            let at = clock.machine_now();
            let sequence = store.append(row(&tenant, sent, "Ada", clock)).await?.sequence();
            open.insert(sequence, (at, sent));
            sent += 1;
        }
        if let Some(first) = open.keys().next().copied() {
            let page = store.list_events(&since(&tenant, first), 200).await?;
            for event in page.iter().filter(|event| event.state == "done") {
                if let Some((at, number)) = open.remove(&event.sequence)
                    && number >= WARM_UP
                {
                    times.push(at.elapsed());
                }
            }
        }
        ensure!(
            open.values().all(|(at, _)| at.elapsed() < STUCK),
            "an event of the quiet tenant did not end within {STUCK:?}"
        );
        clock.machine_sleep(LOOK).await;
    }
    Ok(times)
}

/// Keeps the loud tenant's backlog full; gives how many of its events have ended.
async fn flood(store: Store, clock: Clock, stop: Arc<AtomicBool>) -> anyhow::Result<usize> {
    let tenant = TenantId::from("loud");
    let mut open = std::collections::BTreeSet::new();
    let (mut sent, mut ended) = (0_usize, 0_usize);
    while !stop.load(Ordering::Relaxed) {
        while open.len() < BACKLOG {
            let does = HOSTILE.get(sent % HOSTILE.len()).copied().unwrap_or("spin");
            open.insert(store.append(row(&tenant, sent, does, &clock)).await?.sequence());
            sent += 1;
        }
        if let Some(first) = open.first().copied() {
            let page = store.list_events(&since(&tenant, first), 1000).await?;
            for event in page.iter().filter(|event| matches!(event.state.as_str(), "done" | "dead")) {
                ended += usize::from(open.remove(&event.sequence));
            }
        }
        clock.machine_sleep(Duration::from_millis(10)).await;
    }
    Ok(ended)
}

/// A tenant's events from that sequence on.
fn since(tenant: &TenantId, first: i64) -> EventFilter {
    EventFilter { tenant: Some(tenant.clone()), after: Some(first - 1), ..EventFilter::default() }
}

/// A contact's creation, each of another contact.
fn row(tenant: &TenantId, number: usize, first_name: &str, clock: &Clock) -> InboxRow {
    let id = uuid::Uuid::new_v4().to_string();
    let connection = ConnectionId::from(format!("cn-{tenant}"));
    let contact = format!("contact{number:013}");
    let now = clock.now();
    let body = serde_json::json!({
        "type": "ContactCreate", "appId": "bench", "locationId": format!("loc-{tenant}"), "webhookId": id,
        "timestamp": now.to_rfc3339(), "id": contact, "firstName": first_name, "lastName": "Example",
        "email": format!("{number}@example.com"), "phone": "+1 555-0100", "city": "Springfield", "country": "US",
        "dateAdded": "2026-01-01T00:00:00.000Z", "tags": ["new"], "timezone": "America/New_York",
    });
    InboxRow {
        dedupe: dedupe_key(&["bench", "id", &id]),
        tenant: tenant.clone(),
        event_type: Arc::from("ContactCreate"),
        cause: Cause::Live,
        lane: Lane::of_contact(&connection, &contact.as_str().into()),
        connection,
        webhook_id: Some(Arc::from(id)),
        received_at: now,
        source_time: now,
        body: Arc::from(body.to_string()),
    }
}

fn settings(folder: &Path, plugins: &Path) -> anyhow::Result<Settings> {
    let text = |path: &Path| toml::Value::String(path.display().to_string()).to_string();
    let tenant = |id: &str, plugin: &str| {
        format!(
            "[[tenant]]\nid = \"{id}\"\nname = \"{id}\"\n\
             [[connection]]\nid = \"cn-{id}\"\ntenant = \"{id}\"\napp = \"bench\"\nlocation = \"loc-{id}\"\naccess_token = \"unused\"\n\
             [[assignment]]\ntenant = \"{id}\"\nplugin = \"{plugin}\"\n"
        )
    };
    Ok(config::load_text(&format!(
        "[data]\nfolder = {}\n[http]\nlisten = \"127.0.0.1:0\"\n[plugins]\nfolder = {}\n\
         [[app]]\nid = \"bench\"\nenvironment = \"sandbox\"\nghl_app_id = \"bench\"\ned25519_keys = []\n{}{}",
        text(folder),
        text(plugins),
        tenant("quiet", "contact-profile"),
        tenant("loud", "hostile")
    ))?)
}
