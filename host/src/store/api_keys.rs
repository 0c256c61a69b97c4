//! Keys of the REST API: found by the hash of what a caller shows, listed and revoked by id.

use super::audit::{self, AuditRow};
use super::{Row, Store, StoreError};
use crate::domain::{KeyId, TenantId, Timestamp};
use sqlx::Row as _;

/// A key, without itself.
#[derive(Clone, Debug)]
pub struct ApiKeyRow {
    /// Its id.
    pub id: KeyId,
    /// What it is for, in its maker's words.
    pub name: String,
    /// The role's word.
    pub role: String,
    /// The only tenant it reaches; none: all.
    pub tenant: Option<TenantId>,
    /// SHA-256 of the key.
    pub hash: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it opens nothing.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

const BY_HASH: &str = "SELECT id, name, role, tenant, hash, created_at, expires_at, last_used_at, revoked_at \
    FROM api_keys WHERE hash = $1";
const BY_ID: &str = "SELECT id, name, role, tenant, hash, created_at, expires_at, last_used_at, revoked_at \
    FROM api_keys WHERE id = $1";
const LISTING: &str = "SELECT id, name, role, tenant, hash, created_at, expires_at, last_used_at, revoked_at \
    FROM api_keys WHERE id > $1 ORDER BY id LIMIT $2";

fn read(row: &Row) -> Result<ApiKeyRow, StoreError> {
    let time = |at: Option<i64>| at.map(Timestamp::from_millis);
    Ok(ApiKeyRow {
        id: KeyId::from(row.try_get::<String, _>(0)?),
        name: row.try_get(1)?,
        role: row.try_get(2)?,
        tenant: row.try_get::<Option<String>, _>(3)?.map(TenantId::from),
        hash: row.try_get(4)?,
        created_at: Timestamp::from_millis(row.try_get(5)?),
        expires_at: time(row.try_get(6)?),
        last_used_at: time(row.try_get(7)?),
        revoked_at: time(row.try_get(8)?),
    })
}

impl Store {
    /// The key of that hash. Cross-tenant: the key tells whose its holder is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn api_key_by_hash(&self, hash: &[u8]) -> Result<Option<ApiKeyRow>, StoreError> {
        let row = sqlx::query(BY_HASH).bind(hash.to_vec()).fetch_optional(&self.readers).await?;
        row.as_ref().map(read).transpose()
    }

    /// The key of that id. Cross-tenant: keys are the operator's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn api_key(&self, id: &KeyId) -> Result<Option<ApiKeyRow>, StoreError> {
        let row = sqlx::query(BY_ID).bind(id.as_str().to_owned()).fetch_optional(&self.readers).await?;
        row.as_ref().map(read).transpose()
    }

    /// A page of keys, oldest first, after the given id. Cross-tenant: keys are the operator's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_api_keys(&self, after: &str, limit: i64) -> Result<Vec<ApiKeyRow>, StoreError> {
        let rows = sqlx::query(LISTING).bind(after.to_owned()).bind(limit).fetch_all(&self.readers).await?;
        rows.iter().map(read).collect()
    }

    /// Stores a new key; its tenant is the row's own. Cross-tenant: keys are the operator's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_api_key(&self, key: ApiKeyRow, audit: Option<AuditRow>) -> Result<(), StoreError> {
        self.writer
            .work(move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "INSERT INTO api_keys (id, name, role, tenant, hash, created_at, expires_at) \
                         VALUES ($1, $2, $3, $4, $5, $6, $7)",
                    )
                    .bind(key.id.as_str().to_owned())
                    .bind(key.name)
                    .bind(key.role)
                    .bind(key.tenant.map(|id| id.as_str().to_owned()))
                    .bind(key.hash)
                    .bind(key.created_at.millis())
                    .bind(key.expires_at.map(Timestamp::millis))
                    .execute(&mut *connection)
                    .await?;
                    audit::note(connection, audit.as_ref()).await
                })
            })
            .await
    }

    /// Revokes a key; revoking it again changes nothing. Cross-tenant: keys are the operator's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revoke_api_key(
        &self,
        id: &KeyId,
        at: Timestamp,
        audit: Option<AuditRow>,
    ) -> Result<(), StoreError> {
        let id = id.as_str().to_owned();
        self.writer
            .work(move |connection| {
                Box::pin(async move {
                    sqlx::query("UPDATE api_keys SET revoked_at = coalesce(revoked_at, $2) WHERE id = $1")
                        .bind(id)
                        .bind(at.millis())
                        .execute(&mut *connection)
                        .await?;
                    audit::note(connection, audit.as_ref()).await
                })
            })
            .await
    }

    /// Notes when a key was last used. Cross-tenant: keys are the operator's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn touch_api_key(&self, id: &KeyId, at: Timestamp) -> Result<(), StoreError> {
        let id = id.as_str().to_owned();
        self.writer
            .work(move |connection| {
                Box::pin(async move {
                    sqlx::query("UPDATE api_keys SET last_used_at = $2 WHERE id = $1")
                        .bind(id)
                        .bind(at.millis())
                        .execute(connection)
                        .await?;
                    Ok(())
                })
            })
            .await
    }
}
