//! The inbox: one slim row for each thing that happened, written before anyone is answered.

use super::rows::{self, Binder, Shape};
use super::{Connection, Store, StoreError};
use crate::domain::{AssignmentId, Cause, ConnectionId, Lane, Sequence, TenantId, Timestamp};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio::sync::watch;

/// A row to store.
#[derive(Clone, Debug)]
pub struct InboxRow {
    /// 16 bytes that are the same for the same delivery: of a hash over app and webhook id.
    pub dedupe: [u8; 16],
    /// Whose it is.
    pub tenant: TenantId,
    /// Through which connection it came.
    pub connection: ConnectionId,
    /// Its type.
    pub event_type: Arc<str>,
    /// Why it exists.
    pub cause: Cause,
    /// The unit of order.
    pub lane: Lane,
    /// The sender's id of the delivery.
    pub webhook_id: Option<Arc<str>>,
    /// When it came.
    pub received_at: Timestamp,
    /// When it happened.
    pub source_time: Timestamp,
    /// The payload as it came.
    pub body: Arc<str>,
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// Stored as new.
    New(Sequence),
    /// The same delivery was stored before.
    Duplicate(Sequence),
    /// The same id came with another body: kept aside, shown, not processed.
    Conflicting(Sequence),
}

impl Appended {
    /// The sequence of the row that is stored.
    #[must_use]
    pub fn sequence(&self) -> i64 {
        match self {
            Self::New(it) | Self::Duplicate(it) | Self::Conflicting(it) => it.0,
        }
    }
}

/// What the pipeline's feeder needs of a row to put it in its lane.
#[derive(Clone, Debug)]
pub struct SlimEvent {
    /// Its place in the order of ingest.
    pub sequence: Sequence,
    /// Whose it is.
    pub tenant: TenantId,
    /// The unit of order.
    pub lane: Lane,
    /// Its type.
    pub event_type: Arc<str>,
    /// Why it exists.
    pub cause: Cause,
    /// How often it was tried already.
    pub attempts: i64,
    /// Not to be taken before this moment.
    pub not_before: Option<Timestamp>,
    /// The only assignment that runs: it was held before, and everything else of the event is done.
    pub only: Option<AssignmentId>,
}

const APPEND: Shape = Shape {
    head: "INSERT INTO inbox (dedupe, tenant, connection, event_type, cause, lane, webhook_id, received_at, source_time, body)",
    columns: 10,
    tail: "ON CONFLICT (dedupe) DO NOTHING",
};

const SET_ASIDE: Shape = Shape {
    head: "INSERT INTO conflicting_deliveries (sequence, tenant, webhook_id, received_at, body)",
    columns: 5,
    tail: "",
};

fn bind(row: &InboxRow, to: &mut Binder) {
    to.add(row.dedupe.to_vec())
        .add(row.tenant.as_str().to_owned())
        .add(row.connection.as_str().to_owned())
        .add(Arc::clone(&row.event_type))
        .add(row.cause.as_str())
        .add(row.lane.as_str().to_owned())
        .add(row.webhook_id.clone())
        .add(row.received_at.millis())
        .add(row.source_time.millis())
        .add(Arc::clone(&row.body));
}

/// Appends all rows in the caller's transaction; the answers stand in the order of the rows.
pub(super) async fn append_all(
    connection: &mut Connection,
    rows: &[InboxRow],
) -> Result<Vec<Appended>, StoreError> {
    let mut answers = Vec::with_capacity(rows.len());
    let mut conflicting = Vec::new();
    let mut rest = rows;
    for inserted in rows::insert_numbered(connection, APPEND, rows, bind).await? {
        let (chunk, after) = rest.split_at(inserted.given);
        rest = after;
        if inserted.stored.clone().count() == chunk.len() {
            answers.extend(inserted.stored.map(|sequence| Appended::New(Sequence(sequence))));
            continue;
        }
        // Some came before: each row is looked at by itself.
        let mut new: HashSet<i64> = inserted.stored.collect();
        for row in chunk {
            let (sequence, body): (i64, String) =
                sqlx::query_as("SELECT sequence, body FROM inbox WHERE dedupe = $1")
                    .bind(row.dedupe.to_vec())
                    .fetch_one(&mut *connection)
                    .await?;
            if new.remove(&sequence) {
                answers.push(Appended::New(Sequence(sequence)));
            } else if body == *row.body {
                answers.push(Appended::Duplicate(Sequence(sequence)));
            } else {
                conflicting.push((sequence, row.clone()));
                answers.push(Appended::Conflicting(Sequence(sequence)));
            }
        }
    }
    rows::insert(connection, SET_ASIDE, &conflicting, |(sequence, row), to| {
        to.add(*sequence)
            .add(row.tenant.as_str().to_owned())
            .add(row.webhook_id.clone())
            .add(row.received_at.millis())
            .add(Arc::clone(&row.body));
    })
    .await?;
    Ok(answers)
}

