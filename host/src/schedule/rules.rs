//! Making, changing and removing timing rules. A rule begins when it is made: what was due before is none of its.

use crate::domain::{Clock, ConnectionId, TenantId, Timestamp, TimingSpec};
use crate::store::{Store, StoreError, TimingCursor, TimingRuleRow};
use crate::tenants::{DirectoryCell, TimingNeedsCell};
use std::sync::Arc;
use tokio::sync::Notify;

/// Why a rule is not taken.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// Something of it is wrong.
    #[error("{}", .0.join("; "))]
    Invalid(Vec<String>),
    /// There is no such rule, tenant or connection.
    #[error("{0}")]
    Unknown(String),
    /// The rule stands in the configuration.
    #[error("rule {0} stands in the configuration ([[timing_rule]]); change it there and restart")]
    Configured(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The tenants' timing rules. Cheap to clone.
#[derive(Clone)]
pub struct TimingRules {
    pub(super) store: Store,
    pub(super) clock: Clock,
    directory: DirectoryCell,
    needs: TimingNeedsCell,
    wake: Arc<Notify>,
}

impl TimingRules {
    /// Rules over these rooms; `wake` tells the running timing of changes.
    #[must_use]
    pub fn new(
        store: Store,
        clock: Clock,
        directory: DirectoryCell,
        needs: TimingNeedsCell,
        wake: Arc<Notify>,
    ) -> Self {
        Self { store, clock, directory, needs, wake }
    }

    /// A rule by its id.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub async fn get(&self, id: &str) -> Result<TimingRuleRow, RuleError> {
        let found = self.store.timing_rule(id).await?;
        found.ok_or_else(|| RuleError::Unknown(format!("there is no timing rule {id:?}")))
    }

    /// Makes a rule.
    ///
    /// # Errors
    /// [`RuleError`]; nothing is stored then.
    pub async fn create(&self, tenant: &TenantId, spec: &TimingSpec) -> Result<TimingRuleRow, RuleError> {
        self.check(tenant, spec)?;
        if self.store.tenant_state(tenant).await?.is_none() {
            return Err(RuleError::Unknown(format!("there is no tenant {tenant:?}")));
        }
        let id = format!("tr_{}", uuid::Uuid::now_v7().simple());
        let row = made(id, tenant, spec, "api", self.clock.now())?;
        self.put(row.clone()).await?;
        Ok(row)
    }

    /// Changes a rule. What it told of before is not told again; what is due already still is.
    ///
    /// # Errors
    /// [`RuleError`]; the rule is as before then.
    pub async fn change(&self, id: &str, spec: &TimingSpec) -> Result<TimingRuleRow, RuleError> {
        let row = self.get(id).await?;
        if row.origin == "configuration" {
            return Err(RuleError::Configured(id.to_owned()));
        }
        self.check(&row.tenant, spec)?;
        let row = changed(row, spec, self.clock.now())?;
        self.put(row.clone()).await?;
        Ok(row)
    }

    /// Removes a rule; events it made go on.
    ///
    /// # Errors
    /// [`RuleError`].
    pub async fn remove(&self, id: &str) -> Result<(), RuleError> {
        let row = self.get(id).await?;
        if row.origin == "configuration" {
            return Err(RuleError::Configured(id.to_owned()));
        }
        self.store.remove_timing_rule(&row.tenant, id).await?;
        self.needs.refresh(&self.store).await?;
        Ok(())
    }

    /// Brings the rules of the configuration into the store: new ones begin now, unchanged ones go on where they were,
    /// those that are gone are removed.
    ///
    /// # Errors
    /// [`RuleError`].
    pub async fn apply(&self, configured: &[(String, TenantId, TimingSpec)]) -> Result<(), RuleError> {
        let now = self.clock.now();
        for (id, tenant, spec) in configured {
            self.check(tenant, spec)?;
            let row = match self.store.timing_rule(id).await? {
                None => made(id.clone(), tenant, spec, "configuration", now)?,
                Some(row) if row.origin != "configuration" || row.tenant != *tenant => {
                    let why = format!("timing_rule.id is {id:?}: another rule has that id; choose another");
                    return Err(RuleError::Invalid(vec![why]));
                }
                Some(row) if read(&row).is_some_and(|stored| stored == *spec) => continue,
                Some(row) => changed(row, spec, now)?,
            };
            self.store.put_timing_rule(row).await?;
        }
        for row in self.store.configured_timing_rules().await? {
            if !configured.iter().any(|(id, ..)| *id == row.id) {
                self.store.remove_timing_rule(&row.tenant, &row.id).await?;
            }
        }
        self.needs.refresh(&self.store).await?;
        self.wake.notify_one();
        Ok(())
    }

    async fn put(&self, row: TimingRuleRow) -> Result<(), RuleError> {
        self.store.put_timing_rule(row).await?;
        self.needs.refresh(&self.store).await?;
        self.wake.notify_one();
        Ok(())
    }

    fn check(&self, tenant: &TenantId, spec: &TimingSpec) -> Result<(), RuleError> {
        let plan = spec.plan().map_err(RuleError::Invalid)?;
        if let Some(connection) = &plan.connection
            && !self.has_connection(tenant, connection)
        {
            return Err(RuleError::Unknown(format!("tenant {tenant:?} has no connection {connection:?}")));
        }
        Ok(())
    }

    fn has_connection(&self, tenant: &TenantId, connection: &ConnectionId) -> bool {
        self.directory.get().connection(connection).is_some_and(|known| known.tenant == *tenant)
    }
}

