//! A guest that does what a plugin must not, chosen by the contact's first name, else by the event's type.
//! `tests/it/limits.rs` names each.

use mapwright_sdk::{Event, Mapped, Mapping, Plugin, Record, RunError, log};

/// The plugin.
pub struct Hostile;

impl Plugin for Hostile {
    type Config = ();
    const NAME: &'static str = "hostile";
    const VERSION: &'static str = "0.1.0";
    const SUMMARY: &'static str = "Does what a plugin must not.";
    const EVENTS: &'static [&'static str] = &["*"];
}

impl Mapping for Hostile {
    fn map(event: &Event, _current: Option<&Record>, _config: &()) -> Result<Mapped, RunError> {
        let mapped = Mapped::contact();
        let asked = event.contact().and_then(|contact| contact.text("firstName"));
        match asked.unwrap_or(&event.event_type) {
            "spin" => spin(),
            "eat-memory" => Ok(mapped.set("eaten", eat())),
            "recurse" => Ok(mapped.set("depth", depth(event.now))),
            "panic" => panicking(),
            "trap" => std::process::abort(),
            "flood-fields" => {
                Ok((0..5000_i64).fold(mapped, |mapped, number| mapped.set(format!("f{number}"), number)))
            }
            "huge-string" => Ok(mapped.set("huge", "x".repeat(6 * 1024 * 1024))),
            "hundred-mebibytes" => Ok(mapped.set("huge", "x".repeat(100 * 1024 * 1024))),
            "large-string" => Ok(mapped.set("large", "x".repeat(2 * 1024 * 1024))),
            "not-a-number" => Ok(mapped.set("number", f64::NAN)),
            "call-forever" => loop {
                log::info("again");
            },
            "flood-log" => {
                (0..200).for_each(|_| log::info(&"x".repeat(4096)));
                Ok(mapped.set("logged", true))
            }
            "unmappable" => Err(RunError::unmappable("not this one")),
            "later" => Err(RunError::retry_after(30, "not yet")),
            _ => Ok(mapped.set("fine", true)),
        }
    }
}

// As another SDK would export it: without a `warm`, which `export_plugin!` always adds.
#[cfg(target_family = "wasm")]
const _: () = {
    mapwright_sdk::__export_one!(Hostile descriptor);
    mapwright_sdk::__export_one!(Hostile mapping);
};

#[expect(clippy::panic, reason = "this guest is there to panic")]
fn panicking() -> ! {
    panic!("on purpose")
}

fn spin() -> ! {
    let mut number = 0_u64;
    loop {
        number = std::hint::black_box(number.wrapping_add(1));
    }
}

fn eat() -> i64 {
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    loop {
        eaten.push(std::hint::black_box(vec![1; 1024 * 1024]));
        if eaten.len() > 1000 {
            return 1000;
        }
    }
}

fn depth(seed: i64) -> i64 {
    let here = std::hint::black_box([seed; 64]);
    if seed == i64::MIN {
        0
    } else {
        depth(std::hint::black_box(seed.wrapping_add(1))) + here.iter().sum::<i64>()
    }
}
