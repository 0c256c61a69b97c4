//! Timing rules, and how far each has fired.

use super::{Connection, Store, StoreError};
use crate::domain::{TenantId, Timestamp};
use sqlx::Row as _;

/// A rule as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct TimingRuleRow {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub tenant: TenantId,
    /// What it looks at: `contact-idle` and so on.
    pub kind: String,
    /// The rule as a person wrote it, JSON.
    pub spec: String,
    /// Whether it fires.
    pub enabled: bool,
    /// `api` or `configuration`.
    pub origin: String,
    /// Grows with every change of the rule.
    pub revision: i64,
    /// Slots up to here are none of its.
    pub since: Timestamp,
    /// How far it has fired.
    pub cursor: TimingCursor,
    /// Events it made.
    pub fired: i64,
    /// The slot of the last of them.
    pub last_slot: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When a person last changed it.
    pub updated_at: Timestamp,
}

/// How far a rule has fired.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimingCursor {
    /// Every slot up to here is done.
    pub done_to: Timestamp,
    /// The calendar slot whose contacts are being told.
    pub under_way: Option<Timestamp>,
    /// The last that was told of it.
    pub done_after: Option<String>,
    /// When there is something to do.
    pub next_at: Option<Timestamp>,
}

/// A step of a rule, to be written with the events it made.
#[derive(Clone, Debug)]
pub struct TimingStep {
    /// Which rule.
    pub rule: String,
    /// Whose.
    pub tenant: TenantId,
    /// The revision it was made of; another one keeps its own cursor.
    pub revision: i64,
    /// How far it has fired now.
    pub cursor: TimingCursor,
    /// How many events.
    pub fired: i64,
    /// The last slot of them.
    pub last_slot: Option<Timestamp>,
}

const COLUMNS: &str = "r.id, r.tenant, r.kind, r.spec, r.enabled, r.origin, r.revision, r.since, r.done_to, r.under_way, \
    r.done_after, r.next_at, r.fired, r.last_slot, r.created_at, r.updated_at";

pub(super) const LISTING: &str = "WHERE r.tenant = $1 AND r.id > $2 ORDER BY r.id LIMIT $3";
pub(super) const DUE: &str = "JOIN tenants t ON t.id = r.tenant \
    WHERE r.enabled = 1 AND r.next_at IS NOT NULL AND r.next_at <= $1 AND t.state = 'active' ORDER BY r.next_at LIMIT $2";
const OF_TENANTS: &str =
    "WHERE r.enabled = 1 AND r.kind <> 'cron' AND r.tenant IN (SELECT value FROM json_each($1))";

/// The whole statement of rules under a condition.
pub(super) fn rules(condition: &str) -> String {
    format!("SELECT {COLUMNS} FROM timing_rules r {condition}")
}

fn rule(row: &super::Row) -> Result<TimingRuleRow, StoreError> {
    let time = |column: usize| -> Result<Option<Timestamp>, StoreError> {
        Ok(row.try_get::<Option<i64>, _>(column)?.map(Timestamp::from_millis))
    };
    Ok(TimingRuleRow {
        id: row.try_get(0)?,
        tenant: TenantId::from(row.try_get::<String, _>(1)?),
        kind: row.try_get(2)?,
        spec: row.try_get(3)?,
        enabled: row.try_get::<i64, _>(4)? != 0,
        origin: row.try_get(5)?,
        revision: row.try_get(6)?,
        since: time(7)?.unwrap_or_default(),
        cursor: TimingCursor {
            done_to: time(8)?.unwrap_or_default(),
            under_way: time(9)?,
            done_after: row.try_get(10)?,
            next_at: time(11)?,
        },
        fired: row.try_get(12)?,
        last_slot: time(13)?,
        created_at: time(14)?.unwrap_or_default(),
        updated_at: time(15)?.unwrap_or_default(),
    })
}

