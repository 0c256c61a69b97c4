//! The outbox: effects that wait for GHL, the steps they take, and what GHL answered.

use super::{Connection, Row, Store, StoreError};
use crate::domain::{
    AssignmentId, Cause, ConnectionId, GhlId, Lane, ObjectKind, Sequence, TenantId, Timestamp,
};
use sqlx::Row as _;
use std::collections::HashSet;

/// A step of an effect.
///
/// It is taken only from the states and the attempt that whoever takes it knows of, so that a late answer never
/// overwrites what was decided meanwhile: then the whole commit is refused.
#[derive(Clone, Debug)]
pub struct EffectMark {
    /// Which.
    pub id: i64,
    /// The states it is taken from.
    pub from: &'static [&'static str],
    /// The number of attempts it is taken at; any where a person decides.
    pub attempts: Option<i64>,
    /// What happens.
    pub step: EffectStep,
    /// When.
    pub at: Timestamp,
}

/// What happens to an effect.
#[derive(Clone, Debug)]
pub enum EffectStep {
    /// It is about to be sent.
    Sending,
    /// Nobody knows whether the sending arrived; it is looked for.
    Doubtful {
        /// Whether GHL's answer left it open; else the process ended meanwhile.
        answered: bool,
        /// The attempt's outcome, a word.
        outcome: &'static str,
        /// Why.
        detail: String,
    },
    /// It is tried again then.
    Waiting {
        /// When.
        until: Timestamp,
        /// Whether it counts as a failure; what parks a whole connection does not.
        failing: bool,
        /// Whether the sending surely was not done.
        undone: bool,
        /// The attempt's outcome, a word.
        outcome: &'static str,
        /// Why.
        detail: String,
    },
    /// It waits for a person to settle the effect of that key.
    Held {
        /// The key of the effect it waits for.
        after: String,
        /// Why.
        detail: String,
    },
    /// A person has it sent again.
    Again {
        /// Why.
        detail: String,
    },
    /// It has ended; what was held by it goes on.
    Ended {
        /// `done`, `refused`, `dead`, `unclear` or `cancelled`.
        state: &'static str,
        /// GHL's id of what it made or changed.
        ghl_id: Option<GhlId>,
        /// The attempt's outcome, a word.
        outcome: &'static str,
        /// Why it did not end well.
        detail: Option<String>,
    },
}

/// Effects that commits of one group have taken steps of.
#[derive(Default)]
pub(super) struct Steps(HashSet<i64>);

impl Steps {
    /// Whether all these steps can be taken; if so they count as taken.
    pub(super) async fn admit(
        &mut self,
        connection: &mut Connection,
        marks: &[EffectMark],
    ) -> Result<bool, StoreError> {
        for mark in marks {
            let known: Option<(String, i64)> =
                sqlx::query_as("SELECT state, attempts FROM effects WHERE id = $1")
                    .bind(mark.id)
                    .fetch_optional(&mut *connection)
                    .await?;
            let fits = known.is_some_and(|(state, attempts)| {
                mark.from.contains(&state.as_str()) && mark.attempts.is_none_or(|known| known == attempts)
            });
            if !fits || self.0.contains(&mark.id) {
                return Ok(false);
            }
        }
        self.0.extend(marks.iter().map(|mark| mark.id));
        Ok(true)
    }
}

/// Takes admitted steps in the caller's transaction.
pub(super) async fn mark(connection: &mut Connection, marks: &[&EffectMark]) -> Result<(), StoreError> {
    for mark in marks {
        take(connection, mark).await?;
    }
    Ok(())
}

