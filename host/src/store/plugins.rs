//! Plugin versions: immutable, found by the hash of what was uploaded.

use super::{Row, Store, StoreError};
use crate::domain::{PluginName, Timestamp, VersionId};
use sqlx::Row as _;

/// An immutable plugin version.
#[derive(Clone, Debug)]
pub struct VersionRow {
    /// `sha256:` and the hash of the uploaded bytes.
    pub id: VersionId,
    /// Which plugin it is a version of.
    pub plugin: PluginName,
    /// Its own version, SemVer.
    pub semver: String,
    /// Its description, JSON of the plugins room.
    pub description: String,
    /// Functions it imports, a JSON list.
    pub imports: String,
    /// The bytes as they were uploaded.
    pub uploaded: Vec<u8>,
    /// The component made of them.
    pub component: Vec<u8>,
    /// When it was deployed.
    pub created_at: Timestamp,
}

/// A version without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionSummary {
    /// `sha256:` and the hash of the uploaded bytes.
    pub id: VersionId,
    /// Which plugin it is a version of.
    pub plugin: PluginName,
    /// Its own version, SemVer.
    pub semver: String,
    /// Its description, JSON of the plugins room.
    pub description: String,
    /// Functions it imports, a JSON list.
    pub imports: String,
    /// Bytes of what was uploaded.
    pub uploaded_bytes: i64,
    /// When it was deployed.
    pub created_at: Timestamp,
}

/// A plugin with its newest version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginSummary {
    /// The version deployed last.
    pub newest: VersionSummary,
    /// How many versions there are.
    pub versions: i64,
    /// Assignments in which a version of it is active.
    pub active_assignments: i64,
}

const SUMMARY: &str = "id, plugin, semver, description, imports, length(uploaded), created_at";

impl Store {
    /// Stores a version if it is not there yet; whether it is new. Cross-tenant: versions are the operator's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_version(&self, row: VersionRow) -> Result<bool, StoreError> {
        self.writer
            .work(move |connection| {
                Box::pin(async move {
                    let done = sqlx::query(
                        "INSERT INTO plugin_versions (id, plugin, semver, description, imports, uploaded, component, created_at) \
                         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO NOTHING",
                    )
                    .bind(row.id.as_str().to_owned())
                    .bind(row.plugin.as_str().to_owned())
                    .bind(row.semver)
                    .bind(row.description)
                    .bind(row.imports)
                    .bind(row.uploaded)
                    .bind(row.component)
                    .bind(row.created_at.millis())
                    .execute(connection)
                    .await?;
                    Ok(done.rows_affected() > 0)
                })
            })
            .await
    }

    /// A version with its bytes. Cross-tenant: versions are the operator's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn version(&self, id: &VersionId) -> Result<Option<VersionRow>, StoreError> {
        let row = sqlx::query(
            "SELECT id, plugin, semver, description, imports, uploaded, component, created_at \
             FROM plugin_versions WHERE id = $1",
        )
        .bind(id.as_str().to_owned())
        .fetch_optional(&self.readers)
        .await?;
        row.map(|row| {
            Ok(VersionRow {
                id: VersionId::from(row.try_get::<String, _>(0)?),
                plugin: PluginName::from(row.try_get::<String, _>(1)?),
                semver: row.try_get(2)?,
                description: row.try_get(3)?,
                imports: row.try_get(4)?,
                uploaded: row.try_get(5)?,
                component: row.try_get(6)?,
                created_at: Timestamp::from_millis(row.try_get(7)?),
            })
        })
        .transpose()
    }

    /// A version without its bytes. Cross-tenant: versions are the operator's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn version_summary(&self, id: &VersionId) -> Result<Option<VersionSummary>, StoreError> {
        let sql = sqlx::AssertSqlSafe(format!("SELECT {SUMMARY} FROM plugin_versions WHERE id = $1"));
        let row = sqlx::query(sql).bind(id.as_str().to_owned()).fetch_optional(&self.readers).await?;
        row.as_ref().map(|row| summary(row, 0)).transpose()
    }

    /// A plugin's versions, the newest first; those of one semantic version if named. Cross-tenant: versions are the
    /// operator's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn versions_of(
        &self,
        plugin: &PluginName,
        semver: Option<&str>,
    ) -> Result<Vec<VersionSummary>, StoreError> {
        let sql = sqlx::AssertSqlSafe(format!(
            "SELECT {SUMMARY} FROM plugin_versions WHERE plugin = $1 AND ($2 IS NULL OR semver = $2) \
             ORDER BY created_at DESC, id DESC LIMIT 1000"
        ));
        let query = sqlx::query(sql).bind(plugin.as_str().to_owned()).bind(semver.map(str::to_owned));
        query.fetch_all(&self.readers).await?.iter().map(|row| summary(row, 0)).collect()
    }

    /// A page of plugins in the order of their names, after the given one. Cross-tenant: plugins are the operator's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_plugins(&self, after: &str, limit: i64) -> Result<Vec<PluginSummary>, StoreError> {
        let sql = sqlx::AssertSqlSafe(format!(
            "SELECT (SELECT count(*) FROM plugin_versions c WHERE c.plugin = p.name), \
             (SELECT count(*) FROM activations a JOIN plugin_versions c ON c.id = a.version \
              WHERE c.plugin = p.name AND a.mode = 'active'), {SUMMARY} \
             FROM (SELECT DISTINCT plugin AS name FROM plugin_versions WHERE plugin > $1 ORDER BY plugin LIMIT $2) p \
             JOIN plugin_versions v ON v.id = (SELECT n.id FROM plugin_versions n WHERE n.plugin = p.name \
              ORDER BY n.created_at DESC, n.id DESC LIMIT 1) ORDER BY p.name"
        ));
        let rows = sqlx::query(sql).bind(after.to_owned()).bind(limit).fetch_all(&self.readers).await?;
        rows.iter()
            .map(|row| {
                Ok(PluginSummary {
                    versions: row.try_get(0)?,
                    active_assignments: row.try_get(1)?,
                    newest: summary(row, 2)?,
                })
            })
            .collect()
    }
}

fn summary(row: &Row, first: usize) -> Result<VersionSummary, StoreError> {
    Ok(VersionSummary {
        id: VersionId::from(row.try_get::<String, _>(first)?),
        plugin: PluginName::from(row.try_get::<String, _>(first + 1)?),
        semver: row.try_get(first + 2)?,
        description: row.try_get(first + 3)?,
        imports: row.try_get(first + 4)?,
        uploaded_bytes: row.try_get(first + 5)?,
        created_at: Timestamp::from_millis(row.try_get(first + 6)?),
    })
}
