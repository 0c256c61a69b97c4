//! Apps, tenants and connections: small tables that their rooms read whole.

use super::{Store, StoreError};
use crate::domain::{AppId, CompanyId, ConnectionId, LocationId, TenantId, Timestamp};

/// One registration with GHL.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct AppRow {
    /// Its id, part of the webhook path.
    pub id: String,
    /// `live` or `sandbox`.
    pub environment: String,
    /// GHL's client id; its first part is the app id in webhook bodies.
    pub client_id: String,
    /// Keys, paths and the like, JSON of the tenants room.
    pub settings: String,
    /// The client secret, sealed.
    pub sealed_secret: Option<Vec<u8>>,
    /// When it was registered.
    pub created_at: i64,
}

impl AppRow {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> AppId {
        AppId::new(&self.id)
    }
}

/// A Rankr customer.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct TenantRow {
    /// Its id.
    pub id: String,
    /// Its name, for people.
    pub name: String,
    /// `active` or `paused`.
    pub state: String,
    /// When it was made.
    pub created_at: i64,
}

/// A tenant's link to one GHL location.
#[derive(Clone, Debug)]
pub struct ConnectionRow {
    /// Its id.
    pub id: ConnectionId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Through which app; none with an API key.
    pub app: Option<AppId>,
    /// `live` or `sandbox`.
    pub environment: String,
    /// GHL's location.
    pub location: LocationId,
    /// GHL's agency, where known.
    pub company: Option<CompanyId>,
    /// `oauth`, `api-key` or `fixed`.
    pub kind: String,
    /// `connecting`, `active`, `suspended`, `reconnect-needed` or `closed`.
    pub state: String,
    /// Granted scopes, space separated.
    pub scopes: String,
    /// When it was made.
    pub created_at: Timestamp,
}

type ConnectionTuple =
    (String, String, Option<String>, String, String, Option<String>, String, String, String, i64);

impl Store {
    /// All apps. Cross-tenant: an app serves many tenants.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn apps(&self) -> Result<Vec<AppRow>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT id, environment, client_id, settings, sealed_secret, created_at FROM apps ORDER BY id",
        )
        .fetch_all(&self.readers)
        .await?)
    }

    /// Stores an app, or its new settings; a secret that is not given again stays. Cross-tenant: an app serves many tenants.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_app(&self, app: AppRow) -> Result<(), StoreError> {
        self.writer
            .work(move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "INSERT INTO apps (id, environment, client_id, settings, sealed_secret, created_at) \
                         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO UPDATE SET environment = excluded.environment, \
                         client_id = excluded.client_id, settings = excluded.settings, \
                         sealed_secret = coalesce(excluded.sealed_secret, apps.sealed_secret)",
                    )
                    .bind(app.id)
                    .bind(app.environment)
                    .bind(app.client_id)
                    .bind(app.settings)
                    .bind(app.sealed_secret)
                    .bind(app.created_at)
                    .execute(connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    /// All tenants, for the operator.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tenants(&self) -> Result<Vec<TenantRow>, StoreError> {
        Ok(sqlx::query_as("SELECT id, name, state, created_at FROM tenants ORDER BY id")
            .fetch_all(&self.readers)
            .await?)
    }

    /// The tenant of that id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tenant(&self, id: &TenantId) -> Result<Option<TenantRow>, StoreError> {
        Ok(sqlx::query_as("SELECT id, name, state, created_at FROM tenants WHERE id = $1")
            .bind(id.as_str().to_owned())
            .fetch_optional(&self.readers)
            .await?)
    }

    /// Stores a tenant, or its new name: whether it is paused is its operator's. `TenantId` is the row's own.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_tenant(&self, tenant: TenantRow) -> Result<(), StoreError> {
        self.writer
            .work(move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "INSERT INTO tenants (id, name, state, created_at) VALUES ($1, $2, $3, $4) \
                         ON CONFLICT (id) DO UPDATE SET name = excluded.name",
                    )
                    .bind(tenant.id)
                    .bind(tenant.name)
                    .bind(tenant.state)
                    .bind(tenant.created_at)
                    .execute(connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    /// All connections. Cross-tenant: webhooks are addressed by location.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn connections(&self) -> Result<Vec<ConnectionRow>, StoreError> {
        let rows: Vec<ConnectionTuple> = sqlx::query_as(
            "SELECT id, tenant, app, environment, location, company, kind, state, scopes, created_at \
             FROM connections ORDER BY id",
        )
        .fetch_all(&self.readers)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| ConnectionRow {
                id: ConnectionId::from(row.0),
                tenant: TenantId::from(row.1),
                app: row.2.map(AppId::from),
                environment: row.3,
                location: LocationId::from(row.4),
                company: row.5.map(CompanyId::from),
                kind: row.6,
                state: row.7,
                scopes: row.8,
                created_at: Timestamp::from_millis(row.9),
            })
            .collect())
    }

    /// Stores a connection, or its new state and scopes; `TenantId` is the row's own.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when another open connection has the location.
    pub async fn put_connection(&self, row: ConnectionRow) -> Result<(), StoreError> {
        self.writer
            .work(move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "INSERT INTO connections (id, tenant, app, environment, location, company, kind, state, scopes, \
                         created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (id) DO UPDATE SET \
                         state = excluded.state, scopes = excluded.scopes, company = excluded.company, app = excluded.app, \
                         kind = excluded.kind, \
                         closed_at = CASE WHEN excluded.state = 'closed' THEN connections.closed_at END, \
                         closed_reason = CASE WHEN excluded.state = 'closed' THEN connections.closed_reason END",
                    )
                    .bind(row.id.as_str().to_owned())
                    .bind(row.tenant.as_str().to_owned())
                    .bind(row.app.as_ref().map(|id| id.as_str().to_owned()))
                    .bind(row.environment)
                    .bind(row.location.as_str().to_owned())
                    .bind(row.company.as_ref().map(|id| id.as_str().to_owned()))
                    .bind(row.kind)
                    .bind(row.state)
                    .bind(row.scopes)
                    .bind(row.created_at.millis())
                    .execute(connection)
                    .await
                    .map_err(|error| match error.as_database_error() {
                        Some(database) if database.is_unique_violation() => {
                            StoreError::Exists { what: "a connection that receives for this location" }
                        }
                        _ => StoreError::Database(error),
                    })?;
                    Ok(())
                })
            })
            .await
    }
}
