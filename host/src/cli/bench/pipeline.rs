//! `mapwright bench pipeline`: stored webhooks to records and timeline with a mapping plugin, beside a bare loop that
//! writes the same rows in batches of the same size, in turns.

use super::ingest::{millis, rate};
use crate::app::App;
use crate::cli::output::say;
use crate::config::{self, Settings};
use crate::domain::{Cause, Clock, ConnectionId, Lane, Sequence, TenantId, Timestamp, dedupe_key};
use crate::store::{InboxRow, Store, StoreSettings};
use crate::telemetry;
use anyhow::{Context as _, ensure};
use clap::Args;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How much is run.
#[derive(Debug, Args)]
#[command(after_help = "Example: mapwright bench pipeline target/plugins/contact-profile.wasm --json")]
pub(in crate::cli) struct PipelineArgs {
    /// The .wasm file of contact-profile.
    file: PathBuf,
    /// Contacts of one turn; each is created, which is not measured, then updated, which is.
    #[arg(long, default_value_t = 10_000)]
    contacts: usize,
    /// Turns of each side.
    #[arg(long, default_value_t = 5)]
    turns: usize,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Machine time between two looks at how far the pipeline is.
const LOOK: Duration = Duration::from_millis(10);
/// Machine time after which a pipeline that makes no progress is given up.
const STUCK: Duration = Duration::from_secs(60);
/// The counter of ended events.
const ENDED: &str = "mapwright_events_total";

/// One turn.
struct Turn {
    ours: f64,
    baseline: f64,
    batch: usize,
}

pub(in crate::cli) async fn run(args: PipelineArgs) -> anyhow::Result<()> {
    let clock = Clock::system();
    let mut turns = Vec::new();
    for _ in 0..args.turns.max(1) {
        turns.push(turn(&args, &clock).await?);
    }
    let mean = |of: fn(&Turn) -> f64| {
        turns.iter().map(of).sum::<f64>() / f64::from(u32::try_from(turns.len()).unwrap_or(1))
    };
    let (ours, baseline) = (mean(|turn| turn.ours), mean(|turn| turn.baseline));
    let times = at_half_load(&args, ours / 2.0, &clock).await?;
    let (p50, p99) = (millis(&times, 50), millis(&times, 99));
    let ratios: Vec<f64> = turns.iter().map(|turn| turn.ours / turn.baseline).collect();
    let batches: Vec<usize> = turns.iter().map(|turn| turn.batch).collect();
    let report = serde_json::json!({
        "bench": "pipeline", "unit": "events a second", "baseline": baseline.round(), "ours": ours.round(),
        "ratio": ours / baseline, "p50": p50, "p99": p99, "p_unit": "milliseconds from stored to ended, at half load",
        "turn_ratios": ratios, "events_a_turn": args.contacts, "events_a_commit": batches, "synchronous": "full",
    });
    if args.json {
        say(&report.to_string());
    } else {
        say(&format!(
            "bare loop {baseline:.0}, pipeline {ours:.0} events a second, ratio {:.2}; at half load p50 {p50:.1}, p99 {p99:.1} ms",
            ours / baseline
        ));
    }
    Ok(())
}

/// A pipeline over that many contacts, then the bare loop over the rows it wrote.
async fn turn(args: &PipelineArgs, clock: &Clock) -> anyhow::Result<Turn> {
    let folder = tempfile::tempdir().context("no temporary folder could be made")?;
    let settings = settings(folder.path(), &args.file)?;
    let store = open(&folder.path().join("ours")).await?;
    append(&store, "ContactCreate", 0..args.contacts).await?;
    append(&store, "ContactUpdate", 0..args.contacts).await?;
    store.close().await;
    drop(store);
    let before = Counted::now();
    let app = App::start(&settings).await?;
    // The creates, and some more so that only updates are under way.
    let warm = args.contacts + args.contacts / 20;
    wait_for(before.ended + count(warm)?, clock).await?;
    let (from, began) = (Counted::now(), clock.machine_now());
    wait_for(before.ended + count(2 * args.contacts)?, clock).await?;
    let (upto, took) = (Counted::now(), began.elapsed());
    app.stop().await?;
    let batch = usize::try_from((upto.ended - from.ended) / (upto.commits - from.commits).max(1))?.max(1);
    let ours = rate(usize::try_from(upto.ended - from.ended)?, took);

    let store = open(&folder.path().join("ours")).await?;
    let ended = store.ended_events().await?;
    store.close().await;
    ensure!(ended.len() == 2 * args.contacts, "{} of {} events have ended", ended.len(), 2 * args.contacts);
    let (creates, updates) = ended.split(Sequence(i64::try_from(args.contacts)? + 1));
    let bare = open(&folder.path().join("bare")).await?;
    bare.write_bare(creates, batch, clock.clone()).await?;
    let took = bare.write_bare(updates, batch, clock.clone()).await?;
    bare.close().await;
    Ok(Turn { ours, baseline: rate(args.contacts, took), batch })
}

/// How long events take from stored to ended while half of what the pipeline can do arrives.
async fn at_half_load(args: &PipelineArgs, rate: f64, clock: &Clock) -> anyhow::Result<Vec<Duration>> {
    let folder = tempfile::tempdir().context("no temporary folder could be made")?;
    let settings = settings(folder.path(), &args.file)?;
    let store = open(&folder.path().join("ours")).await?;
    append(&store, "ContactCreate", 0..args.contacts).await?;
    store.close().await;
    drop(store);
    let before = Counted::now();
    let app = App::start(&settings).await?;
    wait_for(before.ended + count(args.contacts)?, clock).await?;
    let begun = before.ended + count(args.contacts)?;
    let store = app.store();
    let began = clock.machine_now();
    let (told, mut stored) = tokio::sync::mpsc::channel(args.contacts.max(1));
    let sending = tokio::spawn({
        let (clock, contacts) = (clock.clone(), args.contacts);
        async move {
            for number in 0..contacts {
                let due = Duration::from_secs_f64(f64::from(u32::try_from(number).unwrap_or(0)) / rate);
                let passed = began.elapsed();
                if due > passed {
                    clock.machine_sleep(due - passed).await;
                }
                let (store, told, clock) = (store.clone(), told.clone(), clock.clone());
                tokio::spawn(async move {
                    let kept = store.append(row("ContactUpdate", number)).await;
                    drop(told.send((kept, clock.machine_now())).await);
                });
            }
        }
    });
    let mut times = Vec::with_capacity(args.contacts);
    let mut waiting = std::collections::VecDeque::new();
    while times.len() < args.contacts {
        while let Ok((kept, at)) = stored.try_recv() {
            kept?;
            waiting.push_back(at);
        }
        let ended = Counted::now().ended - begun;
        let now = clock.machine_now();
        while u64::try_from(times.len()).is_ok_and(|seen| seen < ended) {
            // What ended before its own sender woke up took no longer than the time between two looks.
            let Some(at) = waiting.pop_front() else { break };
            times.push(now.saturating_duration_since(at));
        }
        ensure!(began.elapsed() < STUCK * 4, "only {} of {} events ended", times.len(), args.contacts);
        clock.machine_sleep(LOOK).await;
    }
    sending.await?;
    app.stop().await?;
    times.sort_unstable();
    Ok(times)
}

/// What the process has counted.
#[derive(Clone, Copy, Default)]
struct Counted {
    ended: u64,
    commits: u64,
}

impl Counted {
    fn now() -> Self {
        let mut counted = Self::default();
        for line in telemetry::render_metrics().lines() {
            let value = || line.rsplit(' ').next().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
            if line.starts_with(ENDED) {
                counted.ended += value();
            } else if line.starts_with("mapwright_event_commits_total") {
                counted.commits += value();
            }
        }
        counted
    }
}

async fn wait_for(ended: u64, clock: &Clock) -> anyhow::Result<()> {
    let mut seen = (Counted::now().ended, clock.machine_now());
    loop {
        let now = Counted::now().ended;
        if now >= ended {
            return Ok(());
        }
        if now > seen.0 {
            seen = (now, clock.machine_now());
        }
        ensure!(seen.1.elapsed() < STUCK, "the pipeline stands at {now} of {ended} events");
        clock.machine_sleep(LOOK).await;
    }
}

fn count(number: usize) -> anyhow::Result<u64> {
    Ok(u64::try_from(number)?)
}

async fn open(folder: &Path) -> anyhow::Result<Store> {
    Ok(Store::open(&StoreSettings::in_folder(folder)).await?)
}

fn settings(folder: &Path, plugin: &Path) -> anyhow::Result<Settings> {
    let plugins = folder.join("plugins");
    std::fs::create_dir_all(&plugins)?;
    std::fs::copy(plugin, plugins.join("contact-profile.wasm"))
        .with_context(|| format!("{} can't be read", plugin.display()))?;
    let text = |path: &Path| toml::Value::String(path.display().to_string()).to_string();
    Ok(config::load_text(&format!(
        "[process]\nroles = [\"worker\"]\n[data]\nfolder = {}\n[http]\nlisten = \"127.0.0.1:0\"\n[plugins]\nfolder = {}\n\
         [[app]]\nid = \"bench\"\nenvironment = \"sandbox\"\nghl_app_id = \"bench\"\ned25519_keys = []\n\
         [[tenant]]\nid = \"t\"\nname = \"Bench\"\n\
         [[connection]]\nid = \"cn-t\"\ntenant = \"t\"\napp = \"bench\"\nlocation = \"locBench00000000001\"\naccess_token = \"unused\"\n\
         [[assignment]]\ntenant = \"t\"\nplugin = \"contact-profile\"\n",
        text(&folder.join("ours")),
        text(&plugins)
    ))?)
}

/// Stores an event of that type for each of these contacts, as the webhook door would.
async fn append(
    store: &Store,
    event_type: &'static str,
    numbers: std::ops::Range<usize>,
) -> anyhow::Result<()> {
    // In order: 512 at once go into one commit, in the order they were sent.
    let rows = stream::iter(numbers).map(|number| store.append(row(event_type, number))).buffered(512);
    Ok(rows.try_for_each(|_| std::future::ready(Ok(()))).await?)
}

/// A contact of 25 fields; its update changes five of them.
fn row(event_type: &str, number: usize) -> InboxRow {
    let id = uuid::Uuid::new_v4().to_string();
    let update = event_type == "ContactUpdate";
    let connection = ConnectionId::from("cn-t");
    let contact = format!("contact{number:013}");
    let now = Clock::system().now();
    let at = Timestamp::from_millis(if update { 1_767_225_700_000 } else { 1_767_225_600_000 });
    let body = serde_json::json!({
        "type": event_type, "appId": "bench", "locationId": "locBench00000000001", "webhookId": id,
        "timestamp": at.to_rfc3339(), "id": contact,
        "address1": format!("{number} Example Street"), "assignedTo": "user0000000000000001",
        "city": if update { "Shelbyville" } else { "Springfield" }, "companyName": "Example Works", "country": "US",
        "dateAdded": "2026-01-01T00:00:00.000Z", "dateOfBirth": "1990-09-25T00:00:00.000Z", "dnd": false,
        "email": format!("ada.{number}@example.com"), "firstName": "Ada", "gender": "female", "lastName": "Example",
        "name": "Ada Example", "phone": if update { "+1 555-0199" } else { "+1 555-0100" }, "phoneLabel": "mobile",
        "postalCode": if update { "54321" } else { "12345" }, "source": "front desk",
        "state": if update { "IL" } else { "NY" }, "timezone": "America/New_York",
        "contactType": "lead", "website": "https://example.com",
        "tags": if update { vec!["new", "vip"] } else { vec!["new"] },
        "customFields": [{"id": "cf1", "value": "blue"}, {"id": "cf2", "value": 42}, {"id": "cf3", "value": "yes"}],
    });
    InboxRow {
        dedupe: dedupe_key(&["bench", "id", &id]),
        tenant: TenantId::from("t"),
        event_type: Arc::from(event_type),
        cause: Cause::Live,
        lane: Lane::of_contact(&connection, &contact.as_str().into()),
        connection,
        webhook_id: Some(Arc::from(id)),
        received_at: now,
        source_time: at,
        body: Arc::from(body.to_string()),
    }
}
