//! A consistent copy of the database beside its running host, and what can be said of a database file without serving it.

use super::StoreError;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Tables whose rows are counted: a copy with the same counts has lost none of what customers see.
const COUNTED: &[&str] = &[
    "tenants",
    "connections",
    "plugin_versions",
    "activations",
    "inbox",
    "events",
    "mirror",
    "records",
    "links",
    "timeline",
    "effects",
    "dead_letters",
];

/// How well a database file is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thoroughness {
    /// Every page and every index entry is read.
    Whole,
    /// Every page, without holding indexes against tables.
    Quick,
}

/// What is in a database file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseState {
    /// What the engine found wrong; empty: nothing.
    pub faults: Vec<String>,
    /// Applied migrations that this program does not know, or knows otherwise.
    pub strange_migrations: Vec<i64>,
    /// The newest applied migration.
    pub schema: i64,
    /// The newest migration that this program has.
    pub newest_schema: i64,
    /// Rows by table.
    pub counts: BTreeMap<String, i64>,
    /// Secrets that were sealed under the vault's key.
    pub sealed: i64,
}

impl DatabaseState {
    /// Looks at a database file without changing it; a host may be using it. Cross-tenant: it is about the file.
    ///
    /// # Errors
    /// When it can't be opened or is no database.
    pub async fn of(path: &Path, thoroughness: Thoroughness) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .read_only(true)
            .create_if_missing(false)
            .busy_timeout(Duration::from_secs(10))
            .disable_statement_logging();
        let mut connection = options.connect().await?;
        let pragma = match thoroughness {
            Thoroughness::Whole => "PRAGMA integrity_check",
            Thoroughness::Quick => "PRAGMA quick_check",
        };
        let mut faults: Vec<String> = sqlx::query_scalar(pragma).fetch_all(&mut connection).await?;
        faults.retain(|fault| fault != "ok");
        if thoroughness == Thoroughness::Whole {
            let broken = sqlx::query("PRAGMA foreign_key_check").fetch_all(&mut connection).await?;
            for row in broken {
                let (table, parent): (String, String) = (row.try_get(0)?, row.try_get(2)?);
                faults.push(format!("a row of {table} names a row of {parent} that is not there"));
            }
        }
        let known = sqlx::migrate!("migrations/sqlite");
        let applied: Vec<(i64, Vec<u8>)> =
            sqlx::query_as("SELECT version, checksum FROM _sqlx_migrations WHERE success ORDER BY version")
                .fetch_all(&mut connection)
                .await?;
        let strange_migrations = applied
            .iter()
            .filter(|(version, checksum)| {
                !known.iter().any(|it| it.version == *version && it.checksum.as_ref() == checksum.as_slice())
            })
            .map(|(version, _)| *version)
            .collect();
        let mut counts = BTreeMap::new();
        for table in COUNTED {
            let counted: i64 = sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {table}")))
                .fetch_one(&mut connection)
                .await?;
            counts.insert((*table).to_owned(), counted);
        }
        let sealed =
            sqlx::query_scalar("SELECT count(*) FROM credentials").fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok(Self {
            faults,
            strange_migrations,
            schema: applied.last().map_or(0, |(version, _)| *version),
            newest_schema: known.iter().map(|it| it.version).max().unwrap_or(0),
            counts,
            sealed,
        })
    }
}

/// Writes a copy of a database file as it is at one moment. Cross-tenant: it is about the file.
///
/// It reads on a connection of its own: neither the host's writer nor its readers wait, and every commit that ended
/// before is in it.
///
/// # Errors
/// When the database can't be read or the copy not be written.
pub async fn copy_database(from: &Path, to: &Path) -> Result<(), StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(from)
        .create_if_missing(false)
        .busy_timeout(Duration::from_secs(10))
        .disable_statement_logging();
    let mut connection = options.connect().await?;
    sqlx::query("VACUUM INTO $1").bind(to.display().to_string()).execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Store, StoreSettings, TenantRow};

    fn tenant(number: i64) -> TenantRow {
        TenantRow {
            id: format!("tn_{number}"),
            name: "Example".into(),
            state: "active".into(),
            created_at: number,
        }
    }

    #[tokio::test]
    async fn a_copy_holds_what_was_committed_before_while_the_host_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreSettings::in_folder(folder.path())).await.unwrap();
        store.put_tenant(tenant(1)).await.unwrap();
        let copy = folder.path().join("copy.db");
        copy_database(&folder.path().join("mapwright.db"), &copy).await.unwrap();
        store.put_tenant(tenant(2)).await.unwrap();
        let state = DatabaseState::of(&copy, Thoroughness::Whole).await.unwrap();
        assert_eq!((state.faults.len(), state.strange_migrations.len()), (0, 0));
        assert_eq!(state.counts["tenants"], 1);
        assert_eq!(state.schema, state.newest_schema);
        store.close().await;
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_an_error_and_a_changed_page_a_fault() {
        let folder = tempfile::tempdir().unwrap();
        let junk = folder.path().join("junk.db");
        std::fs::write(&junk, b"this is no database, but it is long enough to look at").unwrap();
        assert!(DatabaseState::of(&junk, Thoroughness::Quick).await.is_err());
    }
}
