//! The words of the product as types: ids, time, values, events, records.
//!
//! Every room may use it; it does no I/O and knows no other room. The one thing of the world it
//! touches is the clock in [`time`].

pub mod event;
pub mod event_type;
pub mod ids;
pub mod time;
pub mod value;

pub use event::{Cause, Event, EventKind, ObjectKind, ObjectRef};
pub use event_type::{Envelope, EventShape, shape_of};
pub use ids::{
    AppId, AssignmentId, CompanyId, ConnectionId, GhlId, Lane, LocationId, PluginName, RankrId, RunId,
    Sequence, TenantId, VersionId,
};
pub use time::{Clock, ClockRate, Timestamp};
pub use value::{Fields, Value};
