//! What one event's end writes: its state, runs, mirror, records, links, timeline and dead letters, all or
//! nothing, many events to a commit.

use super::audit::{self, AuditRow};
use super::effects::{self, EffectRow};
use super::held::{self, HeldRow};
use super::inbox::{self, Appended, InboxRow};
use super::memory::{self, RankrEventRow, RunReadRow, ScheduleRow, StateRow};
use super::moments::{self, MomentRow};
use super::outbox::{self, AnsweredRow, EffectMark};
use super::polling::{self, PollingStep};
use super::reruns::{self, RerunEnd, RerunRow, ResolvedRow};
use super::rows::{self, Binder, Shape};
use super::timing::{self, TimingStep};
use super::{Connection, Store, StoreError};
use crate::domain::{
    AssignmentId, ConnectionId, GhlId, ObjectKind, RankrId, Sequence, TenantId, Timestamp, VersionId,
};

/// How an event stands after its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventEnd {
    /// All of it is done.
    Done,
    /// Done together with the event of that sequence, in one run.
    Folded(Sequence),
    /// At least one assignment finally failed; the others stand.
    Dead,
    /// At least one assignment has not run yet; the others stand.
    Held,
    /// To be tried again at that moment; nothing else of the event is committed.
    Waiting(Timestamp),
}

