//! Plugin versions, assignments and activations.

use super::{Store, StoreError};
use crate::domain::{AssignmentId, PluginName, TenantId, Timestamp, VersionId};
use sqlx::Row as _;
use std::sync::Arc;

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
    /// The bytes as they were uploaded.
    pub uploaded: Vec<u8>,
    /// The component made of them.
    pub component: Vec<u8>,
    /// When it was deployed.
    pub created_at: Timestamp,
}

/// A tenant's activation of a version.
#[derive(Clone, Debug)]
pub struct ActivationRow {
    /// The assignment it belongs to.
    pub assignment: AssignmentId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Which plugin.
    pub plugin: PluginName,
    /// Which version.
    pub version: VersionId,
    /// The version's description, JSON of the plugins room; not written back.
    pub description: String,
    /// `active`, `shadow`, `canary` or `off`.
    pub mode: String,
    /// The configuration as it was given, JSON.
    pub config: String,
    /// What `prepare` made of it.
    pub prepared: Arc<[u8]>,
    /// Granted capabilities, a JSON list.
    pub grants: String,
    /// When.
    pub activated_at: Timestamp,
}

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
                        "INSERT INTO plugin_versions (id, plugin, semver, description, uploaded, component, created_at) \
                         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING",
                    )
                    .bind(row.id.as_str().to_owned())
                    .bind(row.plugin.as_str().to_owned())
                    .bind(row.semver)
                    .bind(row.description)
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

    /// A version's description and component. Cross-tenant: versions are the operator's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn version(&self, id: &VersionId) -> Result<Option<VersionRow>, StoreError> {
        let row = sqlx::query(
            "SELECT id, plugin, semver, description, uploaded, component, created_at FROM plugin_versions WHERE id = $1",
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
                uploaded: row.try_get(4)?,
                component: row.try_get(5)?,
                created_at: Timestamp::from_millis(row.try_get(6)?),
            })
        })
        .transpose()
    }

    /// The tenant's assignment of a plugin, made if it is not there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn assignment(
        &self,
        tenant: &TenantId,
        plugin: &PluginName,
        at: Timestamp,
    ) -> Result<AssignmentId, StoreError> {
        let (tenant, plugin) = (tenant.as_str().to_owned(), plugin.as_str().to_owned());
        self.writer
            .work(move |connection| {
                Box::pin(async move {
                    let id: String = sqlx::query_scalar(
                        "INSERT INTO assignments (id, tenant, plugin, created_at) VALUES ($1, $2, $3, $4) \
                         ON CONFLICT (tenant, plugin) DO UPDATE SET plugin = excluded.plugin RETURNING id",
                    )
                    .bind(AssignmentId::generate().as_str().to_owned())
                    .bind(tenant)
                    .bind(plugin)
                    .bind(at.millis())
                    .fetch_one(connection)
                    .await?;
                    Ok(AssignmentId::from(id))
                })
            })
            .await
    }

    /// Makes this activation the active one of its assignment, the one before it off; `TenantId` is the row's own.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn activate(&self, row: ActivationRow) -> Result<(), StoreError> {
        self.writer
            .work(move |connection| {
                Box::pin(async move {
                    sqlx::query("UPDATE activations SET mode = 'off' WHERE assignment = $1 AND mode = 'active'")
                        .bind(row.assignment.as_str().to_owned())
                        .execute(&mut *connection)
                        .await?;
                    sqlx::query(
                        "INSERT INTO activations (assignment, version, tenant, mode, config, prepared, grants, activated_at) \
                         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (assignment, version) DO UPDATE SET \
                         mode = excluded.mode, config = excluded.config, prepared = excluded.prepared, \
                         grants = excluded.grants, activated_at = excluded.activated_at",
                    )
                    .bind(row.assignment.as_str().to_owned())
                    .bind(row.version.as_str().to_owned())
                    .bind(row.tenant.as_str().to_owned())
                    .bind(row.mode)
                    .bind(row.config)
                    .bind(row.prepared.to_vec())
                    .bind(row.grants)
                    .bind(row.activated_at.millis())
                    .execute(connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    /// All activations that are not off. Cross-tenant: the pipeline works for all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn activations(&self) -> Result<Vec<ActivationRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT a.assignment, a.tenant, s.plugin, a.version, a.mode, a.config, a.prepared, a.grants, a.activated_at, \
             v.description FROM activations a JOIN assignments s ON s.id = a.assignment \
             JOIN plugin_versions v ON v.id = a.version WHERE a.mode <> 'off' \
             ORDER BY a.tenant, s.plugin, a.version",
        )
        .fetch_all(&self.readers)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(ActivationRow {
                    assignment: AssignmentId::from(row.try_get::<String, _>(0)?),
                    tenant: TenantId::from(row.try_get::<String, _>(1)?),
                    plugin: PluginName::from(row.try_get::<String, _>(2)?),
                    version: VersionId::from(row.try_get::<String, _>(3)?),
                    mode: row.try_get(4)?,
                    config: row.try_get(5)?,
                    prepared: Arc::from(row.try_get::<Vec<u8>, _>(6)?),
                    grants: row.try_get(7)?,
                    activated_at: Timestamp::from_millis(row.try_get(8)?),
                    description: row.try_get(9)?,
                })
            })
            .collect()
    }
}
