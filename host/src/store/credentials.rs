//! Tokens of connections and agencies, sealed; the store never sees what is in them. A row changes only from the version
//! it was read at, so that of two who write one notices.

use super::{Row, Store, StoreError};
use crate::domain::{ConnectionId, TenantId, Timestamp, TokenOwner};
use sqlx::Row as _;

/// An owner's sealed tokens.
#[derive(Clone, Debug)]
pub struct CredentialRow {
    /// Whose: a connection or an agency.
    pub owner: TokenOwner,
    /// Which tenant's.
    pub tenant: TenantId,
    /// The tokens, sealed.
    pub sealed: Vec<u8>,
    /// Those before, while a refresh is under way.
    pub sealed_previous: Option<Vec<u8>>,
    /// When they were given.
    pub issued_at: Option<Timestamp>,
    /// When the access token ends; none: never.
    pub expires_at: Option<Timestamp>,
    /// When they are to be refreshed.
    pub refresh_at: Option<Timestamp>,
    /// Since when a refresh is under way.
    pub refreshing_since: Option<Timestamp>,
    /// By which process; none when that process died.
    pub refreshing_by: Option<String>,
    /// Refreshes that failed since the last that went well.
    pub failures: i64,
    /// How the last failed, JSON.
    pub failure: Option<String>,
    /// How often it was written; 0 before the first time.
    pub version: i64,
}

impl CredentialRow {
    /// Tokens that do not end, to be stored over that version.
    #[must_use]
    pub fn lasting(owner: TokenOwner, tenant: TenantId, sealed: Vec<u8>, version: i64) -> Self {
        Self {
            owner,
            tenant,
            sealed,
            sealed_previous: None,
            issued_at: None,
            expires_at: None,
            refresh_at: None,
            refreshing_since: None,
            refreshing_by: None,
            failures: 0,
            failure: None,
            version,
        }
    }
}

/// The begin of a refresh: for whom, over which version, by which process.
#[derive(Clone, Debug)]
pub struct RefreshMark {
    /// Whose tokens.
    pub owner: TokenOwner,
    /// The version they were read at.
    pub version: i64,
    /// This process.
    pub by: String,
    /// Now.
    pub at: Timestamp,
    /// Marks of other processes that are older are of dead ones.
    pub stale_before: Timestamp,
}

/// A refresh that failed.
#[derive(Clone, Debug)]
pub struct RefreshFailure {
    /// Whose tokens.
    pub owner: TokenOwner,
    /// The version of the mark.
    pub version: i64,
    /// How it failed, JSON.
    pub failure: String,
    /// When it is tried again; none: not by itself.
    pub refresh_at: Option<Timestamp>,
}

/// What a call through a connection needs.
#[derive(Clone, Debug)]
pub struct AccessRow {
    /// Whose it is.
    pub tenant: TenantId,
    /// The connection's state.
    pub state: String,
    /// `oauth`, `api-key` or `fixed`.
    pub kind: String,
    /// `live` or `sandbox`.
    pub environment: String,
    /// GHL's location.
    pub location: String,
    /// Granted scopes.
    pub scopes: String,
    /// Scopes that GHL refused all the same.
    pub lacking: String,
    /// Why it was closed.
    pub closed_reason: Option<String>,
    /// Its tokens.
    pub credential: Option<CredentialRow>,
}

const COLUMNS: &str = "t.owner, t.tenant, t.sealed, t.sealed_previous, t.issued_at, t.expires_at, t.refresh_at, \
    t.refreshing_since, t.refreshing_by, t.failures, t.failure, t.version";

fn read(row: &Row) -> Result<CredentialRow, StoreError> {
    let at = |place: usize| -> Result<Option<Timestamp>, StoreError> {
        Ok(row.try_get::<Option<i64>, _>(place)?.map(Timestamp::from_millis))
    };
    Ok(CredentialRow {
        owner: TokenOwner::from(row.try_get::<String, _>(0)?),
        tenant: TenantId::from(row.try_get::<String, _>(1)?),
        sealed: row.try_get(2)?,
        sealed_previous: row.try_get(3)?,
        issued_at: at(4)?,
        expires_at: at(5)?,
        refresh_at: at(6)?,
        refreshing_since: at(7)?,
        refreshing_by: row.try_get(8)?,
        failures: row.try_get(9)?,
        failure: row.try_get(10)?,
        version: row.try_get(11)?,
    })
}

/// Writes a row over the version it was read at, in the caller's transaction; whether it was still at it.
pub(super) async fn put(connection: &mut super::Connection, row: &CredentialRow) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "INSERT INTO credentials (owner, tenant, sealed, sealed_previous, issued_at, expires_at, refresh_at, \
         refreshing_since, refreshing_by, failures, failure, version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 1) \
         ON CONFLICT (owner) DO UPDATE SET sealed = excluded.sealed, sealed_previous = excluded.sealed_previous, \
         issued_at = excluded.issued_at, expires_at = excluded.expires_at, refresh_at = excluded.refresh_at, \
         refreshing_since = excluded.refreshing_since, refreshing_by = excluded.refreshing_by, failures = excluded.failures, \
         failure = excluded.failure, version = credentials.version + 1 WHERE credentials.version = $12",
    )
    .bind(row.owner.as_str().to_owned())
    .bind(row.tenant.as_str().to_owned())
    .bind(row.sealed.clone())
    .bind(row.sealed_previous.clone())
    .bind(row.issued_at.map(Timestamp::millis))
    .bind(row.expires_at.map(Timestamp::millis))
    .bind(row.refresh_at.map(Timestamp::millis))
    .bind(row.refreshing_since.map(Timestamp::millis))
    .bind(row.refreshing_by.clone())
    .bind(row.failures)
    .bind(row.failure.clone())
    .bind(row.version)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

