//! Connections in full: what people are shown of them, how they are opened, closed and corrected.

use super::credentials::{self, CredentialRow};
use super::{Connection, ConnectionRow, Row, Store, StoreError};
use crate::domain::{AgencyId, ConnectionId, LocationId, TenantId, Timestamp};
use sqlx::Row as _;

/// A connection with all that is known of it but its tokens.
#[derive(Clone, Debug)]
pub struct ConnectionDetail {
    /// Its id.
    pub id: ConnectionId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Through which app.
    pub app: Option<String>,
    /// `live` or `sandbox`.
    pub environment: String,
    /// GHL's location.
    pub location: LocationId,
    /// GHL's agency, where known.
    pub company: Option<String>,
    /// `oauth`, `api-key` or `fixed`.
    pub kind: String,
    /// `connecting`, `active`, `reconnect-needed`, `suspended` or `closed`.
    pub state: String,
    /// Granted or declared scopes, space separated.
    pub scopes: String,
    /// Scopes that GHL refused all the same.
    pub lacking: String,
    /// The agency whose token mints this connection's.
    pub agency: Option<AgencyId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last authorised.
    pub connected_at: Option<Timestamp>,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
    /// Why it was closed.
    pub closed_reason: Option<String>,
    /// How the first real read went, JSON.
    pub test: Option<String>,
    /// When its access token was given.
    pub issued_at: Option<Timestamp>,
    /// When its access token ends.
    pub expires_at: Option<Timestamp>,
    /// When it is refreshed.
    pub refresh_at: Option<Timestamp>,
    /// How the last refresh failed, JSON.
    pub failure: Option<String>,
}

/// A connection to open, with its tokens.
#[derive(Clone, Debug)]
pub struct OpenConnection {
    /// The connection.
    pub connection: ConnectionRow,
    /// The agency whose token mints its.
    pub agency: Option<AgencyId>,
    /// Its tokens; the version is looked up.
    pub credential: CredentialRow,
    /// Now.
    pub at: Timestamp,
}

const DETAIL: &str = "SELECT c.id, c.tenant, c.app, c.environment, c.location, c.company, c.kind, c.state, c.scopes, \
    c.lacking, c.agency, c.created_at, c.connected_at, c.closed_at, c.closed_reason, c.test, t.issued_at, t.expires_at, \
    t.refresh_at, t.failure FROM connections c LEFT JOIN credentials t ON t.owner = c.id";

fn detail(row: &Row) -> Result<ConnectionDetail, StoreError> {
    let at = |place: usize| -> Result<Option<Timestamp>, StoreError> {
        Ok(row.try_get::<Option<i64>, _>(place)?.map(Timestamp::from_millis))
    };
    Ok(ConnectionDetail {
        id: ConnectionId::from(row.try_get::<String, _>(0)?),
        tenant: TenantId::from(row.try_get::<String, _>(1)?),
        app: row.try_get(2)?,
        environment: row.try_get(3)?,
        location: LocationId::from(row.try_get::<String, _>(4)?),
        company: row.try_get(5)?,
        kind: row.try_get(6)?,
        state: row.try_get(7)?,
        scopes: row.try_get(8)?,
        lacking: row.try_get(9)?,
        agency: row.try_get::<Option<String>, _>(10)?.map(AgencyId::from),
        created_at: Timestamp::from_millis(row.try_get(11)?),
        connected_at: at(12)?,
        closed_at: at(13)?,
        closed_reason: row.try_get(14)?,
        test: row.try_get(15)?,
        issued_at: at(16)?,
        expires_at: at(17)?,
        refresh_at: at(18)?,
        failure: row.try_get(19)?,
    })
}

async fn details(
    store: &Store,
    rest: &str,
    bind: impl IntoIterator<Item = String>,
) -> Result<Vec<ConnectionDetail>, StoreError> {
    let mut query = sqlx::query(sqlx::AssertSqlSafe(format!("{DETAIL} {rest}")));
    for value in bind {
        query = query.bind(value);
    }
    query.fetch_all(&store.readers).await?.iter().map(detail).collect()
}

