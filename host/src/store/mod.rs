//! All SQL, a file per aggregate. No other room sees the database.
//!
//! One writer owns the only writing connection and groups what arrives together into one commit;
//! readers have a read-only pool of their own. Statements use `$n` placeholders (those of many rows unnumbered ones, see
//! `rows`) and types that every engine has.

mod agencies;
mod api_keys;
mod apps;
mod assignments;
mod audit;
mod authorizations;
mod bare;
mod commit;
mod connections;
mod copy;
mod credentials;
mod dead_letters;
mod disk;
mod effects;
mod error;
mod event_views;
mod events;
mod filter;
mod gauges;
mod held;
mod inbox;
mod lookups;
mod memory;
mod moments;
mod open;
mod outbox;
mod plugins;
mod polling;
#[cfg(test)]
mod query_plans;
mod record_views;
mod records;
mod reruns;
mod rows;
mod runs;
mod story;
mod tenants;
mod timeline;
mod timing;
mod writer;

pub use agencies::{AgencyRow, InstallRow, NewInstall};
pub use api_keys::ApiKeyRow;
pub use apps::{AppRow, ConnectionRow, TenantRow};
pub use assignments::{Activated, ActivationRow, ActiveRow, AssignmentFilter, AssignmentRow, NewActivation};
pub use audit::{AuditFilter, AuditListing, AuditRow};
pub use authorizations::{AuthorizationEnd, AuthorizationRow, NewAuthorization};
pub use bare::EndedEvents;
pub use commit::{
    DeadLetterRow, EventCommit, EventEnd, EventRow, LinkRow, MirrorRow, RecordRow, RunRow, TimelineRow,
};
pub use connections::{ConnectionDetail, OpenConnection};
pub use copy::{DatabaseState, Thoroughness, copy_database};
pub use credentials::{AccessRow, CredentialRow, RefreshFailure, RefreshMark};
pub use dead_letters::{DeadLetterFilter, DeadLetterListing};
pub use disk::DiskSpace;
pub use effects::{AttemptListing, EffectDetail, EffectListing, EffectRow, MadeBy};
pub use error::StoreError;
pub use event_views::{EventDetail, EventFilter, EventState};
pub use events::EventListing;
pub use gauges::Gauges;
pub use held::{BreakerRow, HeldLane, HeldReason, HeldRow};
pub use inbox::{Appended, BodyRow, InboxRow, SlimEvent};
pub use memory::{RankrEventListing, RankrEventRow, RunReadRow, ScheduleRow, StateRow};
pub use moments::{Candidate, ChangedMoment, MomentRow, Place};
pub use open::{Store, StoreSettings, Synchronous};
pub use outbox::{AnsweredRow, EffectMark, EffectStep, OpenEffect, SlimEffect};
pub use plugins::{PluginSummary, VersionRow, VersionSummary};
pub use polling::{DuePolling, Missing, PolledRow, PollingRow, PollingStep};
pub use record_views::{LinkListing, RecordFilter, RecordListing, RecordPage};
pub use records::{Creating, LoadedContext, ObjectKey};
pub use reruns::{Original, PriorEffect, RerunEnd, RerunListing, RerunRow, ResolvedRow};
pub use runs::RunListing;
pub use story::{ConflictListing, FailureListing, ReadListing};
pub use tenants::TenantListing;
pub use timeline::{TimelineFilter, TimelineListing, TimelineOrder};
pub use timing::{TimingCursor, TimingRuleRow, TimingStep};

/// The database engine in use; the only place that names it.
type Engine = sqlx::Sqlite;
/// A connection of that engine.
type Connection = sqlx::SqliteConnection;
/// A row of that engine.
type Row = sqlx::sqlite::SqliteRow;