impl Store {
    /// An owner's tokens. Cross-tenant: an owner is one tenant's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn credential(&self, owner: &TokenOwner) -> Result<Option<CredentialRow>, StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM credentials t WHERE t.owner = $1"
        )))
        .bind(owner.as_str().to_owned())
        .fetch_optional(&self.readers)
        .await?;
        row.as_ref().map(read).transpose()
    }

    /// What a call through a connection needs, read at the moment of the call. Cross-tenant: a connection is one
    /// tenant's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn access(&self, connection: &ConnectionId) -> Result<Option<AccessRow>, StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS}, c.tenant, c.state, c.environment, c.location, c.scopes, c.lacking, c.closed_reason, c.kind \
             FROM connections c LEFT JOIN credentials t ON t.owner = c.id WHERE c.id = $1"
        )))
        .bind(connection.as_str().to_owned())
        .fetch_optional(&self.readers)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let has_tokens = row.try_get::<Option<String>, _>(0)?.is_some();
        Ok(Some(AccessRow {
            credential: if has_tokens { Some(read(&row)?) } else { None },
            tenant: TenantId::from(row.try_get::<String, _>(12)?),
            state: row.try_get(13)?,
            environment: row.try_get(14)?,
            location: row.try_get(15)?,
            scopes: row.try_get(16)?,
            lacking: row.try_get(17)?,
            closed_reason: row.try_get(18)?,
            kind: row.try_get(19)?,
        }))
    }

    /// Owners whose tokens are to be refreshed by now, the most urgent first. Cross-tenant: the keeper works for all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn due_refreshes(&self, now: Timestamp, limit: i64) -> Result<Vec<TokenOwner>, StoreError> {
        let owners: Vec<(String,)> = sqlx::query_as(
            "SELECT owner FROM credentials WHERE refresh_at IS NOT NULL AND refresh_at <= $1 ORDER BY refresh_at LIMIT $2",
        )
        .bind(now.millis())
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        Ok(owners.into_iter().map(|(owner,)| TokenOwner::from(owner)).collect())
    }

    /// Stores tokens if they are still at the version they were read at (0: not there); whether they were. `TenantId` is
    /// the row's own.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_credential(&self, row: CredentialRow) -> Result<bool, StoreError> {
        self.writer.work(move |connection| Box::pin(async move { put(connection, &row).await })).await
    }

    /// Marks a refresh as under way, beside the pair it begins with; whether it is ours to do. Cross-tenant: an owner is
    /// one tenant's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn begin_refresh(&self, mark: RefreshMark) -> Result<bool, StoreError> {
        self.writer
            .work(move |connection| {
                Box::pin(async move {
                    let done = sqlx::query(
                        "UPDATE credentials SET refreshing_since = $3, refreshing_by = $4, sealed_previous = sealed, \
                         version = version + 1 WHERE owner = $1 AND version = $2 AND (refreshing_since IS NULL \
                         OR refreshing_by IS NULL OR refreshing_by = $4 OR refreshing_since < $5)",
                    )
                    .bind(mark.owner.as_str().to_owned())
                    .bind(mark.version)
                    .bind(mark.at.millis())
                    .bind(mark.by)
                    .bind(mark.stale_before.millis())
                    .execute(connection)
                    .await?;
                    Ok(done.rows_affected() > 0)
                })
            })
            .await
    }

    /// Takes the mark away and notes how the refresh failed; the pair stays. Cross-tenant: an owner is one tenant's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn fail_refresh(&self, failed: RefreshFailure) -> Result<bool, StoreError> {
        self.writer
            .work(move |connection| {
                Box::pin(async move {
                    let done = sqlx::query(
                        "UPDATE credentials SET refreshing_since = NULL, refreshing_by = NULL, sealed_previous = NULL, \
                         failures = failures + 1, failure = $3, refresh_at = $4, version = version + 1 \
                         WHERE owner = $1 AND version = $2",
                    )
                    .bind(failed.owner.as_str().to_owned())
                    .bind(failed.version)
                    .bind(failed.failure)
                    .bind(failed.refresh_at.map(Timestamp::millis))
                    .execute(connection)
                    .await?;
                    Ok(done.rows_affected() > 0)
                })
            })
            .await
    }

    /// Marks of refreshes that a process left which died: anyone may take them over, at once. To be called when this process is
    /// the only one on the database. Cross-tenant: at the start of the process.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn orphan_refreshes(&self) -> Result<u64, StoreError> {
        self.writer
            .work(move |connection| {
                Box::pin(async move {
                    let done = sqlx::query(
                        "UPDATE credentials SET refreshing_by = NULL, refresh_at = 0 WHERE refreshing_by IS NOT NULL",
                    )
                    .execute(connection)
                    .await?;
                    Ok(done.rows_affected())
                })
            })
            .await
    }
}
