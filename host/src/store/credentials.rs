//! Credentials of connections, sealed; the store never sees what is in them.

use super::{Store, StoreError};
use crate::domain::{ConnectionId, TenantId, Timestamp};

/// A connection's sealed credential.
#[derive(Clone, Debug)]
pub struct CredentialRow {
    /// Which connection's.
    pub connection: ConnectionId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The credential, sealed.
    pub sealed: Vec<u8>,
    /// The one before, while a refresh is under way.
    pub sealed_previous: Option<Vec<u8>>,
    /// When the access token ends.
    pub expires_at: Option<Timestamp>,
    /// Since when a refresh is under way.
    pub refreshing_since: Option<Timestamp>,
    /// How often it was written.
    pub version: i64,
}

type CredentialTuple = (String, Vec<u8>, Option<Vec<u8>>, Option<i64>, Option<i64>, i64);

impl Store {
    /// A connection's credential. Cross-tenant: a connection is one tenant's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn credential(&self, connection: &ConnectionId) -> Result<Option<CredentialRow>, StoreError> {
        let row: Option<CredentialTuple> = sqlx::query_as(
            "SELECT tenant, sealed, sealed_previous, expires_at, refreshing_since, version FROM credentials WHERE connection = $1",
        )
        .bind(connection.as_str().to_owned())
        .fetch_optional(&self.readers)
        .await?;
        Ok(row.map(|row| CredentialRow {
            connection: connection.clone(),
            tenant: TenantId::from(row.0),
            sealed: row.1,
            sealed_previous: row.2,
            expires_at: row.3.map(Timestamp::from_millis),
            refreshing_since: row.4.map(Timestamp::from_millis),
            version: row.5,
        }))
    }

    /// Stores a credential if it is still at the version it was read at (0: not there); whether it was. `TenantId` is
    /// the row's own.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_credential(&self, row: CredentialRow) -> Result<bool, StoreError> {
        self.writer
            .work(move |connection| {
                Box::pin(async move {
                    let done = sqlx::query(
                        "INSERT INTO credentials (connection, tenant, sealed, sealed_previous, expires_at, refreshing_since, \
                         version) VALUES ($1, $2, $3, $4, $5, $6, 1) ON CONFLICT (connection) DO UPDATE SET \
                         sealed = excluded.sealed, sealed_previous = excluded.sealed_previous, expires_at = excluded.expires_at, \
                         refreshing_since = excluded.refreshing_since, version = credentials.version + 1 \
                         WHERE credentials.version = $7",
                    )
                    .bind(row.connection.as_str().to_owned())
                    .bind(row.tenant.as_str().to_owned())
                    .bind(row.sealed)
                    .bind(row.sealed_previous)
                    .bind(row.expires_at.map(Timestamp::millis))
                    .bind(row.refreshing_since.map(Timestamp::millis))
                    .bind(row.version)
                    .execute(connection)
                    .await?;
                    Ok(done.rows_affected() > 0)
                })
            })
            .await
    }
}
