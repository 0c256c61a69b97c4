//! The words of the product as types: ids, time, values, events, records.
//!
//! Every room may use it; it does no I/O and knows no other room. The one thing of the world it
//! touches is the clock in [`time`].

pub mod effect;
pub mod event;
pub mod event_type;
pub mod ids;
pub mod provenance;
pub mod read;
pub mod rerun;
pub mod time;
pub mod timing;
pub mod value;

pub use effect::{Action, Effect, EffectClass, LocalEffect, OWN_DELETION, RemoteEffect, RemoteOp, Target};
pub use event::{Cause, Event, EventKind, ObjectKind, ObjectRef};
pub use event_type::{CUSTOM_FIELDS, Envelope, EventShape, flatten_custom_fields, shape_of};
pub use ids::{
    ActivationId, AgencyId, AppId, AssignmentId, AuthorizationId, CompanyId, ConnectionId, GhlId, KeyId,
    Lane, LocationId, PluginName, RankrId, RunId, Sequence, TenantId, TokenOwner, VersionId, dedupe_key,
};
pub use provenance::{Provenance, Provenances, read_provenances, store_provenances};
pub use read::{Answers, ReadAnswer, ReadObject, ReadRequest, StateWrite};
pub use rerun::RerunKind;
pub use time::{Clock, ClockRate, Timestamp};
pub use timing::{
    Condition, Missed, Test, TimingKind, TimingNeeds, TimingPlan, TimingSpec, When, value_as_moment,
};
pub use value::{Fields, Value};
