//! The least that ending events can cost: the rows that a pipeline wrote, read back and written again by a bare loop, in
//! batches of the same size. `mapwright bench pipeline` measures the pipeline beside it; no host runs it.

use super::commit::{
    self, EventCommit, EventEnd, EventRow, LinkRow, MirrorRow, RecordRow, RunRow, TimelineRow,
};
use super::moments::MomentRow;
use super::{Connection, Row, Store, StoreError};
use crate::domain::{
    AssignmentId, Clock, ConnectionId, GhlId, ObjectKind, RankrId, Sequence, TenantId, Timestamp, VersionId,
};
use sqlx::{Connection as _, Row as _};
use std::collections::HashMap;
use std::time::Duration;

/// Words of a run that are static in the code and text in the database.
const WORDS: &[&str] = &["mapping", "reaction", "mapped", "reacted"];

fn word(text: &str) -> &'static str {
    WORDS.iter().find(|word| **word == text).copied().unwrap_or("other")
}

/// All rows of ended events by sequence, as a pipeline wrote them.
#[derive(Clone, Debug, Default)]
pub struct EndedEvents(Vec<EventCommit>);

impl EndedEvents {
    /// How many events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The events from that sequence on, and those before it.
    #[must_use]
    pub fn split(self, from: Sequence) -> (Self, Self) {
        let is_before = |commit: &EventCommit| commit.events.first().is_some_and(|it| it.sequence < from);
        let (before, after) = self.0.into_iter().partition(is_before);
        (Self(before), Self(after))
    }
}

impl Store {
    /// Reads what the end of every event wrote: the newest mirror and record of its contact stand for those it wrote.
    /// Cross-tenant: it is about the file.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn ended_events(&self) -> Result<EndedEvents, StoreError> {
        let rows = sqlx::query(
            "SELECT e.sequence, e.tenant, e.run_order, e.attempts, e.ended_at, r.assignment, r.version, r.interface, \
                r.outcome, r.fuel, r.micros, r.ran_at, m.connection, m.kind, m.ghl_id, m.contact, m.fields, \
                l.rankr_id, l.made_at, c.fields, c.provenance, c.updated_at, t.contact, t.at, t.entry, \
                i.event_type = 'ContactCreate', e.changed, i.source_time \
             FROM events e JOIN inbox i ON i.sequence = e.sequence JOIN runs r ON r.sequence = e.sequence \
             JOIN mirror m ON m.connection = i.connection AND m.kind = 'contact' \
                AND m.ghl_id = substr(i.lane, instr(i.lane, ':') + 1) \
             JOIN links l ON l.tenant = e.tenant AND l.kind = 'contact' AND l.connection = i.connection \
                AND l.ghl_id = m.ghl_id \
             JOIN records c ON c.tenant = e.tenant AND c.kind = 'contact' AND c.id = l.rankr_id \
             JOIN (SELECT sequence, min(contact) AS contact, min(at) AS at, min(entry) AS entry FROM timeline \
                GROUP BY sequence) t ON t.sequence = e.sequence \
             WHERE e.state = 'done' ORDER BY e.sequence",
        )
        .fetch_all(&self.readers)
        .await?;
        Ok(EndedEvents(rows.iter().map(commit_of).collect::<Result<_, _>>()?))
    }

    /// Writes those rows, `batch` events to a commit, one commit after the other; how long it took. Cross-tenant: it
    /// is about the file.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn write_bare(
        &self,
        events: EndedEvents,
        batch: usize,
        clock: Clock,
    ) -> Result<Duration, StoreError> {
        let mut connection = self.bare_connection().await?;
        let mut batches: Vec<Vec<EventCommit>> = Vec::new();
        let mut by_batch: HashMap<usize, Vec<EventCommit>> = HashMap::new();
        for (place, commit) in events.0.into_iter().enumerate() {
            by_batch.entry(place / batch.max(1)).or_default().push(commit);
        }
        for place in 0..by_batch.len() {
            batches.extend(by_batch.remove(&place));
        }
        let began = clock.machine_now();
        for commits in &batches {
            write_one(&mut connection, commits).await?;
        }
        let took = began.elapsed();
        connection.close().await?;
        Ok(took)
    }
}

async fn write_one(connection: &mut Connection, commits: &[EventCommit]) -> Result<(), StoreError> {
    let mut transaction = connection.begin().await?;
    commit::write_all(&mut transaction, commits).await?;
    transaction.commit().await?;
    Ok(())
}

fn commit_of(row: &Row) -> Result<EventCommit, StoreError> {
    let sequence = Sequence(row.try_get(0)?);
    let tenant = TenantId::from(row.try_get::<String, _>(1)?);
    let at = |column: usize| -> Result<Timestamp, StoreError> {
        Ok(Timestamp::from_millis(row.try_get::<Option<i64>, _>(column)?.unwrap_or(0)))
    };
    let text = |column: usize| -> Result<String, StoreError> { Ok(row.try_get(column)?) };
    let connection = ConnectionId::from(text(12)?);
    let ghl_id = GhlId::from(text(14)?);
    let rankr_id = RankrId::from(text(17)?);
    let contact = row.try_get::<Option<String>, _>(15)?.map(GhlId::from);
    let mut commit = EventCommit::default();
    commit.events.push(EventRow {
        sequence,
        tenant: tenant.clone(),
        end: EventEnd::Done,
        run_order: row.try_get(2)?,
        attempts: row.try_get(3)?,
        changed: row.try_get(26)?,
        at: at(4)?,
    });
    commit.runs.push(RunRow {
        sequence,
        tenant: tenant.clone(),
        assignment: AssignmentId::from(text(5)?),
        version: VersionId::from(text(6)?),
        interface: word(&text(7)?),
        outcome: word(&text(8)?),
        detail: None,
        fuel: row.try_get(9)?,
        micros: row.try_get(10)?,
        at: at(11)?,
        log: None,
        rerun: None,
    });
    commit.mirror.push(MirrorRow {
        tenant: tenant.clone(),
        connection: connection.clone(),
        kind: ObjectKind::parse(&text(13)?),
        ghl_id: ghl_id.clone(),
        contact: contact.clone(),
        fields: text(16)?,
        deleted_at: None,
    });
    commit.moments.push(MomentRow {
        tenant: tenant.clone(),
        connection: connection.clone(),
        kind: ObjectKind::Contact,
        ghl_id: ghl_id.clone(),
        contact,
        at: Some(at(27)?),
    });
    commit.records.push(RecordRow {
        tenant: tenant.clone(),
        kind: ObjectKind::Contact,
        id: rankr_id.clone(),
        fields: text(19)?,
        provenance: text(20)?,
        at: at(21)?,
        deleted_at: None,
    });
    if row.try_get::<bool, _>(25)? {
        commit.links.push(LinkRow {
            tenant: tenant.clone(),
            kind: ObjectKind::Contact,
            connection,
            ghl_id,
            rankr_id: rankr_id.clone(),
            at: at(18)?,
        });
    }
    commit.timeline.push(TimelineRow {
        tenant,
        contact: Some(rankr_id),
        at: at(23)?,
        sequence,
        kind: "event",
        entry: text(24)?,
    });
    Ok(commit)
}
