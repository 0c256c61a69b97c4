//! What goes out: the outbox sends what plans ask of GHL, each effect once.
//!
//! An effect is marked as being sent, and synced, before its request leaves; whatever happens then, the mark tells the
//! next process that it may have arrived. What can be repeated is; what can be found is looked for first; what can be
//! neither is left to a person.

mod decide;
mod doubt;
mod end;
mod outbox;
mod perform;
mod queue;
mod resolve;

pub use decide::{DecideError, Decided, Decisions};
pub use outbox::{Changed, Outbox, OutboxParts};
