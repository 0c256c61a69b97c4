//! Polling: connections with an API key get no webhooks, so GHL is asked for what changed, and what is found becomes events
//! in the same lanes.
//!
//! A pass reads what changed, then part of everything to see what is gone, then what belongs to the contacts. Each page it
//! reads is one commit: the events, what was seen, and how far it goes; so a kill at any point loses and doubles nothing.

mod connecting;
mod finds;
mod listings;
mod pass;
mod poller;
mod progress;
mod self_test;
mod visits;

pub use connecting::{Connecting, KeyConnection, PollingView};
pub use poller::{Poller, PollerParts, PollerSettings};
pub use self_test::{SelfTest, TestOutcome, TestStep};
