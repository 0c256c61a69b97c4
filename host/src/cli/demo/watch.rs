//! The day as it happens: once a second, the newest timeline entries of each customer as sentences. On standard error.

use super::cast::Tenant;
use super::checker::Checker;
use crate::cli::output::complain;
use crate::domain::Clock;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// Machine time between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// Entries of a customer that are shown at a look; the others are counted.
const SHOWN: usize = 2;

/// Shows what happens until it is dropped.
pub(super) async fn watch(checker: &Checker<'_>, tenants: &[Tenant], clock: &Clock) {
    let mut last: BTreeMap<&str, i64> = BTreeMap::new();
    loop {
        clock.machine_sleep(PAUSE).await;
        for tenant in tenants {
            let after = last.get(tenant.id.as_str()).copied().unwrap_or_default();
            // Whoever only watches stops nothing: a look that fails is made again.
            let Ok(entries) = checker.after(&format!("/v1/timeline?tenant={}&", tenant.id), after).await
            else {
                continue;
            };
            if let Some(newest) = entries.last().and_then(|entry| entry["id"].as_i64()) {
                last.insert(&tenant.id, newest);
            }
            show(tenant, &entries);
        }
    }
}

fn show(tenant: &Tenant, entries: &[Value]) {
    for entry in entries.iter().rev().take(SHOWN).rev() {
        let at = entry["at"].as_str().and_then(|at| at.get(11..19)).unwrap_or_default();
        complain(&format!("    {at}  {}: {}", tenant.name, entry["sentence"].as_str().unwrap_or_default()));
    }
    if entries.len() > SHOWN {
        complain(&format!("              … and {} more", entries.len() - SHOWN));
    }
}
