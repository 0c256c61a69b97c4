//! Single look-ups that runs and effects need: records, links, mirrored objects, the newest of a timeline.

use super::{Store, StoreError};
use crate::domain::{ConnectionId, GhlId, ObjectKind, RankrId, TenantId, Timestamp};

impl Store {
    /// The connection and GHL's id that a Rankr id is linked with, the newest link first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn linked(
        &self,
        tenant: &TenantId,
        kind: ObjectKind,
        rankr_id: &RankrId,
    ) -> Result<Vec<(ConnectionId, GhlId)>, StoreError> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT connection, ghl_id FROM links WHERE tenant = $1 AND kind = $2 AND rankr_id = $3 ORDER BY made_at DESC",
        )
        .bind(tenant.as_str().to_owned())
        .bind(kind.as_str())
        .bind(rankr_id.as_str().to_owned())
        .fetch_all(&self.readers)
        .await?;
        Ok(rows
            .into_iter()
            .map(|(connection, id)| (ConnectionId::from(connection), GhlId::from(id)))
            .collect())
    }

    /// The contact of a mirrored object and its known fields, JSON.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn mirrored(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        kind: ObjectKind,
        id: &GhlId,
    ) -> Result<Option<(Option<GhlId>, String)>, StoreError> {
        let row: Option<(Option<String>, String)> = sqlx::query_as(
            "SELECT contact, fields FROM mirror WHERE connection = $1 AND kind = $2 AND ghl_id = $3 AND tenant = $4",
        )
        .bind(connection.as_str().to_owned())
        .bind(kind.as_str())
        .bind(id.as_str().to_owned())
        .bind(tenant.as_str().to_owned())
        .fetch_optional(&self.readers)
        .await?;
        Ok(row.map(|(contact, fields)| (contact.map(GhlId::from), fields)))
    }

    /// A record's fields, JSON.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record_fields(
        &self,
        tenant: &TenantId,
        kind: ObjectKind,
        id: &RankrId,
    ) -> Result<Option<(String, String, Option<Timestamp>)>, StoreError> {
        let row: Option<(String, String, Option<i64>)> = sqlx::query_as(
            "SELECT fields, provenance, deleted_at FROM records WHERE tenant = $1 AND kind = $2 AND id = $3",
        )
        .bind(tenant.as_str().to_owned())
        .bind(kind.as_str())
        .bind(id.as_str().to_owned())
        .fetch_optional(&self.readers)
        .await?;
        Ok(row.map(|(fields, provenance, at)| (fields, provenance, at.map(Timestamp::from_millis))))
    }

    /// The link of a GHL object: Rankr's id, and when it was made.
    async fn link_of(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        kind: ObjectKind,
        id: &GhlId,
    ) -> Result<Option<(String, i64)>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT rankr_id, made_at FROM links WHERE tenant = $1 AND kind = $2 AND connection = $3 AND ghl_id = $4",
        )
        .bind(tenant.as_str().to_owned())
        .bind(kind.as_str())
        .bind(connection.as_str().to_owned())
        .bind(id.as_str().to_owned())
        .fetch_optional(&self.readers)
        .await?)
    }

    /// Rankr's id of a GHL object.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn rankr_id_of(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        kind: ObjectKind,
        id: &GhlId,
    ) -> Result<Option<RankrId>, StoreError> {
        let found = self.link_of(tenant, connection, kind, id).await?;
        Ok(found.map(|(rankr_id, _)| RankrId::from(rankr_id)))
    }

    /// Since when a GHL object is linked.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn linked_since(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        kind: ObjectKind,
        id: &GhlId,
    ) -> Result<Option<Timestamp>, StoreError> {
        let found = self.link_of(tenant, connection, kind, id).await?;
        Ok(found.map(|(_, made_at)| Timestamp::from_millis(made_at)))
    }

    /// A contact's newest timeline entries, JSON, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn newest_timeline(
        &self,
        tenant: &TenantId,
        contact: &RankrId,
        limit: u32,
    ) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT entry FROM timeline WHERE tenant = $1 AND contact = $2 ORDER BY at DESC, id DESC LIMIT $3",
        )
        .bind(tenant.as_str().to_owned())
        .bind(contact.as_str().to_owned())
        .bind(i64::from(limit))
        .fetch_all(&self.readers)
        .await?)
    }
}
