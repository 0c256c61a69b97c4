//! All of it.

use mapwright_sdk::{Event, Mapped, Mapping, Plugin, Record, RunError, export_plugin};

wit_bindgen::generate!({ world: "machine", path: "wit", generate_all });

use wasi::cli::{environment, exit, stderr, stdin, stdout};
use wasi::clocks::{monotonic_clock, wall_clock};
use wasi::io::streams::OutputStream;
use wasi::random::{insecure_seed, random};

/// The plugin.
pub(crate) struct Wasi;

impl Plugin for Wasi {
    type Config = ();
    const NAME: &'static str = "wasi";
    const VERSION: &'static str = "0.1.0";
    const SUMMARY: &'static str = "Believes that it runs on a machine.";
    const EVENTS: &'static [&'static str] = &["*"];
}

impl Mapping for Wasi {
    fn map(event: &Event, _current: Option<&Record>, _config: &()) -> Result<Mapped, RunError> {
        let mapped = Mapped::contact();
        let number = |number: u64| i64::try_from(number >> 1).unwrap_or(0);
        Ok(match event.event_type.as_str() {
            "print" => {
                print(&stdout::get_stdout(), "to the log\nand more");
                print(&stderr::get_stderr(), "a complaint\n");
                mapped.set("printed", true)
            }
            "print-forever" => loop {
                print(&stdout::get_stdout(), "again and again\n");
            },
            "clocks" => {
                let wall = wall_clock::now();
                let again = monotonic_clock::now();
                mapped
                    .set("seconds", i64::try_from(wall.seconds).unwrap_or(0))
                    .set("stands_still", again == monotonic_clock::now())
            }
            "sleep" => {
                monotonic_clock::subscribe_duration(3_600_000_000_000).block();
                mapped.set("slept", true)
            }
            "random" => {
                let (seed, _) = insecure_seed::insecure_seed();
                let bytes = random::get_random_bytes(16);
                let first = number(random::get_random_u64());
                mapped
                    .set("first", first)
                    .set("seed", number(seed))
                    .set("bytes", i64::try_from(bytes.len()).unwrap_or(0))
            }
            "random-flood" => {
                mapped.set("bytes", i64::try_from(random::get_random_bytes(1 << 40).len()).unwrap_or(0))
            }
            "environment" => {
                let named = environment::get_environment().len() + environment::get_arguments().len();
                mapped
                    .set("named", i64::try_from(named).unwrap_or(0))
                    .set("cwd", environment::initial_cwd().is_some())
                    .set("input_closed", stdin::get_stdin().blocking_read(16).is_err())
            }
            "exit" => {
                exit::exit(Ok(()));
                mapped
            }
            _ => mapped.set("fine", true),
        })
    }
}

export_plugin!(Wasi: mapping);

fn print(stream: &OutputStream, text: &str) {
    if stream.check_write().is_ok() {
        // A closed stream is nobody's loss.
        drop(stream.blocking_write_and_flush(text.as_bytes()));
    }
}
