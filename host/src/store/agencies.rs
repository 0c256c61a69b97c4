//! Agencies that tenants authorised, and installs and uninstalls as GHL tells of them.

use super::credentials::{self, CredentialRow};
use super::{Store, StoreError};
use crate::domain::{AgencyId, AppId, CompanyId, TenantId, Timestamp};

/// A tenant's authorisation of a whole GHL agency.
#[derive(Clone, Debug)]
pub struct AgencyRow {
    /// Its id.
    pub id: AgencyId,
    /// Whose.
    pub tenant: TenantId,
    /// Through which app.
    pub app: AppId,
    /// `live` or `sandbox`.
    pub environment: String,
    /// GHL's agency.
    pub company: CompanyId,
    /// `active`, `reconnect-needed` or `closed`.
    pub state: String,
    /// Granted scopes, space separated.
    pub scopes: String,
    /// When it was last authorised.
    pub connected_at: Timestamp,
}

/// An install or uninstall as it came.
#[derive(Clone, Debug)]
pub struct NewInstall {
    /// The same for the same message.
    pub dedupe: [u8; 16],
    /// Of which app.
    pub app: AppId,
    /// `INSTALL` or `UNINSTALL`.
    pub op: &'static str,
    /// GHL's agency.
    pub company: Option<String>,
    /// GHL's location.
    pub location: Option<String>,
    /// When it happened.
    pub source_time: Timestamp,
    /// Now.
    pub received_at: Timestamp,
}

/// One that is to be done.
#[derive(Clone, Debug)]
pub struct InstallRow {
    /// Its number.
    pub id: i64,
    /// Of which app.
    pub app: AppId,
    /// `INSTALL` or `UNINSTALL`.
    pub op: String,
    /// GHL's agency.
    pub company: Option<String>,
    /// GHL's location.
    pub location: Option<String>,
    /// When it happened.
    pub source_time: Timestamp,
    /// Tries so far.
    pub attempts: i64,
}

type AgencyTuple = (String, String, String, String, String, String, String, i64);
type InstallTuple = (i64, String, String, Option<String>, Option<String>, i64, i64);

const AGENCY: &str =
    "SELECT id, tenant, app, environment, company, state, scopes, connected_at FROM agencies";

fn agency(row: AgencyTuple) -> AgencyRow {
    AgencyRow {
        id: AgencyId::from(row.0),
        tenant: TenantId::from(row.1),
        app: AppId::from(row.2),
        environment: row.3,
        company: CompanyId::from(row.4),
        state: row.5,
        scopes: row.6,
        connected_at: Timestamp::from_millis(row.7),
    }
}

