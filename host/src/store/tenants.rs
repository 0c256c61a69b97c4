//! Tenants as their keeper needs them: made, listed, paused, resumed.

use super::audit::{self, AuditRow};
use super::{Store, StoreError, TenantRow};
use crate::domain::{TenantId, Timestamp};
use serde::Serialize;
use sqlx::Row as _;

/// A tenant as the API shows it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct TenantListing {
    /// Its id.
    pub id: String,
    /// Its name, for people.
    pub name: String,
    /// `active`, or `paused`: what comes in is stored, nothing runs and nothing is sent.
    pub state: String,
    /// Since when, RFC 3339; null if it was never paused.
    pub state_since: Option<String>,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// How many connections it has that are not closed.
    pub connections: i64,
}

const LISTING: &str = "SELECT id, name, state, state_since, created_at, (SELECT count(*) FROM connections c \
    WHERE c.tenant = t.id AND c.state <> 'closed') FROM tenants t WHERE ($1 IS NULL OR id = $1) AND id > $2 \
    ORDER BY id LIMIT $3";

impl Store {
    /// A page of tenants in the order of their ids, after the given one; only one where `TenantId` is given.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_tenants(
        &self,
        only: Option<&TenantId>,
        after: &str,
        limit: i64,
    ) -> Result<Vec<TenantListing>, StoreError> {
        let rows = sqlx::query(LISTING)
            .bind(only.map(|id| id.as_str().to_owned()))
            .bind(after.to_owned())
            .bind(limit)
            .fetch_all(&self.readers)
            .await?;
        let time = |millis: i64| Timestamp::from_millis(millis).to_rfc3339();
        rows.iter()
            .map(|row| {
                Ok(TenantListing {
                    id: row.try_get(0)?,
                    name: row.try_get(1)?,
                    state: row.try_get(2)?,
                    state_since: row.try_get::<Option<i64>, _>(3)?.map(time),
                    created_at: time(row.try_get(4)?),
                    connections: row.try_get(5)?,
                })
            })
            .collect()
    }

    /// The tenants that are paused. Cross-tenant: those who work for all ask.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn paused_tenants(&self) -> Result<Vec<TenantId>, StoreError> {
        let ids: Vec<String> = sqlx::query_scalar("SELECT id FROM tenants WHERE state = 'paused'")
            .fetch_all(&self.readers)
            .await?;
        Ok(ids.into_iter().map(TenantId::from).collect())
    }

    /// Makes a tenant; `TenantId` is the row's own.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when there is one of that id.
    pub async fn create_tenant(&self, tenant: TenantRow, audit: Option<AuditRow>) -> Result<(), StoreError> {
        self.writer
            .work(move |connection| {
                Box::pin(async move {
                    let made = sqlx::query(
                        "INSERT INTO tenants (id, name, state, created_at) VALUES ($1, $2, $3, $4) \
                         ON CONFLICT (id) DO NOTHING",
                    )
                    .bind(tenant.id)
                    .bind(tenant.name)
                    .bind(tenant.state)
                    .bind(tenant.created_at)
                    .execute(&mut *connection)
                    .await?;
                    if made.rows_affected() == 0 {
                        return Err(StoreError::Exists { what: "a tenant of this id" });
                    }
                    audit::note(connection, audit.as_ref()).await
                })
            })
            .await
    }

    /// Pauses or resumes a tenant; the state it has already keeps its time.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_tenant_state(
        &self,
        tenant: &TenantId,
        state: &'static str,
        at: Timestamp,
        audit: Option<AuditRow>,
    ) -> Result<(), StoreError> {
        let id = tenant.as_str().to_owned();
        self.writer
            .work(move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "UPDATE tenants SET state = $2, state_since = $3 WHERE id = $1 AND state <> $2",
                    )
                    .bind(id)
                    .bind(state)
                    .bind(at.millis())
                    .execute(&mut *connection)
                    .await?;
                    audit::note(connection, audit.as_ref()).await
                })
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AssignmentId, ConnectionId, Lane};
    use crate::store::{EventCommit, ScheduleRow, StoreSettings};

    fn tenant(id: &str) -> TenantRow {
        TenantRow { id: id.to_owned(), name: id.to_owned(), state: "active".to_owned(), created_at: 0 }
    }

    fn schedule(tenant: &str, at: i64) -> ScheduleRow {
        ScheduleRow {
            assignment: AssignmentId::from(format!("as_{tenant}")),
            contact: None,
            key: "k".to_owned(),
            tenant: TenantId::from(tenant),
            connection: ConnectionId::from("c"),
            lane: Lane::from("l"),
            at: Some(Timestamp::from_millis(at)),
            data: "{}".to_owned(),
        }
    }

    #[tokio::test]
    async fn a_paused_tenant_s_schedules_wait_and_hide_nobody_s() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreSettings::in_folder(folder.path())).await.unwrap();
        for id in ["p", "q"] {
            store.create_tenant(tenant(id), None).await.unwrap();
        }
        let schedules = vec![schedule("p", 10), schedule("q", 20)];
        store.commit_event(EventCommit { schedules, ..EventCommit::default() }).await.unwrap();
        let due = async |at: i64| -> Vec<String> {
            let due = store.due_schedules(Timestamp::from_millis(at), 10).await.unwrap();
            due.into_iter().map(|row| row.tenant.to_string()).collect()
        };
        let p = TenantId::from("p");
        store.set_tenant_state(&p, "paused", Timestamp::from_millis(5), None).await.unwrap();
        assert_eq!(due(100).await, ["q"]);
        assert_eq!(store.next_schedule().await.unwrap(), Some(Timestamp::from_millis(20)));
        store.set_tenant_state(&p, "active", Timestamp::from_millis(50), None).await.unwrap();
        assert_eq!(due(100).await, ["p", "q"]);
        assert_eq!(store.next_schedule().await.unwrap(), Some(Timestamp::from_millis(10)));
    }

    #[tokio::test]
    async fn a_change_and_its_audit_row_are_one_commit() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreSettings::in_folder(folder.path())).await.unwrap();
        let row = |object: &str| AuditRow {
            at: Timestamp::from_millis(1),
            actor: "local".to_owned(),
            address: None,
            action: "tenant.create".to_owned(),
            object: object.to_owned(),
            tenant: None,
            result: "done",
            status: None,
            request: None,
        };
        store.create_tenant(tenant("p"), Some(row("p"))).await.unwrap();
        assert!(matches!(
            store.create_tenant(tenant("p"), Some(row("p"))).await,
            Err(StoreError::Exists { .. })
        ));
        let rows = store.list_audit(crate::store::AuditFilter::default(), i64::MAX, 10).await.unwrap();
        assert_eq!(rows.len(), 1, "{rows:?}");
    }
}
