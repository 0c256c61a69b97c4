//! Assignments and their activations: which version a tenant's events meet, and which it was before.

use super::{Connection, Row, Store, StoreError};
use crate::domain::{ActivationId, AssignmentId, PluginName, TenantId, Timestamp, VersionId};
use sqlx::Row as _;
use std::sync::Arc;

/// A tenant's use of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssignmentRow {
    /// Its id.
    pub id: AssignmentId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Which plugin.
    pub plugin: PluginName,
    /// Whether it is switched on.
    pub on: bool,
    /// The activation that runs when it is on.
    pub current: Option<ActivationId>,
    /// What the configuration last asked for, as a hash.
    pub configured: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A version with a configuration, grants and a failure policy, for one assignment.
#[derive(Clone, Debug)]
pub struct ActivationRow {
    /// Its id.
    pub id: ActivationId,
    /// The assignment it belongs to.
    pub assignment: AssignmentId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Which plugin.
    pub plugin: PluginName,
    /// Which version.
    pub version: VersionId,
    /// The version's own version, SemVer.
    pub semver: String,
    /// `active` or `off`; later `shadow` and `canary`.
    pub mode: String,
    /// The configuration as it was given, JSON.
    pub config: String,
    /// Granted capabilities, a JSON list.
    pub grants: String,
    /// `dead-letter` or `hold`.
    pub on_failure: String,
    /// `api`, `configuration` or `folder`.
    pub source: String,
    /// The activation that was current before.
    pub previous: Option<ActivationId>,
    /// When.
    pub activated_at: Timestamp,
}

/// An activation in force, with what its runs need.
#[derive(Clone, Debug)]
pub struct ActiveRow {
    /// The activation.
    pub activation: ActivationRow,
    /// The version's description, JSON of the plugins room.
    pub description: String,
    /// What `prepare` made of its configuration.
    pub prepared: Arc<[u8]>,
}

/// An activation to be made.
#[derive(Clone, Debug)]
pub struct NewActivation {
    /// Which plugin.
    pub plugin: PluginName,
    /// Which version.
    pub version: VersionId,
    /// The configuration as it was given, JSON.
    pub config: String,
    /// What `prepare` made of it.
    pub prepared: Vec<u8>,
    /// Granted capabilities, a JSON list.
    pub grants: String,
    /// `dead-letter` or `hold`.
    pub on_failure: &'static str,
    /// `api`, `configuration` or `folder`.
    pub source: &'static str,
    /// What the configuration asked for, as a hash, if it was the configuration.
    pub configured: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// What came of an activation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activated {
    /// The assignment.
    pub assignment: AssignmentId,
    /// Its current activation.
    pub activation: ActivationId,
    /// Whether anything changed; the same activation again changes nothing.
    pub changed: bool,
    /// Whether it is the assignment's first.
    pub first: bool,
}

/// Which assignments are listed.
#[derive(Clone, Copy, Debug, Default)]
pub struct AssignmentFilter<'a> {
    /// Only of this plugin.
    pub plugin: Option<&'a PluginName>,
    /// After this id.
    pub after: &'a str,
    /// So many at the most.
    pub limit: i64,
}

const ASSIGNMENT: &str = "SELECT id, tenant, plugin, state, current, configured, created_at FROM assignments";
const ACTIVATION: &str = "SELECT a.id, a.assignment, a.tenant, s.plugin, a.version, v.semver, a.mode, \
    a.config, a.grants, a.on_failure, a.source, a.previous, a.activated_at";
const FROM: &str =
    "FROM activations a JOIN assignments s ON s.id = a.assignment JOIN plugin_versions v ON v.id = a.version";