impl Store {
    /// Stores a row, in a commit shared with what else arrives; returns when it is synced.
    ///
    /// # Errors
    /// When the commit failed: then nothing of it is stored.
    pub async fn append(&self, row: InboxRow) -> Result<Appended, StoreError> {
        self.writer.append(row).await
    }

    /// Follows the greatest committed sequence since the start; 0 at first.
    #[must_use]
    pub fn appended(&self) -> watch::Receiver<i64> {
        self.writer.appended()
    }

    /// The bodies of these events, by sequence. Cross-tenant: the pipeline works for all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn bodies(&self, sequences: &[i64]) -> Result<HashMap<i64, BodyRow>, StoreError> {
        let list =
            serde_json::to_string(sequences).map_err(|error| StoreError::corrupt("sequence", &error))?;
        let rows: Vec<(i64, String, i64, i64, String, Option<String>)> = sqlx::query_as(
            "SELECT sequence, connection, received_at, source_time, body, webhook_id FROM inbox \
             WHERE sequence IN (SELECT value FROM json_each($1))",
        )
        .bind(list)
        .fetch_all(&self.readers)
        .await?;
        Ok(rows
            .into_iter()
            .map(|(sequence, connection, received_at, source_time, body, webhook_id)| {
                let row = BodyRow {
                    connection: ConnectionId::from(connection),
                    received_at: Timestamp::from_millis(received_at),
                    source_time: Timestamp::from_millis(source_time),
                    body: Arc::from(body),
                    webhook_id,
                };
                (sequence, row)
            })
            .collect())
    }
}

/// The parts of an inbox row that a run needs.
#[derive(Clone, Debug)]
pub struct BodyRow {
    /// Through which connection it came.
    pub connection: ConnectionId,
    /// When it came.
    pub received_at: Timestamp,
    /// When it happened.
    pub source_time: Timestamp,
    /// The payload as it came.
    pub body: Arc<str>,
    /// The sender's id of the delivery.
    pub webhook_id: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreSettings;

    fn row(key: u8, body: &str) -> InboxRow {
        InboxRow {
            dedupe: [key; 16],
            tenant: TenantId::from("t"),
            connection: ConnectionId::from("c"),
            event_type: Arc::from("ContactUpdate"),
            cause: Cause::Live,
            lane: Lane::from("c/contact:1"),
            webhook_id: None,
            received_at: Timestamp::from_millis(0),
            source_time: Timestamp::from_millis(0),
            body: Arc::from(body),
        }
    }

    #[tokio::test]
    async fn new_rows_duplicates_and_conflicts_of_one_commit_are_told_apart() {
        use Appended::{Conflicting, Duplicate, New};
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreSettings::in_folder(folder.path())).await.unwrap();
        assert_eq!(store.append(row(1, "a")).await.unwrap(), New(Sequence(1)));
        let together: Vec<_> = [(2, "b"), (1, "a"), (3, "c"), (2, "b"), (1, "other"), (4, "d")]
            .into_iter()
            .map(|(key, body)| store.append(row(key, body)))
            .collect();
        let mut answers = Vec::new();
        for answer in futures_util::future::join_all(together).await {
            answers.push(answer.unwrap());
        }
        assert_eq!(
            answers,
            [
                New(Sequence(2)),
                Duplicate(Sequence(1)),
                New(Sequence(3)),
                Duplicate(Sequence(2)),
                Conflicting(Sequence(1)),
                New(Sequence(4))
            ]
        );
        let many: Vec<_> = (10..=200).map(|key| store.append(row(key, "x"))).collect();
        let mut sequences: Vec<i64> = futures_util::future::join_all(many)
            .await
            .into_iter()
            .map(|answer| match answer.unwrap() {
                New(sequence) => sequence.0,
                other => panic!("{other:?}"),
            })
            .collect();
        sequences.sort_unstable();
        assert_eq!(sequences, (5..=195).collect::<Vec<_>>());
        store.close().await;
    }
}
