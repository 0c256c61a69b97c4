//! `mapwright bench ingest`: signed webhooks over HTTP to a real host in the role of ingest, beside a handler that only
//! verifies them. Both are processes of their own, loaded in turns by the same generator.

use super::deliveries::{APP, Deliveries, LOCATION, body};
use super::load::{Answered, Load};
use crate::cli::demo::Started;
use crate::cli::output::say;
use crate::domain::{Cause, Clock, ConnectionId, Lane, TenantId, dedupe_key};
use crate::store::{InboxRow, Store, StoreSettings};
use anyhow::{Context as _, ensure};
use clap::Args;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How much is sent.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mapwright bench ingest --json                              on an empty database, a minute
  mapwright bench ingest --seconds 20 --events-stored 1000000 --json
Takes about four times the seconds: both sides are loaded in turns, and deliveries are signed in between.")]
pub(in crate::cli) struct IngestArgs {
    /// Machine seconds for which the host itself is loaded.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Events that the database holds before.
    #[arg(long, default_value_t = 0)]
    events_stored: usize,
    /// Connections; each has one request under way at a time.
    #[arg(long, default_value_t = 128)]
    connections: usize,
    /// Requests of one turn.
    #[arg(long, default_value_t = 30_000)]
    turn: usize,
    /// Folder for the database; a temporary one if not given.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// A side's turns.
#[derive(Default)]
struct Side {
    requests: usize,
    took: Duration,
    /// Processor time its server used.
    cpu: Duration,
}

impl Side {
    fn add(&mut self, answered: &Answered, cpu: Duration) {
        self.requests += answered.requests;
        self.took += answered.took;
        self.cpu += cpu;
    }

    /// Microseconds of processor time that the server used for a request.
    fn cpu_micros(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / f64::from(u32::try_from(self.requests).unwrap_or(u32::MAX)).max(1.0)
    }

    fn rate(&self) -> f64 {
        rate(self.requests, self.took)
    }
}

pub(super) async fn run(args: IngestArgs) -> anyhow::Result<()> {
    let temporary = tempfile::tempdir().context("no temporary folder could be made")?;
    let folder = args.folder.clone().unwrap_or_else(|| temporary.path().to_owned());
    let data = folder.join("host");
    ensure!(!data.exists(), "{} is there already; give another --folder", data.display());
    fill(&data, args.events_stored).await?;
    let deliveries = Deliveries::new()?;
    let sides = Sides::start(&folder, &data, &deliveries).await?;
    let (mut baseline, mut ours, mut ratios) = (Side::default(), Side::default(), Vec::new());
    // The first turn warms both sides and is not counted.
    let warm = deliveries.make(args.turn / 4)?;
    let mut sent = warm.len();
    sides.load(&args, sides.bare_address, None).send(Arc::clone(&warm)).await?;
    sides.load(&args, sides.host_address, None).send(warm).await?;
    while ours.took < Duration::from_secs(args.seconds) {
        let requests = deliveries.make(args.turn)?;
        sent += requests.len();
        let (bare_cpu, host_cpu) = (cpu_of(&sides.bare), cpu_of(&sides.host));
        let bare = sides.load(&args, sides.bare_address, None).send(Arc::clone(&requests)).await?;
        let host = sides.load(&args, sides.host_address, None).send(requests).await?;
        ratios.push(rate(host.requests, host.took) / rate(bare.requests, bare.took));
        baseline.add(&bare, cpu_of(&sides.bare).saturating_sub(bare_cpu));
        ours.add(&host, cpu_of(&sides.host).saturating_sub(host_cpu));
    }
    let half = ours.rate() / 2.0;
    let count = Duration::from_secs(args.seconds.div_ceil(4)).as_secs_f64() * half;
    let requests = deliveries.make(whole(count).max(1000))?;
    sent += requests.len();
    let bare = sides.load(&args, sides.bare_address, Some(half)).send(Arc::clone(&requests)).await?;
    let host = sides.load(&args, sides.host_address, Some(half)).send(requests).await?;
    sides.stop().await?;
    let stored = count_stored(&data).await?;
    ensure!(
        stored == args.events_stored + sent,
        "{sent} deliveries were answered 200 beside {} stored before, but {stored} are stored",
        args.events_stored
    );
    ratios.sort_by(f64::total_cmp);
    let (p50, p99) = (millis(&host.times, 50), millis(&host.times, 99));
    let report = serde_json::json!({
        "bench": "ingest", "unit": "requests a second", "baseline": baseline.rate().round(), "ours": ours.rate().round(),
        "ratio": ours.rate() / baseline.rate(), "p50": p50, "p99": p99, "p_unit": "milliseconds at half load",
        "baseline_p50": millis(&bare.times, 50), "baseline_p99": millis(&bare.times, 99), "half_load": half.round(),
        "turn_ratios": ratios, "baseline_cpu_micros": baseline.cpu_micros(), "ours_cpu_micros": ours.cpu_micros(), "requests": ours.requests, "seconds": ours.took.as_secs_f64(),
        "connections": args.connections, "events_stored_before": args.events_stored, "events_stored": stored,
        "synchronous": "full",
    });
    if args.json {
        say(&report.to_string());
    } else {
        say(&format!(
            "only verifying {:.0}, host {:.0} requests a second, ratio {:.2}; at half load p50 {p50:.1}, p99 {p99:.1} ms; {stored} events stored",
            baseline.rate(),
            ours.rate(),
            ours.rate() / baseline.rate()
        ));
    }
    Ok(())
}

/// The two servers.
struct Sides {
    host: Started,
    host_address: SocketAddr,
    bare: Started,
    bare_address: SocketAddr,
}

impl Sides {
    async fn start(folder: &Path, data: &Path, deliveries: &Deliveries) -> anyhow::Result<Self> {
        let config = folder.join("bench-host.toml");
        std::fs::write(&config, configuration(data, &deliveries.public_pem()))
            .with_context(|| format!("{} can't be written", config.display()))?;
        let config = config.display().to_string();
        let quiet = ["--log", "warn"];
        let host_args = [&quiet[..], &["serve", "--config", &config]].concat();
        let host = Started::start(&host_args, &folder.join("bench-host.log")).await?;
        let bare_args = [&quiet[..], &["bench", "bare-door", "--config", &config]].concat();
        let bare = Started::start(&bare_args, &folder.join("bench-bare.log")).await?;
        let (host_address, bare_address) = (address(&host)?, address(&bare)?);
        Ok(Self { host, host_address, bare, bare_address })
    }

