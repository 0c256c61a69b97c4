//! What comes due: the later runs that plugins asked for. Each fires once, late if need be.

mod timers;

pub use timers::Timers;
