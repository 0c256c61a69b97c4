//! Timing rules from the settings: those they name, and how they run.

use super::Ground;
use crate::config::Settings;
use crate::domain::{Clock, TenantId};
use crate::schedule::{Timing, TimingParts, TimingRules};
use crate::store::Store;
use crate::tenants::{DirectoryCell, TimingNeedsCell};
use anyhow::Context as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// What timing stands on, whether it runs here or not.
pub(super) struct TimingGround {
    pub(super) rules: TimingRules,
    pub(super) needs: TimingNeedsCell,
    wake: Arc<Notify>,
}

impl TimingGround {
    pub(super) async fn open(
        store: &Store,
        clock: &Clock,
        directory: &DirectoryCell,
    ) -> anyhow::Result<Self> {
        let (needs, wake) = (TimingNeedsCell::default(), Arc::new(Notify::new()));
        needs.refresh(store).await?;
        let rules = TimingRules::new(
            store.clone(),
            clock.clone(),
            directory.clone(),
            needs.clone(),
            Arc::clone(&wake),
        );
        Ok(Self { rules, needs, wake })
    }
}

/// Takes over the rules of the configuration and starts to look at all of them.
pub(super) async fn start(ground: &Ground, settings: &Settings) -> anyhow::Result<Timing> {
    let configured: Vec<_> = settings
        .timing_rules
        .iter()
        .map(|given| (given.id.clone(), TenantId::new(&given.tenant), given.rule.clone()))
        .collect();
    ground
        .timing
        .rules
        .apply(&configured)
        .await
        .context("the configured timing rules can't be taken over")?;
    Ok(Timing::start(TimingParts {
        store: ground.store.clone(),
        clock: ground.clock.clone(),
        directory: ground.directory.clone(),
        wake: Arc::clone(&ground.timing.wake),
        late: Duration::from_secs(settings.timing.late_seconds),
    }))
}
