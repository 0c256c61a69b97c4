//! The SDK's guide against the code: every capability is in its table, and every event type it names is one.

use mapwright::plugins::CAPABILITIES;
use mapwright::timeline::phrase_of;

const GUIDE: &str = include_str!("../../plugin-sdk/src/guide.rs");

fn section(name: &str) -> impl Iterator<Item = &'static str> {
    let after = GUIDE.lines().skip_while(move |line| *line != format!("//! # {name}")).skip(1);
    after.take_while(|line| !line.starts_with("//! # "))
}

/// The words in backquotes.
fn quoted(line: &str) -> Vec<&str> {
    line.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_capability_is_in_the_table() {
    let rows: Vec<&str> = section("Capabilities").filter(|line| line.starts_with("//! | `")).collect();
    let named: Vec<&str> =
        rows.iter().filter_map(|row| row.split('|').nth(1)).flat_map(|cell| quoted(cell)).collect();
    for capability in CAPABILITIES {
        assert!(named.contains(capability), "the guide does not name {capability}");
    }
    for name in named {
        assert!(CAPABILITIES.contains(&name), "the guide names {name}, which is no capability");
    }
}

#[test]
fn every_event_type_in_the_table_is_one() {
    let rows: Vec<&str> =
        section("Events").filter(|line| line.starts_with("//! | ") && line.contains('`')).collect();
    let named: Vec<&str> = rows.iter().flat_map(|row| quoted(row)).filter(|name| *name != "rankr.").collect();
    assert!(named.len() > 25, "the table of event types could not be read: {named:?}");
    for name in named {
        assert!(phrase_of(name).is_some(), "{name} is no event type");
    }
}
