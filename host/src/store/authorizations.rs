//! Attempts to connect: links handed out, each good for one use, and what became of them.

use super::{Row, Store, StoreError};
use crate::domain::{AppId, AuthorizationId, ConnectionId, TenantId, Timestamp};
use sqlx::Row as _;

/// A link to hand out.
#[derive(Clone, Debug)]
pub struct NewAuthorization {
    /// Its id.
    pub id: AuthorizationId,
    /// The hash of its state.
    pub state_hash: Vec<u8>,
    /// For whom.
    pub tenant: TenantId,
    /// Through which app.
    pub app: AppId,
    /// The connection it reconnects.
    pub connection: Option<ConnectionId>,
    /// Scopes it asks for, space separated.
    pub scopes: String,
    /// Now.
    pub created_at: Timestamp,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

/// An attempt.
#[derive(Clone, Debug)]
pub struct AuthorizationRow {
    /// Its id.
    pub id: AuthorizationId,
    /// For whom.
    pub tenant: TenantId,
    /// Through which app.
    pub app: AppId,
    /// The connection it reconnects.
    pub connection: Option<ConnectionId>,
    /// Scopes it asks for, space separated.
    pub scopes: String,
    /// When it was handed out.
    pub created_at: Timestamp,
    /// Until when it is good.
    pub expires_at: Timestamp,
    /// When it was used.
    pub used_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// `waiting`, `exchanging`, `connected` or `failed`.
    pub outcome: String,
    /// Which step failed.
    pub step: Option<String>,
    /// GHL's status.
    pub status: Option<i64>,
    /// What was said, secrets left out.
    pub detail: Option<String>,
    /// What was connected: ids, JSON.
    pub connected: String,
}

/// How an attempt ended.
#[derive(Clone, Debug)]
pub struct AuthorizationEnd {
    /// Which.
    pub id: AuthorizationId,
    /// `connected` or `failed`.
    pub outcome: &'static str,
    /// Which step failed.
    pub step: Option<String>,
    /// GHL's status.
    pub status: Option<u16>,
    /// What was said, secrets left out.
    pub detail: Option<String>,
    /// What was connected: ids, JSON.
    pub connected: String,
    /// When.
    pub at: Timestamp,
}

const COLUMNS: &str = "id, tenant, app, connection, scopes, created_at, expires_at, used_at, ended_at, outcome, step, \
    status, detail, connected";

fn read(row: &Row) -> Result<AuthorizationRow, StoreError> {
    let at = |place: usize| -> Result<Option<Timestamp>, StoreError> {
        Ok(row.try_get::<Option<i64>, _>(place)?.map(Timestamp::from_millis))
    };
    Ok(AuthorizationRow {
        id: AuthorizationId::from(row.try_get::<String, _>(0)?),
        tenant: TenantId::from(row.try_get::<String, _>(1)?),
        app: AppId::from(row.try_get::<String, _>(2)?),
        connection: row.try_get::<Option<String>, _>(3)?.map(ConnectionId::from),
        scopes: row.try_get(4)?,
        created_at: Timestamp::from_millis(row.try_get(5)?),
        expires_at: Timestamp::from_millis(row.try_get(6)?),
        used_at: at(7)?,
        ended_at: at(8)?,
        outcome: row.try_get(9)?,
        step: row.try_get(10)?,
        status: row.try_get(11)?,
        detail: row.try_get(12)?,
        connected: row.try_get(13)?,
    })
}

impl Store {
    /// Hands out a link; `TenantId` is the row's own.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_authorization(&self, new: NewAuthorization) -> Result<(), StoreError> {
        self.writer
            .work(move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "INSERT INTO authorizations (id, state_hash, tenant, app, connection, scopes, created_at, \
                         expires_at, outcome, connected) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'waiting', '[]')",
                    )
                    .bind(new.id.as_str().to_owned())
                    .bind(new.state_hash)
                    .bind(new.tenant.as_str().to_owned())
                    .bind(new.app.as_str().to_owned())
                    .bind(new.connection.as_ref().map(|id| id.as_str().to_owned()))
                    .bind(new.scopes)
                    .bind(new.created_at.millis())
                    .bind(new.expires_at.millis())
                    .execute(connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    /// The attempt of a state. Cross-tenant: the state itself says whose it is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn authorization_of(&self, state_hash: &[u8]) -> Result<Option<AuthorizationRow>, StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM authorizations WHERE state_hash = $1"
        )))
        .bind(state_hash.to_vec())
        .fetch_optional(&self.readers)
        .await?;
        row.as_ref().map(read).transpose()
    }

    /// Uses a link up; whether it was still unused and good. Cross-tenant: an attempt is one tenant's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn use_authorization(&self, id: &AuthorizationId, now: Timestamp) -> Result<bool, StoreError> {
        let id = id.as_str().to_owned();
        self.writer
            .work(move |connection| {
                Box::pin(async move {
                    let done = sqlx::query(
                        "UPDATE authorizations SET used_at = $2, outcome = 'exchanging' WHERE id = $1 \
                         AND used_at IS NULL AND expires_at > $2",
                    )
                    .bind(id)
                    .bind(now.millis())
                    .execute(connection)
                    .await?;
                    Ok(done.rows_affected() > 0)
                })
            })
            .await
    }

    /// Notes how an attempt ended. Cross-tenant: an attempt is one tenant's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_authorization(&self, end: AuthorizationEnd) -> Result<(), StoreError> {
        self.writer
            .work(move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "UPDATE authorizations SET outcome = $2, step = $3, status = $4, detail = $5, connected = $6, \
                         ended_at = $7 WHERE id = $1",
                    )
                    .bind(end.id.as_str().to_owned())
                    .bind(end.outcome)
                    .bind(end.step)
                    .bind(end.status.map(i64::from))
                    .bind(end.detail)
                    .bind(end.connected)
                    .bind(end.at.millis())
                    .execute(connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    /// Ends attempts that a process left which died in the middle. Cross-tenant: at the start of the process.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_broken_authorizations(&self, at: Timestamp) -> Result<(), StoreError> {
        self.writer
            .work(move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "UPDATE authorizations SET outcome = 'failed', step = 'interrupted', ended_at = $1, \
                         detail = 'the host stopped while it connected; make a new link' WHERE outcome = 'exchanging'",
                    )
                    .bind(at.millis())
                    .execute(connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    /// A page of a tenant's attempts, the newest first, beginning below an id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_authorizations(
        &self,
        tenant: &TenantId,
        below: Option<&str>,
        limit: i64,
    ) -> Result<Vec<AuthorizationRow>, StoreError> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM authorizations WHERE tenant = $1 AND id < $2 ORDER BY id DESC LIMIT $3"
        )))
        .bind(tenant.as_str().to_owned())
        .bind(below.unwrap_or("~").to_owned())
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(read).collect()
    }
}