/// Writes steps in the caller's transaction.
pub(super) async fn put_steps(connection: &mut Connection, steps: &[&TimingStep]) -> Result<(), StoreError> {
    for step in steps {
        sqlx::query(
            "UPDATE timing_rules SET done_to = $1, under_way = $2, done_after = $3, next_at = $4, fired = fired + $5, \
             last_slot = coalesce($6, last_slot) WHERE id = $7 AND tenant = $8 AND revision = $9",
        )
        .bind(step.cursor.done_to.millis())
        .bind(step.cursor.under_way.map(Timestamp::millis))
        .bind(step.cursor.done_after.clone())
        .bind(step.cursor.next_at.map(Timestamp::millis))
        .bind(step.fired)
        .bind(step.last_slot.map(Timestamp::millis))
        .bind(step.rule.clone())
        .bind(step.tenant.as_str().to_owned())
        .bind(step.revision)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

impl Store {
    /// A page of a tenant's rules, by id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_timing_rules(
        &self,
        tenant: &TenantId,
        after: &str,
        limit: i64,
    ) -> Result<Vec<TimingRuleRow>, StoreError> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(rules(LISTING)))
            .bind(tenant.as_str().to_owned())
            .bind(after.to_owned())
            .bind(limit)
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(rule).collect()
    }

    /// A rule by its id. Cross-tenant: the id says whose it is, and who asks is checked against that.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn timing_rule(&self, id: &str) -> Result<Option<TimingRuleRow>, StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(rules("WHERE r.id = $1")))
            .bind(id.to_owned())
            .fetch_optional(&self.readers)
            .await?;
        row.as_ref().map(rule).transpose()
    }

    /// Rules of the configuration, and which tenants' objects any enabled rule needs. Cross-tenant: for the start.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn configured_timing_rules(&self) -> Result<Vec<TimingRuleRow>, StoreError> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(rules("WHERE r.origin = 'configuration'")))
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(rule).collect()
    }

    /// Kinds of enabled rules by tenant. Cross-tenant: the webhook door takes everyone's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn timing_kinds(&self) -> Result<Vec<(TenantId, String)>, StoreError> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT DISTINCT tenant, kind FROM timing_rules WHERE enabled = 1")
                .fetch_all(&self.readers)
                .await?;
        Ok(rows.into_iter().map(|(tenant, kind)| (TenantId::from(tenant), kind)).collect())
    }

    /// Rules of active tenants that have something to do, the longest due first. Cross-tenant: one clock wakes all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn due_timing_rules(
        &self,
        now: Timestamp,
        limit: i64,
    ) -> Result<Vec<TimingRuleRow>, StoreError> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(rules(DUE)))
            .bind(now.millis())
            .bind(limit)
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(rule).collect()
    }

    /// When the next rule of an active tenant has something to do. Cross-tenant.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn next_timing(&self) -> Result<Option<Timestamp>, StoreError> {
        let at: Option<i64> = sqlx::query_scalar(
            "SELECT r.next_at FROM timing_rules r JOIN tenants t ON t.id = r.tenant WHERE r.enabled = 1 \
             AND r.next_at IS NOT NULL AND t.state = 'active' ORDER BY r.next_at LIMIT 1",
        )
        .fetch_optional(&self.readers)
        .await?;
        Ok(at.map(Timestamp::from_millis))
    }

    /// Enabled rules of these tenants that count from objects' moments. Cross-tenant: the list names them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn moment_rules(&self, tenants: &[&str]) -> Result<Vec<TimingRuleRow>, StoreError> {
        let list = serde_json::to_string(tenants).map_err(|error| StoreError::corrupt("tenant", &error))?;
        let rows =
            sqlx::query(sqlx::AssertSqlSafe(rules(OF_TENANTS))).bind(list).fetch_all(&self.readers).await?;
        rows.iter().map(rule).collect()
    }

    /// The state of a tenant; none: there is no such tenant.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tenant_state(&self, tenant: &TenantId) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar("SELECT state FROM tenants WHERE id = $1")
            .bind(tenant.as_str().to_owned())
            .fetch_optional(&self.readers)
            .await?)
    }

    /// Stores a rule, or its new state where it has that id already. `TenantId` is the row's own.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_timing_rule(&self, row: TimingRuleRow) -> Result<(), StoreError> {
        self.writer
            .work(move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "INSERT INTO timing_rules (id, tenant, kind, spec, enabled, origin, revision, since, done_to, \
                         under_way, done_after, next_at, fired, last_slot, created_at, updated_at) \
                         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) \
                         ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, spec = excluded.spec, \
                         enabled = excluded.enabled, origin = excluded.origin, revision = excluded.revision, \
                         since = excluded.since, done_to = excluded.done_to, under_way = excluded.under_way, \
                         done_after = excluded.done_after, next_at = excluded.next_at, updated_at = excluded.updated_at",
                    )
                    .bind(row.id)
                    .bind(row.tenant.as_str().to_owned())
                    .bind(row.kind)
                    .bind(row.spec)
                    .bind(i64::from(row.enabled))
                    .bind(row.origin)
                    .bind(row.revision)
                    .bind(row.since.millis())
                    .bind(row.cursor.done_to.millis())
                    .bind(row.cursor.under_way.map(Timestamp::millis))
                    .bind(row.cursor.done_after)
                    .bind(row.cursor.next_at.map(Timestamp::millis))
                    .bind(row.fired)
                    .bind(row.last_slot.map(Timestamp::millis))
                    .bind(row.created_at.millis())
                    .bind(row.updated_at.millis())
                    .execute(connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    /// Removes a rule; whether it was there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove_timing_rule(&self, tenant: &TenantId, id: &str) -> Result<bool, StoreError> {
        let (tenant, id) = (tenant.as_str().to_owned(), id.to_owned());
        self.writer
            .work(move |connection| {
                Box::pin(async move {
                    let removed = sqlx::query("DELETE FROM timing_rules WHERE id = $1 AND tenant = $2")
                        .bind(id)
                        .bind(tenant)
                        .execute(connection)
                        .await?;
                    Ok(removed.rows_affected() > 0)
                })
            })
            .await
    }

    /// Lets rules look again no later than that, and notes up to which change of moments was looked at.
    /// Cross-tenant: each rule by its id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn wake_timing_rules(
        &self,
        earlier: Vec<(String, Timestamp)>,
        moments_seen: i64,
    ) -> Result<(), StoreError> {
        self.writer
            .work(move |connection| {
                Box::pin(async move {
                    for (rule, at) in earlier {
                        sqlx::query(
                            "UPDATE timing_rules SET next_at = min(coalesce(next_at, $1), $1) WHERE id = $2",
                        )
                        .bind(at.millis())
                        .bind(rule)
                        .execute(&mut *connection)
                        .await?;
                    }
                    sqlx::query(
                        "INSERT INTO progress (name, value) VALUES ('moments_seen', $1) \
                         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                    )
                    .bind(moments_seen)
                    .execute(&mut *connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    /// Which of these dedupe keys the inbox has already. Cross-tenant: keys are of the whole host.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn known_keys(
        &self,
        keys: &[[u8; 16]],
    ) -> Result<std::collections::HashSet<[u8; 16]>, StoreError> {
        use std::fmt::Write as _;
        let mut list = String::from("[");
        for (place, key) in keys.iter().enumerate() {
            list.push_str(if place == 0 { "\"" } else { ",\"" });
            for byte in key {
                let _infallible = write!(list, "{byte:02x}");
            }
            list.push('"');
        }
        list.push(']');
        let rows: Vec<Vec<u8>> = sqlx::query_scalar(
            "SELECT dedupe FROM inbox WHERE dedupe IN (SELECT unhex(value) FROM json_each($1))",
        )
        .bind(list)
        .fetch_all(&self.readers)
        .await?;
        Ok(rows.into_iter().filter_map(|key| <[u8; 16]>::try_from(key).ok()).collect())
    }
}