/// The rule that a row holds, as a person wrote it.
pub(super) fn read(row: &TimingRuleRow) -> Option<TimingSpec> {
    serde_json::from_str(&row.spec).ok()
}

fn written(spec: &TimingSpec) -> Result<String, RuleError> {
    serde_json::to_string(spec).map_err(|error| RuleError::Invalid(vec![error.to_string()]))
}

fn made(
    id: String,
    tenant: &TenantId,
    spec: &TimingSpec,
    origin: &str,
    now: Timestamp,
) -> Result<TimingRuleRow, RuleError> {
    Ok(TimingRuleRow {
        id,
        tenant: tenant.clone(),
        kind: spec.kind.as_str().to_owned(),
        spec: written(spec)?,
        enabled: spec.enabled,
        origin: origin.to_owned(),
        revision: 1,
        since: now,
        cursor: TimingCursor {
            done_to: now,
            under_way: None,
            done_after: None,
            next_at: spec.enabled.then_some(now),
        },
        fired: 0,
        last_slot: None,
        created_at: now,
        updated_at: now,
    })
}

/// The row after a change. Where moments stay the same it goes on; else it begins anew, but where something is due
/// already it goes on from what is done, so that nothing in between is lost.
fn changed(row: TimingRuleRow, spec: &TimingSpec, now: Timestamp) -> Result<TimingRuleRow, RuleError> {
    let before = read(&row);
    let was_due = row.enabled && row.cursor.next_at.is_some_and(|at| at <= now);
    let mut next = TimingRuleRow {
        kind: spec.kind.as_str().to_owned(),
        spec: written(spec)?,
        enabled: spec.enabled,
        revision: row.revision + 1,
        updated_at: now,
        ..row
    };
    if before.as_ref().is_some_and(|before| before.same_moments(spec)) {
        return Ok(next);
    }
    if !was_due {
        (next.since, next.cursor.done_to) = (now, now);
    }
    let same_kind =
        before.is_some_and(|before| before.kind == spec.kind && before.at.is_some() == spec.at.is_some());
    if !was_due || !same_kind || !spec.enabled {
        next.cursor.under_way = None;
    }
    if next.cursor.under_way.is_none() {
        next.cursor.done_after = None;
    }
    next.cursor.next_at = spec.enabled.then_some(now);
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: serde_json::Value) -> TimingSpec {
        serde_json::from_value(json).unwrap()
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn idle(after: &str, enabled: bool) -> TimingSpec {
        spec(serde_json::json!({"name": "n", "kind": "contact-idle", "after": after, "enabled": enabled}))
    }

    #[test]
    fn a_rule_begins_when_it_is_made() {
        let row = made("r".into(), &TenantId::from("t"), &idle("30d", true), "api", at(5000)).unwrap();
        assert_eq!((row.since, row.cursor.done_to, row.cursor.next_at), (at(5000), at(5000), Some(at(5000))));
    }

    #[test]
    fn a_change_of_the_selection_leaves_the_cursor_and_one_of_the_moment_begins_anew() {
        let mut row = made("r".into(), &TenantId::from("t"), &idle("30d", true), "api", at(5000)).unwrap();
        row.cursor.next_at = Some(at(90_000));
        let mut selected = idle("30d", true);
        selected.name = "other".into();
        let same = changed(row.clone(), &selected, at(9000)).unwrap();
        assert_eq!((same.cursor.clone(), same.revision), (row.cursor.clone(), 2));
        let moved = changed(row.clone(), &idle("20d", true), at(9000)).unwrap();
        assert_eq!(
            (moved.since, moved.cursor.done_to, moved.cursor.next_at),
            (at(9000), at(9000), Some(at(9000)))
        );
        let off = changed(row, &idle("30d", false), at(9000)).unwrap();
        assert_eq!((off.enabled, off.cursor.next_at), (false, None));
        let on = changed(off, &idle("30d", true), at(20_000)).unwrap();
        assert_eq!((on.since, on.cursor.done_to), (at(20_000), at(20_000)));
    }

    #[test]
    fn a_rule_changed_while_slots_are_due_goes_on_from_what_is_done() {
        let mut row = made("r".into(), &TenantId::from("t"), &idle("30d", true), "api", at(5000)).unwrap();
        (row.cursor.done_to, row.cursor.next_at) = (at(7000), Some(at(8000)));
        let moved = changed(row, &idle("20d", true), at(9000)).unwrap();
        assert_eq!((moved.since, moved.cursor.done_to), (at(5000), at(7000)));
        let daily = |cron: &str| spec(serde_json::json!({"name": "n", "kind": "cron", "cron": cron}));
        let mut row = made("r".into(), &TenantId::from("t"), &daily("0 9 * * *"), "api", at(5000)).unwrap();
        row.cursor = TimingCursor {
            done_to: at(5000),
            under_way: Some(at(6000)),
            done_after: Some("[\"c\",\"x\"]".into()),
            next_at: Some(at(6000)),
        };
        let moved = changed(row.clone(), &daily("0 10 * * *"), at(9000)).unwrap();
        assert_eq!(
            (moved.cursor.under_way, moved.cursor.done_after),
            (Some(at(6000)), row.cursor.done_after)
        );
    }
}
