//! What comes due: the later runs that plugins asked for, and the timing rules of tenants.
//!
//! A plugin's schedule fires once, late if need be. A timing rule makes one event for each contact and slot; the event
//! goes through the same inbox as a webhook, in the contact's lane.

mod fire;
mod late;
mod preview;
mod rules;
#[cfg(test)]
mod tests;
mod timers;
mod timing;

pub use preview::{Preview, PreviewSlot};
pub use rules::{RuleError, TimingRules};
pub use timers::Timers;
pub use timing::{Timing, TimingParts};