impl Store {
    /// An agency. Cross-tenant: an agency's id is one tenant's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn agency(&self, id: &AgencyId) -> Result<Option<AgencyRow>, StoreError> {
        let row: Option<AgencyTuple> = sqlx::query_as(sqlx::AssertSqlSafe(format!("{AGENCY} WHERE id = $1")))
            .bind(id.as_str().to_owned())
            .fetch_optional(&self.readers)
            .await?;
        Ok(row.map(agency))
    }

    /// Every tenant's authorisation of one of GHL's agencies. Cross-tenant: installs are told by agency.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn agencies_of(&self, app: &AppId, company: &str) -> Result<Vec<AgencyRow>, StoreError> {
        let rows: Vec<AgencyTuple> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "{AGENCY} WHERE app = $1 AND company = $2 ORDER BY id"
        )))
        .bind(app.as_str().to_owned())
        .bind(company.to_owned())
        .fetch_all(&self.readers)
        .await?;
        Ok(rows.into_iter().map(agency).collect())
    }

    /// A tenant's agencies.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_agencies(&self, tenant: &TenantId) -> Result<Vec<AgencyRow>, StoreError> {
        let rows: Vec<AgencyTuple> =
            sqlx::query_as(sqlx::AssertSqlSafe(format!("{AGENCY} WHERE tenant = $1 ORDER BY id")))
                .bind(tenant.as_str().to_owned())
                .fetch_all(&self.readers)
                .await?;
        Ok(rows.into_iter().map(agency).collect())
    }

    /// Stores an agency with its tokens, or with new ones, and wakes the installs that waited for it. `TenantId` is the
    /// row's own.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_agency(&self, row: AgencyRow, mut tokens: CredentialRow) -> Result<(), StoreError> {
        self.writer
            .work(move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "INSERT INTO agencies (id, tenant, app, environment, company, state, scopes, connected_at) \
                         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO UPDATE SET state = excluded.state, \
                         scopes = excluded.scopes, connected_at = excluded.connected_at",
                    )
                    .bind(row.id.as_str().to_owned())
                    .bind(row.tenant.as_str().to_owned())
                    .bind(row.app.as_str().to_owned())
                    .bind(row.environment)
                    .bind(row.company.as_str().to_owned())
                    .bind(row.state)
                    .bind(row.scopes)
                    .bind(row.connected_at.millis())
                    .execute(&mut *connection)
                    .await?;
                    let known: Option<(i64,)> =
                        sqlx::query_as("SELECT version FROM credentials WHERE owner = $1")
                            .bind(tokens.owner.as_str().to_owned())
                            .fetch_optional(&mut *connection)
                            .await?;
                    tokens.version = known.map_or(0, |(version,)| version);
                    credentials::put(connection, &tokens).await?;
                    sqlx::query(
                        "UPDATE installs SET state = 'due', next_at = 0 WHERE app = $1 AND company = $2 AND state = 'waiting'",
                    )
                    .bind(row.app.as_str().to_owned())
                    .bind(row.company.as_str().to_owned())
                    .execute(connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    /// Sets an agency's state; a closed one loses its tokens. Cross-tenant: an agency's id is one tenant's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn move_agency(&self, id: &AgencyId, to: &'static str) -> Result<(), StoreError> {
        let id = id.as_str().to_owned();
        self.writer
            .work(move |connection| {
                Box::pin(async move {
                    sqlx::query("UPDATE agencies SET state = $2 WHERE id = $1")
                        .bind(id.clone())
                        .bind(to)
                        .execute(&mut *connection)
                        .await?;
                    if to == "closed" {
                        sqlx::query("DELETE FROM credentials WHERE owner = $1")
                            .bind(id)
                            .execute(connection)
                            .await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// Keeps an install or uninstall until it is done; whether it is new. Cross-tenant: nobody's connection need exist.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_install(&self, new: NewInstall) -> Result<bool, StoreError> {
        self.writer
            .work(move |connection| {
                Box::pin(async move {
                    let done = sqlx::query(
                        "INSERT INTO installs (dedupe, app, op, company, location, source_time, received_at, state, attempts, \
                         next_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 'due', 0, 0) ON CONFLICT (dedupe) DO NOTHING",
                    )
                    .bind(new.dedupe.to_vec())
                    .bind(new.app.as_str().to_owned())
                    .bind(new.op)
                    .bind(new.company)
                    .bind(new.location)
                    .bind(new.source_time.millis())
                    .bind(new.received_at.millis())
                    .execute(connection)
                    .await?;
                    Ok(done.rows_affected() > 0)
                })
            })
            .await
    }

    /// Installs and uninstalls that are to be done by now, in the order they came; one whose app and place has an
    /// earlier one still due waits for it. Cross-tenant: the keeper works for all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn due_installs(&self, now: Timestamp, limit: i64) -> Result<Vec<InstallRow>, StoreError> {
        let rows: Vec<InstallTuple> = sqlx::query_as(
            "SELECT id, app, op, company, location, source_time, attempts FROM installs i WHERE state = 'due' \
             AND next_at <= $1 AND NOT EXISTS (SELECT 1 FROM installs e WHERE e.state = 'due' AND e.id < i.id \
             AND e.app = i.app AND (e.location IS NULL OR i.location IS NULL OR e.location = i.location)) \
             ORDER BY id LIMIT $2",
        )
        .bind(now.millis())
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| InstallRow {
                id: row.0,
                app: AppId::from(row.1),
                op: row.2,
                company: row.3,
                location: row.4,
                source_time: Timestamp::from_millis(row.5),
                attempts: row.6,
            })
            .collect())
    }

    /// Drops earlier installs that wait for an agency's authorisation, since the app was taken off again. Cross-tenant:
    /// see [`Store::put_install`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn drop_waiting_installs(&self, uninstall: &InstallRow) -> Result<(), StoreError> {
        let row = uninstall.clone();
        self.writer
            .work(move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "UPDATE installs SET state = 'done', detail = 'uninstalled again' WHERE app = $1 AND state = 'waiting' \
                         AND id < $2 AND (location = $3 OR ($3 IS NULL AND company = $4))",
                    )
                    .bind(row.app.as_str().to_owned())
                    .bind(row.id)
                    .bind(row.location)
                    .bind(row.company)
                    .execute(connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    /// Notes what became of an install: `done`, `failed`, `waiting`, or `due` again at a time. Cross-tenant: see
    /// [`Store::put_install`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn mark_install(
        &self,
        id: i64,
        state: &'static str,
        detail: String,
        (now, next_at): (Timestamp, Timestamp),
    ) -> Result<(), StoreError> {
        self.writer
            .work(move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "UPDATE installs SET state = $2, detail = $3, next_at = $4, attempts = attempts + 1, \
                         ended_at = CASE WHEN $2 IN ('done', 'failed') THEN $5 END WHERE id = $1",
                    )
                    .bind(id)
                    .bind(state)
                    .bind(detail)
                    .bind(next_at.millis())
                    .bind(now.millis())
                    .execute(connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    }
}