impl Store {
    /// A page of connections in the order of their ids; of one tenant, or of all (`TenantId` left out) for the operator.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_connections(
        &self,
        tenant: Option<&TenantId>,
        after: &str,
        limit: i64,
    ) -> Result<Vec<ConnectionDetail>, StoreError> {
        let whose = if tenant.is_some() { "c.tenant = $3 AND" } else { "" };
        let text = format!("{DETAIL} WHERE {whose} c.id > $1 ORDER BY c.id LIMIT $2");
        let mut query = sqlx::query(sqlx::AssertSqlSafe(text)).bind(after.to_owned()).bind(limit);
        if let Some(tenant) = tenant {
            query = query.bind(tenant.as_str().to_owned());
        }
        query.fetch_all(&self.readers).await?.iter().map(detail).collect()
    }

    /// A connection. Cross-tenant: the caller compares whose it is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn connection_detail(&self, id: &ConnectionId) -> Result<Option<ConnectionDetail>, StoreError> {
        Ok(details(self, "WHERE c.id = $1", [id.as_str().to_owned()]).await?.pop())
    }

    /// The connection that a location has or had: an open one of anybody's, else the newest closed one of this
    /// `TenantId`'s.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn connection_of_location(
        &self,
        tenant: &TenantId,
        environment: &str,
        location: &LocationId,
    ) -> Result<Option<ConnectionDetail>, StoreError> {
        let rest = "WHERE c.environment = $1 AND c.location = $2 AND (c.state <> 'closed' OR c.tenant = $3) \
            ORDER BY c.state = 'closed', c.created_at DESC LIMIT 1";
        let bind = [environment.to_owned(), location.as_str().to_owned(), tenant.as_str().to_owned()];
        Ok(details(self, rest, bind).await?.pop())
    }

    /// Connections whose first real read is still to come. Cross-tenant: the keeper works for all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn connecting(&self) -> Result<Vec<ConnectionDetail>, StoreError> {
        details(self, "WHERE c.state = 'connecting' ORDER BY c.id", []).await
    }

    /// Open connections of an app at a location, or at an agency's locations. Cross-tenant: uninstalling is told by
    /// location.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn installed_connections(
        &self,
        app: &str,
        company: Option<&str>,
        location: Option<&str>,
    ) -> Result<Vec<ConnectionDetail>, StoreError> {
        let (rest, value) = match (location, company) {
            (Some(location), _) => {
                ("WHERE c.app = $1 AND c.location = $2 AND c.state <> 'closed' ORDER BY c.id", location)
            }
            (None, Some(company)) => {
                ("WHERE c.app = $1 AND c.company = $2 AND c.state <> 'closed' ORDER BY c.id", company)
            }
            (None, None) => return Ok(Vec::new()),
        };
        details(self, rest, [app.to_owned(), value.to_owned()]).await
    }

    /// Opens a connection with its tokens, or opens it again; `TenantId` is the row's own.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when the location has another open connection, or this one is another tenant's.
    pub async fn open_connection(&self, open: OpenConnection) -> Result<(), StoreError> {
        self.writer.work(move |connection| Box::pin(async move { open_in(connection, open).await })).await
    }

    /// Sets a connection's state from one of these states; whether it was in one. Cross-tenant: a connection is one
    /// tenant's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn move_connection(
        &self,
        id: &ConnectionId,
        from: &'static [&'static str],
        to: &'static str,
    ) -> Result<bool, StoreError> {
        let id = id.as_str().to_owned();
        self.writer
            .work(move |connection| {
                Box::pin(async move {
                    for state in from {
                        let done =
                            sqlx::query("UPDATE connections SET state = $2 WHERE id = $1 AND state = $3")
                                .bind(id.clone())
                                .bind(to)
                                .bind(*state)
                                .execute(&mut *connection)
                                .await?;
                        if done.rows_affected() > 0 {
                            return Ok(true);
                        }
                    }
                    Ok(false)
                })
            })
            .await
    }

    /// Closes a connection and destroys its tokens; whether it was open. Cross-tenant: a connection is one tenant's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn close_connection(
        &self,
        id: &ConnectionId,
        reason: String,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let id = id.as_str().to_owned();
        self.writer
            .work(move |connection| {
                Box::pin(async move {
                    let done = sqlx::query(
                        "UPDATE connections SET state = 'closed', closed_at = $2, closed_reason = $3 \
                         WHERE id = $1 AND state <> 'closed'",
                    )
                    .bind(id.clone())
                    .bind(at.millis())
                    .bind(reason)
                    .execute(&mut *connection)
                    .await?;
                    sqlx::query("DELETE FROM credentials WHERE owner = $1")
                        .bind(id)
                        .execute(connection)
                        .await?;
                    Ok(done.rows_affected() > 0)
                })
            })
            .await
    }

    /// Notes how the first real read went; where it went well the connection becomes active. Cross-tenant: a connection
    /// is one tenant's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_test(&self, id: &ConnectionId, test: String, passed: bool) -> Result<(), StoreError> {
        let id = id.as_str().to_owned();
        self.writer
            .work(move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "UPDATE connections SET test = $2, state = CASE WHEN $3 AND state = 'connecting' THEN 'active' \
                         ELSE state END WHERE id = $1",
                    )
                    .bind(id)
                    .bind(test)
                    .bind(passed)
                    .execute(connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    /// Sets what a connection may do: the scopes of new tokens, or those that GHL refused. Cross-tenant: a connection is
    /// one tenant's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn correct_scopes(
        &self,
        id: &ConnectionId,
        scopes: Option<String>,
        lacking: Option<String>,
    ) -> Result<(), StoreError> {
        let id = id.as_str().to_owned();
        self.writer
            .work(move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "UPDATE connections SET scopes = coalesce($2, scopes), lacking = coalesce($3, lacking) WHERE id = $1",
                    )
                    .bind(id)
                    .bind(scopes)
                    .bind(lacking)
                    .execute(connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    }
}

