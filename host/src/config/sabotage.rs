//! Deliberate faults of a test-support build, so that the checker of the whole system can be seen to fail.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is done wrong on purpose; named by `MAPWRIGHT_SABOTAGE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// Some deliveries are answered 200 and not stored.
    DropEvent,
    /// Some effects are done twice.
    DoubleEffect,
    /// Some events of a lane run before the one ahead of them.
    SwapOrder,
    /// Older values overwrite newer ones.
    StaleOverwrite,
}

/// Whether this fault is chosen; every fifth chance is taken, the first among them.
#[must_use]
pub fn strikes(fault: Sabotage) -> bool {
    static CHOSEN: OnceLock<Option<Sabotage>> = OnceLock::new();
    static CHANCES: AtomicU64 = AtomicU64::new(0);
    let chosen = *CHOSEN.get_or_init(|| match super::variable("MAPWRIGHT_SABOTAGE").as_deref() {
        Some("drop-event") => Some(Sabotage::DropEvent),
        Some("double-effect") => Some(Sabotage::DoubleEffect),
        Some("swap-order") => Some(Sabotage::SwapOrder),
        Some("stale-overwrite") => Some(Sabotage::StaleOverwrite),
        _ => None,
    });
    chosen == Some(fault) && CHANCES.fetch_add(1, Ordering::Relaxed).is_multiple_of(5)
}