async fn take(connection: &mut Connection, mark: &EffectMark) -> Result<(), StoreError> {
    let at = mark.at.millis();
    let query = match &mark.step {
        EffectStep::Sending => {
            close_attempt(connection, mark, ("interrupted", None)).await?;
            sqlx::query(
                "INSERT INTO effect_attempts (effect, tenant, sent_at) SELECT id, tenant, $2 FROM effects WHERE id = $1",
            )
            .bind(mark.id)
            .bind(at)
            .execute(&mut *connection)
            .await?;
            sqlx::query(
                "UPDATE effects SET state = 'sending', sending_at = $2, attempts = attempts + 1, doubt_since = NULL, \
                 next_at = NULL, first_sent_at = coalesce(first_sent_at, $2) WHERE id = $1",
            )
            .bind(mark.id)
            .bind(at)
        }
        EffectStep::Doubtful { answered, outcome, detail } => {
            close_attempt(connection, mark, (outcome, Some(detail))).await?;
            sqlx::query("UPDATE effects SET doubt_since = $2, doubts = doubts + $3, detail = $4 WHERE id = $1")
                .bind(mark.id)
                .bind(at)
                .bind(i64::from(*answered))
                .bind(detail.clone())
        }
        EffectStep::Waiting { until, failing, undone, outcome, detail } => {
            close_attempt(connection, mark, (outcome, Some(detail))).await?;
            // A sending that surely was not done leaves no doubt behind when it was the only one.
            sqlx::query(
                "UPDATE effects SET state = 'waiting', next_at = $2, detail = $3, doubt_since = NULL, \
                 first_sent_at = CASE WHEN $4 = 1 AND attempts <= 1 THEN NULL ELSE first_sent_at END, \
                 failing_since = CASE WHEN $5 = 1 THEN coalesce(failing_since, $6) ELSE failing_since END, \
                 attempts = attempts - $4 WHERE id = $1",
            )
            .bind(mark.id)
            .bind(until.millis())
            .bind(detail.clone())
            .bind(i64::from(*undone))
            .bind(i64::from(*failing))
            .bind(at)
        }
        EffectStep::Held { after, detail } => {
            // What it waits for may have been settled since it was looked at.
            sqlx::query(
                "UPDATE effects SET state = CASE WHEN EXISTS (SELECT 1 FROM effects maker WHERE maker.effect_key = $2 \
                 AND maker.state IN ('unclear', 'held')) THEN 'held' ELSE 'waiting' END, after_key = $2, detail = $3 \
                 WHERE id = $1",
            )
            .bind(mark.id)
            .bind(after.clone())
            .bind(detail.clone())
        }
        EffectStep::Again { detail } => sqlx::query(
            "UPDATE effects SET state = 'waiting', next_at = NULL, ended_at = NULL, failing_since = NULL, detail = $2 \
             WHERE id = $1",
        )
        .bind(mark.id)
        .bind(detail.clone()),
        EffectStep::Ended { state, ghl_id, outcome, detail } => {
            close_attempt(connection, mark, (outcome, detail.as_deref())).await?;
            sqlx::query(
                "UPDATE effects SET state = $2, ghl_id = coalesce($3, ghl_id), detail = $4, ended_at = $5, next_at = NULL \
                 WHERE id = $1",
            )
            .bind(mark.id)
            .bind(*state)
            .bind(ghl_id.as_ref().map(|id| id.as_str().to_owned()))
            .bind(detail.clone())
            .bind(at)
        }
    };
    query.execute(&mut *connection).await?;
    if matches!(&mark.step, EffectStep::Ended { state, .. } if *state != "unclear") {
        sqlx::query(
            "UPDATE effects SET state = 'waiting', detail = NULL, next_at = NULL WHERE state = 'held' \
             AND after_key = (SELECT effect_key FROM effects WHERE id = $1)",
        )
        .bind(mark.id)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Notes how the sending under way came out, if one is.
async fn close_attempt(
    connection: &mut Connection,
    mark: &EffectMark,
    (outcome, detail): (&str, Option<&str>),
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE effect_attempts SET outcome = $2, detail = $3, answered_at = $4 WHERE effect = $1 AND outcome IS NULL",
    )
    .bind(mark.id)
    .bind(outcome.to_owned())
    .bind(detail.map(str::to_owned))
    .bind(mark.at.millis())
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// What GHL answered to one of our writes, kept beside the mirror until its echo came.
#[derive(Clone, Debug)]
pub struct AnsweredRow {
    /// Whose it is.
    pub tenant: TenantId,
    /// Through which connection.
    pub connection: ConnectionId,
    /// What kind of object.
    pub kind: ObjectKind,
    /// GHL's id.
    pub ghl_id: GhlId,
    /// GHL's id of its contact.
    pub contact: Option<GhlId>,
    /// A JSON merge patch (RFC 7396) of what is kept.
    pub patch: String,
}

/// Merges answers in the caller's transaction.
pub(super) async fn answered(connection: &mut Connection, rows: &[&AnsweredRow]) -> Result<(), StoreError> {
    for row in rows {
        sqlx::query(
            "INSERT INTO mirror (tenant, connection, kind, ghl_id, contact, fields, answered) \
             VALUES ($1, $2, $3, $4, $5, '{}', json_patch('{}', $6)) ON CONFLICT (connection, kind, ghl_id) DO UPDATE SET \
             contact = coalesce(mirror.contact, excluded.contact), answered = json_patch(coalesce(mirror.answered, '{}'), $6)",
        )
        .bind(row.tenant.as_str().to_owned())
        .bind(row.connection.as_str().to_owned())
        .bind(row.kind.as_str())
        .bind(row.ghl_id.as_str().to_owned())
        .bind(row.contact.as_ref().map(|id| id.as_str().to_owned()))
        .bind(row.patch.clone())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// An open effect, as far as its place in the queue needs it.
#[derive(Clone, Debug)]
pub struct SlimEffect {
    /// Its number.
    pub id: i64,
    /// Whose it is.
    pub tenant: TenantId,
    /// Through which connection it is done.
    pub connection: ConnectionId,
    /// The lane whose order it keeps.
    pub lane: Lane,
    /// When it is due.
    pub due: Option<Timestamp>,
}

/// An effect, whole.
#[derive(Clone, Debug)]
pub struct OpenEffect {
    /// Its number.
    pub id: i64,
    /// Whose it is.
    pub tenant: TenantId,
    /// Through which connection it is done.
    pub connection: ConnectionId,
    /// Which assignment asked for it.
    pub assignment: AssignmentId,
    /// On which event.
    pub sequence: Sequence,
    /// The same for the same effect.
    pub effect_key: String,
    /// The author's name for it.
    pub author_key: Option<String>,
    /// The lane whose order it keeps.
    pub lane: Lane,
    /// GHL's id of the event's contact.
    pub contact: Option<GhlId>,
    /// The event's cause.
    pub cause: Cause,
    /// What is to be done, JSON.
    pub content: String,
    /// How it stands.
    pub state: String,
    /// Whether it is done in GHL, not here.
    pub remote: bool,
    /// Tries so far.
    pub attempts: i64,
    /// When it was first sent with nobody knowing whether it arrived.
    pub first_sent_at: Option<Timestamp>,
    /// Since when nobody knows whether the last sending arrived.
    pub doubt_since: Option<Timestamp>,
    /// How often GHL's answer left that open.
    pub doubts: i64,
    /// Since when it fails.
    pub failing_since: Option<Timestamp>,
}

const OPEN: &str = "SELECT id, tenant, connection, lane, CASE state WHEN 'waiting' THEN next_at END FROM effects \
    WHERE state IN ('waiting', 'sending') AND id > $1 ORDER BY id LIMIT $2";
const WHOLE: &str = "SELECT id, tenant, connection, assignment, sequence, effect_key, author_key, lane, contact, cause, \
    content, state, class IS NOT NULL, attempts, first_sent_at, doubt_since, doubts, failing_since FROM effects WHERE id = $1";

impl Store {
    /// Effects that wait or are being sent, after this one, in the order of planning. Cross-tenant: the outbox works for
    /// all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open_effects(&self, after: i64, limit: i64) -> Result<Vec<SlimEffect>, StoreError> {
        let rows = sqlx::query(OPEN).bind(after).bind(limit).fetch_all(&self.readers).await?;
        rows.iter()
            .map(|row| {
                Ok(SlimEffect {
                    id: row.try_get(0)?,
                    tenant: TenantId::from(row.try_get::<String, _>(1)?),
                    connection: ConnectionId::from(row.try_get::<String, _>(2)?),
                    lane: Lane::from(row.try_get::<String, _>(3)?),
                    due: row.try_get::<Option<i64>, _>(4)?.map(Timestamp::from_millis),
                })
            })
            .collect()
    }

    /// An effect, whole. Cross-tenant: the outbox works for all; who asks for a person looks whose it is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn effect(&self, id: i64) -> Result<Option<OpenEffect>, StoreError> {
        let row = sqlx::query(WHOLE).bind(id).fetch_optional(&self.readers).await?;
        row.as_ref().map(whole).transpose()
    }

    /// Effects that name the result of this one and can go on. Cross-tenant: the key names event and assignment.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn waiting_after(&self, effect_key: &str) -> Result<Vec<i64>, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT id FROM effects WHERE after_key = $1 AND state = 'waiting' ORDER BY id",
        )
        .bind(effect_key.to_owned())
        .fetch_all(&self.readers)
        .await?)
    }

    /// How many effects are held by this one. Cross-tenant: the key names event and assignment.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_held(&self, effect_key: &str) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar("SELECT count(*) FROM effects WHERE after_key = $1 AND state = 'held'")
            .bind(effect_key.to_owned())
            .fetch_one(&self.readers)
            .await?)
    }

    /// The key of an unsettled effect that may have made what is to be linked with this Rankr object.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unsettled_maker(
        &self,
        tenant: &TenantId,
        kind: ObjectKind,
        rankr_id: &crate::domain::RankrId,
    ) -> Result<Option<String>, StoreError> {
        let ops = crate::domain::RemoteOp::ALL.iter().filter(|op| op.makes() && op.kind() == kind);
        let ops: Vec<&str> = ops.map(|op| op.as_str()).collect();
        let ops = serde_json::to_string(&ops).map_err(|error| StoreError::corrupt("operation", &error))?;
        Ok(sqlx::query_scalar(
            "SELECT effect_key FROM effects WHERE tenant = $1 AND state IN ('unclear', 'held') \
             AND content ->> 'rankr_id' = $2 AND op IN (SELECT value FROM json_each($3)) ORDER BY id DESC LIMIT 1",
        )
        .bind(tenant.as_str().to_owned())
        .bind(rankr_id.as_str().to_owned())
        .bind(ops)
        .fetch_optional(&self.readers)
        .await?)
    }

    /// How many effects wait or are being sent. Cross-tenant: for operators.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_open_effects(&self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar("SELECT count(*) FROM effects WHERE state IN ('waiting', 'sending')")
            .fetch_one(&self.readers)
            .await?)
    }
}