impl Store {
    /// Makes an activation the current one of the tenant's assignment of its plugin, the one before it off. The
    /// assignment is made if it is not there, and switched on.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn activate(&self, tenant: &TenantId, new: NewActivation) -> Result<Activated, StoreError> {
        let tenant = tenant.as_str().to_owned();
        self.writer.work(move |connection| Box::pin(activate(connection, tenant, new))).await
    }

    /// Makes another activation of the assignment the current one, if the current one is still `from`; whether it was.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn switch_activation(
        &self,
        tenant: &TenantId,
        assignment: &AssignmentId,
        (from, to): (&ActivationId, &ActivationId),
    ) -> Result<bool, StoreError> {
        let (tenant, assignment) = (tenant.as_str().to_owned(), assignment.as_str().to_owned());
        let (from, to) = (from.as_str().to_owned(), to.as_str().to_owned());
        self.writer
            .work(move |connection| {
                Box::pin(async move {
                    let done = sqlx::query(
                        "UPDATE assignments SET current = $1, state = 'on' WHERE id = $2 AND tenant = $3 AND current = $4",
                    )
                    .bind(to.clone())
                    .bind(assignment.clone())
                    .bind(tenant)
                    .bind(from)
                    .execute(&mut *connection)
                    .await?;
                    if done.rows_affected() == 0 {
                        return Ok(false);
                    }
                    make_active(connection, &assignment, Some(to)).await?;
                    Ok(true)
                })
            })
            .await
    }

    /// Switches an assignment off, or on again with its current activation; whether that changed anything.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn switch_assignment(
        &self,
        tenant: &TenantId,
        assignment: &AssignmentId,
        on: bool,
    ) -> Result<bool, StoreError> {
        let (tenant, assignment) = (tenant.as_str().to_owned(), assignment.as_str().to_owned());
        self.writer
            .work(move |connection| {
                Box::pin(async move {
                    let state = if on { "on" } else { "off" };
                    let current: Option<Option<String>> = sqlx::query_scalar(
                        "UPDATE assignments SET state = $1 WHERE id = $2 AND tenant = $3 AND state <> $1 RETURNING current",
                    )
                    .bind(state)
                    .bind(assignment.clone())
                    .bind(tenant)
                    .fetch_optional(&mut *connection)
                    .await?;
                    let Some(current) = current else { return Ok(false) };
                    make_active(connection, &assignment, current.filter(|_| on)).await?;
                    Ok(true)
                })
            })
            .await
    }

    /// A page of a tenant's assignments, or of all tenants' when none is named, in the order of their ids.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_assignments(
        &self,
        tenant: Option<&TenantId>,
        filter: AssignmentFilter<'_>,
    ) -> Result<Vec<AssignmentRow>, StoreError> {
        let sql = sqlx::AssertSqlSafe(format!(
            "{ASSIGNMENT} WHERE ($1 IS NULL OR tenant = $1) AND ($2 IS NULL OR plugin = $2) AND id > $3 ORDER BY id LIMIT $4"
        ));
        let rows = sqlx::query(sql)
            .bind(tenant.map(|id| id.as_str().to_owned()))
            .bind(filter.plugin.map(|name| name.as_str().to_owned()))
            .bind(filter.after.to_owned())
            .bind(filter.limit)
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(assignment).collect()
    }

    /// An assignment by its id. Cross-tenant: whose it is stands in the row, for the caller to decide by.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn assignment(&self, id: &AssignmentId) -> Result<Option<AssignmentRow>, StoreError> {
        let sql = sqlx::AssertSqlSafe(format!("{ASSIGNMENT} WHERE id = $1"));
        let row = sqlx::query(sql).bind(id.as_str().to_owned()).fetch_optional(&self.readers).await?;
        row.as_ref().map(assignment).transpose()
    }

    /// The tenant's assignment of a plugin.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn assignment_of(
        &self,
        tenant: &TenantId,
        plugin: &PluginName,
    ) -> Result<Option<AssignmentRow>, StoreError> {
        let sql = sqlx::AssertSqlSafe(format!("{ASSIGNMENT} WHERE tenant = $1 AND plugin = $2"));
        let query = sqlx::query(sql).bind(tenant.as_str().to_owned()).bind(plugin.as_str().to_owned());
        query.fetch_optional(&self.readers).await?.as_ref().map(assignment).transpose()
    }

    /// Notes what the configuration asks for without a change: it is in force already.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_configured(
        &self,
        tenant: &TenantId,
        assignment: &AssignmentId,
        configured: String,
    ) -> Result<(), StoreError> {
        let (tenant, assignment) = (tenant.as_str().to_owned(), assignment.as_str().to_owned());
        self.writer
            .work(move |connection| {
                Box::pin(async move {
                    sqlx::query("UPDATE assignments SET configured = $1 WHERE id = $2 AND tenant = $3")
                        .bind(configured)
                        .bind(assignment)
                        .bind(tenant)
                        .execute(connection)
                        .await?;
                    Ok(())
                })
            })
            .await
    }

    /// The activation of that id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn activation(
        &self,
        tenant: &TenantId,
        id: &ActivationId,
    ) -> Result<Option<ActivationRow>, StoreError> {
        let sql = sqlx::AssertSqlSafe(format!("{ACTIVATION} {FROM} WHERE a.tenant = $1 AND a.id = $2"));
        let query = sqlx::query(sql).bind(tenant.as_str().to_owned()).bind(id.as_str().to_owned());
        query.fetch_optional(&self.readers).await?.as_ref().map(activation).transpose()
    }

    /// The newest activations of an assignment, the newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn activations_of(
        &self,
        tenant: &TenantId,
        assignment: &AssignmentId,
        limit: i64,
    ) -> Result<Vec<ActivationRow>, StoreError> {
        let sql = sqlx::AssertSqlSafe(format!(
            "{ACTIVATION} {FROM} WHERE a.tenant = $1 AND a.assignment = $2 ORDER BY a.activated_at DESC, a.id DESC LIMIT $3"
        ));
        let rows = sqlx::query(sql)
            .bind(tenant.as_str().to_owned())
            .bind(assignment.as_str().to_owned())
            .bind(limit)
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(activation).collect()
    }

    /// All activations that are not off. Cross-tenant: the pipeline works for all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn activations(&self) -> Result<Vec<ActiveRow>, StoreError> {
        let sql = sqlx::AssertSqlSafe(format!(
            "{ACTIVATION}, v.description, a.prepared {FROM} WHERE a.mode <> 'off' ORDER BY a.tenant, s.plugin, a.version"
        ));
        let rows = sqlx::query(sql).fetch_all(&self.readers).await?;
        rows.iter()
            .map(|row| {
                Ok(ActiveRow {
                    activation: activation(row)?,
                    description: row.try_get(13)?,
                    prepared: Arc::from(row.try_get::<Vec<u8>, _>(14)?),
                })
            })
            .collect()
    }
}