/// An event's row.
#[derive(Clone, Debug)]
pub struct EventRow {
    /// Which event.
    pub sequence: Sequence,
    /// Whose it is.
    pub tenant: TenantId,
    /// How it stands.
    pub end: EventEnd,
    /// The place of its run in the order of runs.
    pub run_order: i64,
    /// Tries so far.
    pub attempts: i64,
    /// What it changed in the mirror, JSON, if anything.
    pub changed: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// One call of a plugin.
#[derive(Clone, Debug)]
pub struct RunRow {
    /// On which event.
    pub sequence: Sequence,
    /// Whose it is.
    pub tenant: TenantId,
    /// For which assignment.
    pub assignment: AssignmentId,
    /// Which version ran.
    pub version: VersionId,
    /// `mapping` or `reaction`.
    pub interface: &'static str,
    /// The outcome's word.
    pub outcome: &'static str,
    /// What failed, without personal data.
    pub detail: Option<String>,
    /// Fuel used.
    pub fuel: i64,
    /// Machine time, microseconds.
    pub micros: i64,
    /// When.
    pub at: Timestamp,
    /// The lines it logged, as JSON, if any.
    pub log: Option<String>,
    /// The event that asked for it, where its own is run again.
    pub rerun: Option<Sequence>,
}

/// The mirror of one GHL object.
#[derive(Clone, Debug)]
pub struct MirrorRow {
    /// Whose it is.
    pub tenant: TenantId,
    /// Through which connection it is known.
    pub connection: ConnectionId,
    /// What it is.
    pub kind: ObjectKind,
    /// GHL's id.
    pub ghl_id: GhlId,
    /// GHL's id of its contact.
    pub contact: Option<GhlId>,
    /// The stamped fields, JSON.
    pub fields: String,
    /// When it was deleted, by source time.
    pub deleted_at: Option<Timestamp>,
}

/// A record and its link.
#[derive(Clone, Debug)]
pub struct RecordRow {
    /// Whose it is.
    pub tenant: TenantId,
    /// What it is.
    pub kind: ObjectKind,
    /// Rankr's id.
    pub id: RankrId,
    /// Its fields, JSON.
    pub fields: String,
    /// Its fields' provenance, as `domain::provenance` stores it.
    pub provenance: String,
    /// When.
    pub at: Timestamp,
    /// When its object was deleted.
    pub deleted_at: Option<Timestamp>,
}

/// A link to store if it is not there yet.
#[derive(Clone, Debug)]
pub struct LinkRow {
    /// Whose it is.
    pub tenant: TenantId,
    /// What is linked.
    pub kind: ObjectKind,
    /// Through which connection.
    pub connection: ConnectionId,
    /// GHL's id.
    pub ghl_id: GhlId,
    /// Rankr's id.
    pub rankr_id: RankrId,
    /// When.
    pub at: Timestamp,
}

/// A timeline entry.
#[derive(Clone, Debug)]
pub struct TimelineRow {
    /// Whose it is.
    pub tenant: TenantId,
    /// Rankr's id of the contact.
    pub contact: Option<RankrId>,
    /// When it happened.
    pub at: Timestamp,
    /// Of which event.
    pub sequence: Sequence,
    /// The entry's kind.
    pub kind: &'static str,
    /// The entry, JSON.
    pub entry: String,
}

/// A final failure, kept for a person.
#[derive(Clone, Debug)]
pub struct DeadLetterRow {
    /// Which event.
    pub sequence: Sequence,
    /// Whose it is.
    pub tenant: TenantId,
    /// Which assignment failed.
    pub assignment: AssignmentId,
    /// Which version ran.
    pub version: VersionId,
    /// The outcome's word.
    pub outcome: &'static str,
    /// What failed, without personal data.
    pub detail: String,
    /// When.
    pub at: Timestamp,
}

/// All that the end of a run of events writes.
#[derive(Clone, Debug, Default)]
pub struct EventCommit {
    /// The events; several when they were folded.
    pub events: Vec<EventRow>,
    /// The plugin calls.
    pub runs: Vec<RunRow>,
    /// The mirror's rows, whole.
    pub mirror: Vec<MirrorRow>,
    /// What timing rules count from.
    pub moments: Vec<MomentRow>,
    /// How far timing rules have fired.
    pub timing: Vec<TimingStep>,
    /// The records, whole.
    pub records: Vec<RecordRow>,
    /// New links.
    pub links: Vec<LinkRow>,
    /// Timeline entries.
    pub timeline: Vec<TimelineRow>,
    /// Final failures.
    pub dead_letters: Vec<DeadLetterRow>,
    /// The plans' effects.
    pub effects: Vec<EffectRow>,
    /// What became of effects.
    pub marks: Vec<EffectMark>,
    /// What GHL answered to our writes.
    pub answered: Vec<AnsweredRow>,
    /// What plugins remember.
    pub state: Vec<StateRow>,
    /// Later runs, and those that are not to be any more.
    pub schedules: Vec<ScheduleRow>,
    /// Events for Rankr.
    pub rankr_events: Vec<RankrEventRow>,
    /// What the runs were answered.
    pub reads: Vec<RunReadRow>,
    /// How far polling goes with what it found.
    pub polling: Vec<PollingStep>,
    /// Events this commit causes.
    pub inbox: Vec<InboxRow>,
    /// What people asked to have run again.
    pub reruns: Vec<RerunRow>,
    /// How that came out.
    pub rerun_ends: Vec<RerunEnd>,
    /// Dead letters that are settled.
    pub resolved: Vec<ResolvedRow>,
    /// Who asked for it.
    pub audit: Vec<AuditRow>,
    /// Assignments that have not run on an event yet.
    pub held: Vec<HeldRow>,
    /// Assignments that have run on an event they were held from.
    pub let_go: Vec<(AssignmentId, Sequence)>,
}

const EVENTS: Shape = Shape {
    head: "INSERT INTO events (sequence, tenant, state, run_order, attempts, next_at, folded_into, ended_at, changed)",
    columns: 9,
    tail: "ON CONFLICT (sequence) DO UPDATE SET state = excluded.state, run_order = excluded.run_order, \
           attempts = excluded.attempts, next_at = excluded.next_at, folded_into = excluded.folded_into, \
           ended_at = excluded.ended_at, changed = excluded.changed WHERE events.state NOT IN ('done', 'dead')",
};
const RUNS: Shape = Shape {
    head: "INSERT INTO runs (tenant, sequence, assignment, version, interface, outcome, detail, fuel, micros, ran_at, log, rerun)",
    columns: 12,
    tail: "",
};
const MIRROR: Shape = Shape {
    head: "INSERT INTO mirror (tenant, connection, kind, ghl_id, contact, fields, deleted_at)",
    columns: 7,
    tail: "ON CONFLICT (connection, kind, ghl_id) DO UPDATE SET contact = excluded.contact, \
           fields = excluded.fields, deleted_at = excluded.deleted_at",
};
const RECORDS: Shape = Shape {
    head: "INSERT INTO records (tenant, kind, id, fields, provenance, created_at, updated_at, deleted_at)",
    columns: 8,
    tail: "ON CONFLICT (tenant, kind, id) DO UPDATE SET fields = excluded.fields, provenance = excluded.provenance, \
           updated_at = excluded.updated_at, deleted_at = excluded.deleted_at",
};
const LINKS: Shape = Shape {
    head: "INSERT INTO links (tenant, kind, connection, ghl_id, rankr_id, made_at)",
    columns: 6,
    tail: "ON CONFLICT (tenant, kind, connection, ghl_id) DO NOTHING",
};
const TIMELINE: Shape =
    Shape { head: "INSERT INTO timeline (tenant, contact, at, sequence, kind, entry)", columns: 6, tail: "" };
const DEAD_LETTERS: Shape = Shape {
    head: "INSERT INTO dead_letters (sequence, assignment, tenant, version, outcome, detail, died_at)",
    columns: 7,
    tail: "ON CONFLICT (sequence, assignment) DO UPDATE SET version = excluded.version, outcome = excluded.outcome, \
           detail = excluded.detail, died_at = excluded.died_at, resolved_at = NULL, \
           resolution = NULL, reason = NULL",
};

fn bind_event(row: &EventRow, to: &mut Binder) {
    let (state, next_at, folded_into, ended_at) = match row.end {
        EventEnd::Done => ("done", None, None, Some(row.at)),
        EventEnd::Folded(into) => ("done", None, Some(into.0), Some(row.at)),
        EventEnd::Dead => ("dead", None, None, Some(row.at)),
        EventEnd::Held => ("held", None, None, Some(row.at)),
        EventEnd::Waiting(until) => ("waiting", Some(until), None, None),
    };
    to.add(row.sequence.0)
        .add(row.tenant.as_str().to_owned())
        .add(state)
        .add(row.run_order)
        .add(row.attempts)
        .add(next_at.map(Timestamp::millis))
        .add(folded_into)
        .add(ended_at.map(Timestamp::millis))
        .add(row.changed.clone());
}

fn bind_run(row: &RunRow, to: &mut Binder) {
    to.add(row.tenant.as_str().to_owned())
        .add(row.sequence.0)
        .add(row.assignment.as_str().to_owned())
        .add(row.version.as_str().to_owned())
        .add(row.interface)
        .add(row.outcome)
        .add(row.detail.clone())
        .add(row.fuel)
        .add(row.micros)
        .add(row.at.millis())
        .add(row.log.clone())
        .add(row.rerun.map(|sequence| sequence.0));
}

fn bind_mirror(row: &MirrorRow, to: &mut Binder) {
    to.add(row.tenant.as_str().to_owned())
        .add(row.connection.as_str().to_owned())
        .add(row.kind.as_str())
        .add(row.ghl_id.as_str().to_owned())
        .add(row.contact.as_ref().map(|id| id.as_str().to_owned()))
        .add(row.fields.clone())
        .add(row.deleted_at.map(Timestamp::millis));
}

fn bind_record(row: &RecordRow, to: &mut Binder) {
    to.add(row.tenant.as_str().to_owned())
        .add(row.kind.as_str())
        .add(row.id.as_str().to_owned())
        .add(row.fields.clone())
        .add(row.provenance.clone())
        .add(row.at.millis())
        .add(row.at.millis())
        .add(row.deleted_at.map(Timestamp::millis));
}

fn bind_link(row: &LinkRow, to: &mut Binder) {
    to.add(row.tenant.as_str().to_owned())
        .add(row.kind.as_str())
        .add(row.connection.as_str().to_owned())
        .add(row.ghl_id.as_str().to_owned())
        .add(row.rankr_id.as_str().to_owned())
        .add(row.at.millis());
}

fn bind_timeline(row: &TimelineRow, to: &mut Binder) {
    to.add(row.tenant.as_str().to_owned())
        .add(row.contact.as_ref().map(|id| id.as_str().to_owned()))
        .add(row.at.millis())
        .add(row.sequence.0)
        .add(row.kind)
        .add(row.entry.clone());
}

fn bind_dead_letter(row: &DeadLetterRow, to: &mut Binder) {
    to.add(row.sequence.0)
        .add(row.assignment.as_str().to_owned())
        .add(row.tenant.as_str().to_owned())
        .add(row.version.as_str().to_owned())
        .add(row.outcome)
        .add(row.detail.clone())
        .add(row.at.millis());
}

/// Writes all commits in the caller's transaction, table by table; gives the greatest sequence of the events they
/// caused. Two commits of a group never touch the same record: the pipeline has one run of a lane under way at a time.
pub(super) async fn write_all(
    connection: &mut Connection,
    commits: &[EventCommit],
) -> Result<Option<i64>, StoreError> {
    macro_rules! insert {
        ($part:ident, $shape:expr, $bind:expr) => {
            let rows: Vec<_> = commits.iter().flat_map(|commit| &commit.$part).collect();
            rows::insert(connection, $shape, &rows, |row, to| $bind(row, to)).await?;
        };
    }
    macro_rules! write {
        ($part:ident, $write:path) => {
            let rows: Vec<_> = commits.iter().flat_map(|commit| &commit.$part).collect();
            $write(connection, &rows).await?;
        };
    }
    insert!(events, EVENTS, bind_event);
    insert!(runs, RUNS, bind_run);
    insert!(mirror, MIRROR, bind_mirror);
    insert!(records, RECORDS, bind_record);
    insert!(links, LINKS, bind_link);
    insert!(timeline, TIMELINE, bind_timeline);
    insert!(dead_letters, DEAD_LETTERS, bind_dead_letter);
    write!(moments, moments::put);
    write!(timing, timing::put_steps);
    write!(effects, effects::insert);
    write!(marks, outbox::mark);
    write!(answered, outbox::answered);
    write!(state, memory::put_state);
    write!(schedules, memory::put_schedules);
    write!(rankr_events, memory::put_rankr_events);
    write!(reads, memory::put_reads);
    write!(polling, polling::write);
    write!(reruns, reruns::ask);
    write!(rerun_ends, reruns::end);
    write!(resolved, reruns::resolve);
    for row in commits.iter().flat_map(|commit| &commit.audit) {
        audit::note(connection, Some(row)).await?;
    }
    write!(held, held::hold);
    write!(let_go, held::let_go);
    let caused: Vec<InboxRow> = commits.iter().flat_map(|commit| commit.inbox.iter().cloned()).collect();
    Ok(inbox::append_all(connection, &caused).await?.iter().map(Appended::sequence).max())
}

impl Store {
    /// Writes the end of a run of events, in a commit shared with what else arrives. Cross-tenant: the pipeline
    /// works for all.
    ///
    /// # Errors
    /// When the commit failed: then nothing of it is stored and the events are as before.
    pub async fn commit_event(&self, commit: EventCommit) -> Result<(), StoreError> {
        self.writer.commit(commit).await
    }
}