fn whole(row: &Row) -> Result<OpenEffect, StoreError> {
    let cause: String = row.try_get(9)?;
    let time = |place: usize| row.try_get::<Option<i64>, _>(place).map(|at| at.map(Timestamp::from_millis));
    Ok(OpenEffect {
        id: row.try_get(0)?,
        tenant: TenantId::from(row.try_get::<String, _>(1)?),
        connection: ConnectionId::from(row.try_get::<String, _>(2)?),
        assignment: AssignmentId::from(row.try_get::<String, _>(3)?),
        sequence: Sequence(row.try_get(4)?),
        effect_key: row.try_get(5)?,
        author_key: row.try_get(6)?,
        lane: Lane::from(row.try_get::<String, _>(7)?),
        contact: row.try_get::<Option<String>, _>(8)?.map(GhlId::from),
        cause: Cause::parse(&cause)
            .ok_or_else(|| StoreError::Corrupt { what: "cause", detail: cause.clone() })?,
        content: row.try_get(10)?,
        state: row.try_get(11)?,
        remote: row.try_get(12)?,
        attempts: row.try_get(13)?,
        first_sent_at: time(14)?,
        doubt_since: time(15)?,
        doubts: row.try_get(16)?,
        failing_since: time(17)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EffectClass, ObjectKind};
    use crate::store::{EffectRow, EventCommit, ObjectKey, StoreSettings};

    async fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreSettings::in_folder(folder.path())).await.unwrap();
        (folder, store)
    }

    fn planned(key: &str, after: Option<&str>) -> EffectRow {
        EffectRow {
            tenant: "t".into(),
            connection: "c".into(),
            assignment: "as".into(),
            version: "v".into(),
            sequence: Sequence(1),
            effect_key: key.into(),
            author_key: None,
            lane: "l".into(),
            contact: None,
            cause: Cause::Live,
            op: "create_note",
            class: Some(EffectClass::Findable),
            makes: true,
            content: "{}".into(),
            asked: None,
            after_key: after.map(str::to_owned),
            state: "waiting",
            detail: None,
            at: Timestamp::from_millis(1),
        }
    }

    fn mark(id: i64, from: &'static [&'static str], attempts: i64, step: EffectStep) -> EventCommit {
        let mark = EffectMark { id, from, attempts: Some(attempts), step, at: Timestamp::from_millis(5) };
        EventCommit { marks: vec![mark], ..EventCommit::default() }
    }

    fn ended(state: &'static str) -> EffectStep {
        EffectStep::Ended { state, ghl_id: Some("n1".into()), outcome: "done", detail: None }
    }

    const OPEN_STATES: &[&str] = &["waiting", "sending"];

    #[tokio::test]
    async fn a_late_answer_overwrites_no_decision() {
        let (_folder, store) = store().await;
        let commit = EventCommit { effects: vec![planned("1/as/a", None)], ..EventCommit::default() };
        store.commit_event(commit).await.unwrap();
        let sending = || mark(1, OPEN_STATES, 0, EffectStep::Sending);
        // Two at once, in one group or in two: one is taken.
        let (one, other) = tokio::join!(store.commit_event(sending()), store.commit_event(sending()));
        assert_eq!(i32::from(one.is_ok()) + i32::from(other.is_ok()), 1);
        assert!(matches!(one.and(other), Err(StoreError::Conflict)));
        store.commit_event(mark(1, OPEN_STATES, 1, ended("unclear"))).await.unwrap();
        store.commit_event(mark(1, &["unclear"], 1, ended("done"))).await.unwrap();
        let late = store.commit_event(mark(1, OPEN_STATES, 1, ended("refused"))).await;
        assert!(matches!(late, Err(StoreError::Conflict)));
        assert_eq!(store.effect(1).await.unwrap().unwrap().state, "done");
        let detail = store.effect_detail(1).await.unwrap().unwrap();
        assert_eq!(detail.attempt_log.len(), 1);
    }

    #[tokio::test]
    async fn what_is_held_goes_on_when_what_it_names_is_settled_however_late_it_is_held() {
        let (_folder, store) = store().await;
        let effects = vec![planned("a", None), planned("b", Some("a")), planned("c", Some("a"))];
        store.commit_event(EventCommit { effects, ..EventCommit::default() }).await.unwrap();
        let held = || EffectStep::Held { after: "a".into(), detail: "it waits".into() };
        store.commit_event(mark(1, OPEN_STATES, 0, ended("unclear"))).await.unwrap();
        store.commit_event(mark(2, OPEN_STATES, 0, held())).await.unwrap();
        assert_eq!(store.count_held("a").await.unwrap(), 1);
        store.commit_event(mark(1, &["unclear"], 0, ended("done"))).await.unwrap();
        // One that looked before and is held after it was settled waits no longer.
        store.commit_event(mark(3, OPEN_STATES, 0, held())).await.unwrap();
        assert_eq!(store.waiting_after("a").await.unwrap(), [2, 3]);
    }

    #[tokio::test]
    async fn a_sending_that_was_surely_not_done_leaves_no_doubt() {
        let (_folder, store) = store().await;
        let commit = EventCommit { effects: vec![planned("a", None)], ..EventCommit::default() };
        store.commit_event(commit).await.unwrap();
        store.commit_event(mark(1, OPEN_STATES, 0, EffectStep::Sending)).await.unwrap();
        assert!(store.effect(1).await.unwrap().unwrap().first_sent_at.is_some());
        let until = Timestamp::from_millis(9);
        let waiting = |failing, undone| EffectStep::Waiting {
            until,
            failing,
            undone,
            outcome: "rate-limited",
            detail: "the quota".into(),
        };
        store.commit_event(mark(1, OPEN_STATES, 1, waiting(false, true))).await.unwrap();
        let parked = store.effect(1).await.unwrap().unwrap();
        assert_eq!((parked.attempts, parked.first_sent_at, parked.failing_since), (0, None, None));
        store.commit_event(mark(1, OPEN_STATES, 0, EffectStep::Sending)).await.unwrap();
        store.commit_event(mark(1, OPEN_STATES, 1, waiting(true, false))).await.unwrap();
        let failing = store.effect(1).await.unwrap().unwrap();
        assert_eq!(failing.attempts, 1);
        assert!(failing.first_sent_at.is_some() && failing.failing_since.is_some());
    }

    #[tokio::test]
    async fn a_contact_that_is_not_known_brings_along_the_contacts_that_are_being_made() {
        let (_folder, store) = store().await;
        let content = r#"{"fields": {"email": "Ada@example.com", "phone": "+1 555-0100"}}"#;
        let create = EffectRow { op: "create_contact", content: content.to_owned(), ..planned("a", None) };
        store.commit_event(EventCommit { effects: vec![create], ..EventCommit::default() }).await.unwrap();
        let key = ObjectKey {
            tenant: "t".into(),
            connection: "c".into(),
            kind: ObjectKind::Contact,
            ghl_id: "contact1".into(),
        };
        let creating =
            async || store.load_contexts(std::slice::from_ref(&key)).await.unwrap()[&key].creating.clone();
        assert!(creating().await.is_empty());
        store.commit_event(mark(1, OPEN_STATES, 0, EffectStep::Sending)).await.unwrap();
        let made = creating().await;
        assert_eq!(made.len(), 1);
        assert_eq!(made[0].email.as_deref(), Some("Ada@example.com"));
        assert_eq!(
            (made[0].phone.as_deref(), made[0].since),
            (Some("+1 555-0100"), Timestamp::from_millis(5))
        );
        let other = ObjectKey { tenant: "other".into(), ..key.clone() };
        assert!(store.load_contexts(std::slice::from_ref(&other)).await.unwrap()[&other].creating.is_empty());
        store.commit_event(mark(1, OPEN_STATES, 1, ended("done"))).await.unwrap();
        assert!(creating().await.is_empty());
    }

    #[tokio::test]
    async fn what_the_outbox_asks_for_is_found_by_an_index() {
        let (_folder, store) = store().await;
        let asked = [
            (OPEN, "effects_open"),
            (
                "SELECT id FROM effects WHERE after_key = $1 AND state = 'waiting' ORDER BY id",
                "effects_after",
            ),
            ("SELECT count(*) FROM effects WHERE after_key = $1 AND state = 'held'", "effects_after"),
            ("SELECT 1 FROM effects WHERE tenant = $1 AND state IN ('unclear', 'held')", "effects_unsettled"),
            ("SELECT 1 FROM effect_attempts WHERE effect = $1", "effect_attempts_effect"),
        ];
        for (sql, index) in asked {
            let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
            let plan: Vec<(i64, i64, i64, String)> =
                sqlx::query_as(explain).fetch_all(&store.readers).await.unwrap();
            assert!(plan.iter().any(|step| step.3.contains(index)), "{sql}: {plan:?}");
        }
    }
}
