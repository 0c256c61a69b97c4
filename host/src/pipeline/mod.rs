//! One event's journey: from the inbox through the mirror and the plugins to one commit.
//!
//! Runs follow the order of ingest within a lane; lanes run beside each other, tenants get even shares of worker
//! time. A run never waits on the network.

mod adjacent;
mod arrived;
mod batch;
mod compare;
mod echo;
mod end_rerun;
mod feeder;
mod fetch;
mod held;
mod journey;
mod merge;
mod merged;
mod mirror;
mod moments;
mod payload;
mod planning;
mod reactions;
mod reads;
mod rerun;
mod reruns;
mod rounds;
mod runs;
mod scheduler;
mod tally;
mod worker;
mod writes;

pub use fetch::ReadLimits;
pub use reruns::{RerunRefusal, Reruns, RetryFilter};
pub use runs::{ObjectState, PluginCall, PluginRunner, RecordView, RunEnd, RunResult, Running};
pub use scheduler::SchedulerStatus;
pub use worker::{Pipeline, PipelineParts, WorkerSettings};
