//! The mapping compiled for this machine instead of WebAssembly, timed: what `mapwright bench plugin` compares with.
//! Prints one JSON object: nanoseconds of a mapping (p50), fields in and out.

use contact_profile::ContactProfile;
use mapwright_sdk::testing::{contact_event, deny, prepared};
use mapwright_sdk::{Event, Mapping, Value};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::Write as _;
use std::time::Instant;

/// Mappings timed together: one alone is not much longer than a look at the clock.
const TOGETHER: u32 = 50;

fn main() -> std::io::Result<()> {
    // The bench's host grants nothing.
    for of in ["contacts", "tasks", "notes", "appointments"] {
        deny(&format!("crm.{of}.read"));
    }
    let event = event()?;
    let config = prepared::<ContactProfile>("{}")
        .map_err(|mistakes| std::io::Error::other(format!("{mistakes:?}")))?;
    let mut out = 0;
    let mut nanos: Vec<u128> = Vec::new();
    for _ in 0..4000 {
        #[expect(clippy::disallowed_methods, reason = "it measures this machine")]
        let began = Instant::now();
        for _ in 0..TOGETHER {
            let mapped = ContactProfile::map(black_box(&event), None, &config);
            out = black_box(mapped).map_or(0, |mapped| mapped.fields().len());
        }
        nanos.push(began.elapsed().as_nanos() / u128::from(TOGETHER));
    }
    nanos.sort_unstable();
    let p50 = nanos.get(nanos.len() / 2).copied().unwrap_or_default();
    let fields = event.object.as_ref().map_or(0, |object| object.fields.len());
    writeln!(std::io::stdout(), "{{\"nanos\": {p50}, \"fields_in\": {fields}, \"fields_out\": {out}}}")
}

/// The contact of 25 fields that the bench maps too.
const CONTACT: &str = include_str!("../fixtures/contact.json");

fn event() -> std::io::Result<Event> {
    let fields: BTreeMap<String, serde_json::Value> = serde_json::from_str(CONTACT)?;
    let mut event = contact_event("ContactUpdate");
    for (name, value) in fields {
        event = event.with(&name, value_of(value)?);
    }
    Ok(event)
}

/// A field's value as the host gives it to the plugin.
fn value_of(json: serde_json::Value) -> std::io::Result<Value> {
    Ok(match json {
        serde_json::Value::Bool(it) => Value::Boolean(it),
        serde_json::Value::String(text) => Value::Text(text),
        list @ serde_json::Value::Array(_) => Value::Texts(serde_json::from_value(list)?),
        other => return Err(std::io::Error::other(format!("{other} is in no contact of the bench"))),
    })
}
