//! Tests of the whole system: the built programs as processes, a real database, the sandbox GHL over HTTP.
//!
//! `tests/run` builds the programs and names them in `MAPWRIGHT_BIN`, `MAPWRIGHT_TEST_BIN` (with failpoints and
//! sabotage) and the plugins in `MAPWRIGHT_PLUGINS`; without them a test fails and says so.
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

mod access;
mod breaker;
mod cache;
mod dead_world;
mod demo;
mod door;
mod effects;
mod event_types;
mod fuzz;
mod guests;
mod hostile;
mod kill;
mod lifecycle;
mod limits;
mod mismatches;
mod oauth;
mod oauth_kill;
mod once;
mod ops;
mod polling;
mod replay;
mod soak;
mod sync;
mod system;
mod timing;
mod views;
mod warm;
