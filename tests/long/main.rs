//! The tests that take an hour: `MAPWRIGHT_GUESTS=… cargo nextest run --release -p mapwright-tests --test long`.
//! `tests/run` runs the same code for a minute; how long here is set by `MAPWRIGHT_LONG`, a factor of 1 by default.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failing step is the test's failure"
)]
#![expect(clippy::indexing_slicing, reason = "a JSON value indexed by a name it has not is null")]
#![expect(
    clippy::disallowed_methods,
    reason = "tests stand outside the host's rules for clock and environment"
)]

#[path = "../it/fuzz.rs"]
mod fuzz;
#[path = "../it/guests.rs"]
#[expect(dead_code, reason = "the long tests use a part of it")]
mod guests;
#[path = "../it/soak.rs"]
mod soak;
#[path = "../it/system.rs"]
#[expect(dead_code, reason = "the long tests use a part of it")]
mod system;

fn factor() -> u64 {
    std::env::var("MAPWRIGHT_LONG").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn millions_of_runs_take_no_memory_with_them() {
    let growth = soak::soak(usize::try_from(1_000_000 * factor()).unwrap()).await;
    assert!(growth < 16 << 20, "memory grew by {growth} bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tens_of_thousands_of_mutated_files_do_no_harm() {
    let runtime = guests::runtime();
    let before = soak::resident();
    for seed in 0..10 * factor() {
        fuzz::loader(&runtime, 2000, seed + 100).await;
        println!("seed {}: resident {} bytes, {} before", seed + 100, soak::resident(), before);
    }
    let whole = guests::guest("hostile");
    assert!(runtime.check(&whole, &mapwright::plugins::Limits::default()).await.is_ok());
}