    fn load(&self, args: &IngestArgs, to: SocketAddr, rate: Option<f64>) -> Load {
        Load { to, connections: args.connections.max(1), rate }
    }

    async fn stop(self) -> anyhow::Result<()> {
        let clock = Clock::system();
        self.bare.stop(&clock).await?;
        self.host.stop(&clock).await
    }
}

fn address(started: &Started) -> anyhow::Result<SocketAddr> {
    started.url.trim_start_matches("http://").parse().context("a server names no address")
}

/// Processor time that a server has used so far, as Linux counts it, in hundredths of a second; zero elsewhere.
fn cpu_of(server: &Started) -> Duration {
    let path = format!("/proc/{}/stat", server.id().unwrap_or(0));
    let stat = std::fs::read_to_string(path).unwrap_or_default();
    // The name in brackets may hold blanks; user and system time are the 12th and 13th field after it.
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 =
        after.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn configuration(data: &Path, pem: &str) -> String {
    let text = |value: &str| toml::Value::String(value.to_owned()).to_string();
    format!(
        "[process]\nroles = [\"ingest\"]\n[data]\nfolder = {}\n[http]\nlisten = \"127.0.0.1:0\"\n\
         [[app]]\nid = \"{APP}\"\nenvironment = \"sandbox\"\nghl_app_id = \"{APP}\"\ned25519_keys = [{}]\n\
         [[tenant]]\nid = \"t\"\nname = \"Bench\"\n\
         [[connection]]\nid = \"cn-t\"\ntenant = \"t\"\napp = \"{APP}\"\nlocation = \"{LOCATION}\"\naccess_token = \"unused\"\n",
        text(&data.display().to_string()),
        text(pem)
    )
}

/// Stores that many events, as the door would.
async fn fill(data: &Path, events: usize) -> anyhow::Result<()> {
    if events == 0 {
        return Ok(());
    }
    let store = Store::open(&StoreSettings::in_folder(data)).await?;
    let rows = stream::iter(0..events).map(|_| store.append(row())).buffer_unordered(1024);
    rows.try_for_each(|_| std::future::ready(Ok(()))).await?;
    store.close().await;
    Ok(())
}

/// A row as the door makes it of a delivery.
pub(super) fn row() -> InboxRow {
    let id = uuid::Uuid::new_v4();
    let body = body(id);
    let connection = ConnectionId::from("cn-t");
    let contact = id.as_u64_pair().0 % 10_000;
    let id = id.to_string();
    let now = Clock::system().now();
    InboxRow {
        dedupe: dedupe_key(&[APP, "id", &id]),
        tenant: TenantId::from("t"),
        event_type: Arc::from("ContactUpdate"),
        cause: Cause::Live,
        lane: Lane::of_contact(&connection, &format!("contact{contact:013}").as_str().into()),
        connection,
        webhook_id: Some(Arc::from(id)),
        received_at: now,
        source_time: now,
        body: Arc::from(body),
    }
}

async fn count_stored(data: &Path) -> anyhow::Result<usize> {
    let store = Store::open(&StoreSettings::in_folder(data)).await?;
    let counted = store.count_events().await?;
    store.close().await;
    let total: i64 = counted.iter().map(|(_, count)| count).sum();
    usize::try_from(total).context("there are too many events to count")
}

pub(super) fn rate(count: usize, took: Duration) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / took.as_secs_f64().max(1e-9)
}

pub(super) fn millis(times: &[Duration], hundredth: usize) -> f64 {
    times.get(times.len() * hundredth / 100).map_or(0.0, |time| time.as_secs_f64() * 1e3)
}

/// The whole part.
fn whole(number: f64) -> usize {
    // A number of seconds carries any count a bench reaches, and has a checked way to whole ones.
    usize::try_from(Duration::from_secs_f64(number.max(0.0)).as_secs()).unwrap_or(usize::MAX)
}
