//! The mapping compiled for this machine instead of WebAssembly, timed: what `mapwright bench plugin` compares with.
//! Prints one JSON object: nanoseconds of a mapping (p50), fields in and out.

use contact_profile::ContactProfile;
use mapwright_sdk::testing::{contact_event, prepared};
use mapwright_sdk::{Event, Mapping, Value};
use std::hint::black_box;
use std::io::Write as _;
use std::time::Instant;

/// Mappings timed together: one alone is not much longer than a look at the clock.
const TOGETHER: u32 = 50;

fn main() -> std::io::Result<()> {
    let event = event();
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

/// The contact of 25 fields that the bench maps.
fn event() -> Event {
    let texts = [
        ("address1", "1 Example Street"),
        ("assignedTo", "user0000000000000001"),
        ("city", "Springfield"),
        ("companyName", "Example Works"),
        ("country", "US"),
        ("customFields.cf1", "blue"),
        ("customFields.cf2", "42"),
        ("customFields.cf3", "yes"),
        ("dateAdded", "2026-01-01T00:00:00.000Z"),
        ("dateOfBirth", "1990-09-25T00:00:00.000Z"),
        ("email", "Ada.Example@example.com"),
        ("firstName", "Ada"),
        ("gender", "female"),
        ("lastName", "Example"),
        ("name", "Ada Example"),
        ("phone", "+1 555-0100"),
        ("phoneLabel", "mobile"),
        ("postalCode", "12345"),
        ("source", "front desk"),
        ("state", "NY"),
        ("timezone", "America/New_York"),
        ("type", "lead"),
        ("website", "https://example.com"),
    ];
    let event =
        texts.into_iter().fold(contact_event("ContactUpdate"), |event, (name, text)| event.with(name, text));
    event.with("dnd", false).with("tags", Value::Texts(vec!["new".to_owned(), "vip".to_owned()]))
}
