//! How much stands still or waits, for metrics; each number from an index, so that a scrape costs little.

use super::{Store, StoreError};
use std::path::{Path, PathBuf};

/// The numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Effects that have not ended, by state; states without any are there too.
    pub effects: Vec<(&'static str, i64)>,
    /// Dead letters that nobody has settled.
    pub dead_letters: i64,
    /// Bytes of the database.
    pub database_bytes: u64,
    /// Bytes of its write-ahead log.
    pub log_bytes: u64,
}

/// States of effects that have not ended.
const OPEN: [&str; 4] = ["waiting", "sending", "held", "unclear"];

const EFFECTS: &str = "SELECT state, count(*) FROM effects WHERE state IN ('waiting', 'sending') GROUP BY state \
    UNION ALL SELECT state, count(*) FROM effects WHERE state IN ('held', 'unclear') GROUP BY state";
const DEAD_LETTERS: &str = "SELECT count(*) FROM dead_letters WHERE resolved_at IS NULL";

impl Store {
    /// Counts. Cross-tenant: for operators.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn gauges(&self) -> Result<Gauges, StoreError> {
        let counted: Vec<(String, i64)> = sqlx::query_as(EFFECTS).fetch_all(&self.readers).await?;
        let count = |state: &str| counted.iter().find(|(known, _)| known == state).map_or(0, |(_, n)| *n);
        let path = self.path();
        Ok(Gauges {
            effects: OPEN.iter().map(|state| (*state, count(state))).collect(),
            dead_letters: sqlx::query_scalar(DEAD_LETTERS).fetch_one(&self.readers).await?,
            database_bytes: bytes(path),
            log_bytes: bytes(&log_of(path)),
        })
    }
}

/// The write-ahead log beside a database.
fn log_of(database: &Path) -> PathBuf {
    database.with_extension("db-wal")
}

fn bytes(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |about| about.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreSettings;

    #[tokio::test]
    async fn a_scrape_reads_no_whole_table() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreSettings::in_folder(folder.path())).await.unwrap();
        for statement in [EFFECTS, DEAD_LETTERS] {
            let plan = format!("EXPLAIN QUERY PLAN {statement}");
            let steps: Vec<(i64, i64, i64, String)> =
                sqlx::query_as(sqlx::AssertSqlSafe(plan)).fetch_all(&store.readers).await.unwrap();
            for (_, _, _, step) in steps {
                let whole = step.contains("SCAN effects") || step.contains("SCAN dead_letters");
                assert!(!whole || step.contains("INDEX"), "{step}");
            }
        }
        let gauges = store.gauges().await.unwrap();
        assert_eq!(gauges.effects.iter().map(|(_, count)| count).sum::<i64>(), 0);
        assert!(gauges.database_bytes > 0);
        store.close().await;
    }
}
