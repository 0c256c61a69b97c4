//! A guest with one table built while it is warmed, and the same table built by the run that asks for it: what the two
//! runs cost shows what warming saves.

use mapwright_sdk::{Event, Mapped, Mapping, Plugin, Record, RunError, Warm, export_plugin, log};
use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};

/// The plugin.
pub struct Warmed;

impl Plugin for Warmed {
    type Config = ();
    const NAME: &'static str = "warmed";
    const VERSION: &'static str = "0.1.0";
    const SUMMARY: &'static str = "Looks words up in a table.";
    const EVENTS: &'static [&'static str] = &["*"];
}

type Table = BTreeMap<String, i64>;

static WARMED: OnceLock<Table> = OnceLock::new();
static COLD: OnceLock<Table> = OnceLock::new();
/// Tables built in this instance's memory, while warming or since.
static BUILT: AtomicI64 = AtomicI64::new(0);

fn build() -> Table {
    BUILT.fetch_add(1, Ordering::Relaxed);
    (0..20_000_i64).map(|number| (format!("word {number}"), number)).collect()
}

impl Warm for Warmed {
    fn warm() {
        log::info("warming");
        WARMED.get_or_init(build);
    }
}

impl Mapping for Warmed {
    fn map(event: &Event, _current: Option<&Record>, _config: &()) -> Result<Mapped, RunError> {
        let table = if event.event_type == "cold" { &COLD } else { &WARMED };
        let found = table.get_or_init(build).get("word 12345").copied().unwrap_or(-1);
        Ok(Mapped::contact().set("found", found).set("built", BUILT.load(Ordering::Relaxed)))
    }
}

export_plugin!(Warmed: mapping, warm);