async fn activate(
    connection: &mut Connection,
    tenant: String,
    new: NewActivation,
) -> Result<Activated, StoreError> {
    let (id, current): (String, Option<String>) = sqlx::query_as(
        "INSERT INTO assignments (id, tenant, plugin, created_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (tenant, plugin) DO UPDATE SET plugin = excluded.plugin RETURNING id, current",
    )
    .bind(AssignmentId::generate().as_str().to_owned())
    .bind(tenant.clone())
    .bind(new.plugin.as_str().to_owned())
    .bind(new.at.millis())
    .fetch_one(&mut *connection)
    .await?;
    let same: Option<String> = sqlx::query_scalar(
        "SELECT id FROM activations WHERE id = $1 AND mode = 'active' AND version = $2 AND config = $3 \
         AND grants = $4 AND on_failure = $5 AND prepared = $6",
    )
    .bind(current.clone())
    .bind(new.version.as_str().to_owned())
    .bind(new.config.clone())
    .bind(new.grants.clone())
    .bind(new.on_failure)
    .bind(new.prepared.clone())
    .fetch_optional(&mut *connection)
    .await?;
    let (changed, first) = (same.is_none(), current.is_none());
    let activation = same.unwrap_or_else(|| ActivationId::generate().as_str().to_owned());
    if changed {
        sqlx::query(
            "INSERT INTO activations (id, assignment, version, tenant, mode, config, prepared, grants, on_failure, \
             source, previous, activated_at) VALUES ($1, $2, $3, $4, 'off', $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(activation.clone())
        .bind(id.clone())
        .bind(new.version.as_str().to_owned())
        .bind(tenant)
        .bind(new.config)
        .bind(new.prepared)
        .bind(new.grants)
        .bind(new.on_failure)
        .bind(new.source)
        .bind(current)
        .bind(new.at.millis())
        .execute(&mut *connection)
        .await?;
        make_active(connection, &id, Some(activation.clone())).await?;
    }
    sqlx::query(
        "UPDATE assignments SET current = $1, state = 'on', configured = coalesce($2, configured) WHERE id = $3",
    )
    .bind(activation.clone())
    .bind(new.configured)
    .bind(id.clone())
    .execute(connection)
    .await?;
    Ok(Activated {
        assignment: AssignmentId::from(id),
        activation: ActivationId::from(activation),
        changed,
        first,
    })
}

/// Switches the active activation off and that one on; an index holds that there is at most one.
async fn make_active(
    connection: &mut Connection,
    assignment: &str,
    activation: Option<String>,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE activations SET mode = 'off' WHERE assignment = $1 AND mode = 'active'")
        .bind(assignment.to_owned())
        .execute(&mut *connection)
        .await?;
    if let Some(activation) = activation {
        sqlx::query("UPDATE activations SET mode = 'active' WHERE id = $1 AND assignment = $2")
            .bind(activation)
            .bind(assignment.to_owned())
            .execute(connection)
            .await?;
    }
    Ok(())
}

fn assignment(row: &Row) -> Result<AssignmentRow, StoreError> {
    Ok(AssignmentRow {
        id: AssignmentId::from(row.try_get::<String, _>(0)?),
        tenant: TenantId::from(row.try_get::<String, _>(1)?),
        plugin: PluginName::from(row.try_get::<String, _>(2)?),
        on: row.try_get::<String, _>(3)? == "on",
        current: row.try_get::<Option<String>, _>(4)?.map(ActivationId::from),
        configured: row.try_get(5)?,
        created_at: Timestamp::from_millis(row.try_get(6)?),
    })
}

fn activation(row: &Row) -> Result<ActivationRow, StoreError> {
    Ok(ActivationRow {
        id: ActivationId::from(row.try_get::<String, _>(0)?),
        assignment: AssignmentId::from(row.try_get::<String, _>(1)?),
        tenant: TenantId::from(row.try_get::<String, _>(2)?),
        plugin: PluginName::from(row.try_get::<String, _>(3)?),
        version: VersionId::from(row.try_get::<String, _>(4)?),
        semver: row.try_get(5)?,
        mode: row.try_get(6)?,
        config: row.try_get(7)?,
        grants: row.try_get(8)?,
        on_failure: row.try_get(9)?,
        source: row.try_get(10)?,
        previous: row.try_get::<Option<String>, _>(11)?.map(ActivationId::from),
        activated_at: Timestamp::from_millis(row.try_get(12)?),
    })
}