async fn open_in(connection: &mut Connection, mut open: OpenConnection) -> Result<(), StoreError> {
    let row = &open.connection;
    let done = sqlx::query(
        "INSERT INTO connections (id, tenant, app, environment, location, company, kind, state, scopes, created_at, agency, \
         connected_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (id) DO UPDATE SET \
         app = excluded.app, company = excluded.company, kind = excluded.kind, state = excluded.state, \
         scopes = excluded.scopes, agency = excluded.agency, connected_at = excluded.connected_at, lacking = '', \
         closed_at = NULL, closed_reason = NULL, test = NULL WHERE connections.tenant = excluded.tenant",
    )
    .bind(row.id.as_str().to_owned())
    .bind(row.tenant.as_str().to_owned())
    .bind(row.app.as_ref().map(|id| id.as_str().to_owned()))
    .bind(row.environment.clone())
    .bind(row.location.as_str().to_owned())
    .bind(row.company.as_ref().map(|id| id.as_str().to_owned()))
    .bind(row.kind.clone())
    .bind(row.state.clone())
    .bind(row.scopes.clone())
    .bind(row.created_at.millis())
    .bind(open.agency.as_ref().map(|id| id.as_str().to_owned()))
    .bind(open.at.millis())
    .execute(&mut *connection)
    .await
    .map_err(|error| match error.as_database_error() {
        Some(database) if database.is_unique_violation() => {
            StoreError::Exists { what: "a connection that receives for this location" }
        }
        _ => StoreError::Database(error),
    })?;
    if done.rows_affected() == 0 {
        return Err(StoreError::Exists { what: "a connection of another tenant" });
    }
    let known: Option<(i64,)> = sqlx::query_as("SELECT version FROM credentials WHERE owner = $1")
        .bind(open.credential.owner.as_str().to_owned())
        .fetch_optional(&mut *connection)
        .await?;
    open.credential.version = known.map_or(0, |(version,)| version);
    credentials::put(connection, &open.credential).await?;
    Ok(())
}
