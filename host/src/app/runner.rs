//! The pipeline's port to the WebAssembly runtime: loads a version at its first use and translates.

use crate::config::Settings;
use crate::domain::GhlId;
use crate::pipeline::{PluginCall, PluginRunner, RecordView, RunEnd, RunResult, Running};
use crate::plugins::{
    CacheSettings, Limits, LoadedVersion, MappedRecord, ObjectInput, RunContext, RunFailure, RunInput,
    RunReport, Runtime, RuntimeSettings,
};
use crate::store::Store;
use crate::vault::Vault;
use std::sync::Arc;
use std::time::Duration;

/// How the runtime is made by these settings, for so many workers.
pub(super) fn runtime_settings(settings: &Settings, workers: usize, vault: &Vault) -> RuntimeSettings {
    let plugins = &settings.plugins;
    RuntimeSettings {
        concurrent_runs: u32::try_from(workers).unwrap_or(64),
        stack_bytes: plugins.stack_bytes,
        limits: Limits::from(plugins),
        compile_limit: Duration::from_secs(plugins.compile_seconds),
        loaded_versions: plugins.loaded_versions,
        loaded_bytes: plugins.loaded_bytes,
        cache: Some(CacheSettings {
            folder: settings.data.folder.join("cache"),
            vault: vault.clone(),
            bytes: plugins.cache_bytes,
        }),
    }
}

/// Runs plugins for the pipeline.
pub(super) struct Runner {
    pub(super) store: Store,
    pub(super) runtime: Arc<Runtime>,
    pub(super) limits: Limits,
}

impl Runner {
    async fn version(&self, call: &PluginCall<'_>) -> Result<Arc<LoadedVersion>, String> {
        let id = &call.active.version;
        if let Some(version) = self.runtime.loaded_version(id) {
            return Ok(version);
        }
        let row = self.store.version(id).await.map_err(|error| error.to_string())?;
        let row = row.ok_or_else(|| format!("{id} is not stored"))?;
        self.runtime.load(id, &row.component).await.map_err(|error| error.to_string())
    }

    async fn map_once(&self, call: PluginCall<'_>) -> RunResult {
        match self.version(&call).await {
            Ok(version) => {
                let report = self.runtime.map(&version, &input(&call), &self.limits).await;
                result(report, "mapped", |MappedRecord { kind, fields }| RunEnd::Mapped { kind, fields })
            }
            Err(detail) => not_begun(detail),
        }
    }

    async fn react_once(&self, call: PluginCall<'_>) -> RunResult {
        match self.version(&call).await {
            Ok(version) => {
                let report = self.runtime.react(&version, &input(&call), &self.limits).await;
                result(report, "reacted", RunEnd::Reacted)
            }
            Err(detail) => not_begun(detail),
        }
    }
}

impl PluginRunner for Runner {
    fn map<'a>(&'a self, call: PluginCall<'a>) -> Running<'a> {
        Box::pin(self.map_once(call))
    }

    fn react<'a>(&'a self, call: PluginCall<'a>) -> Running<'a> {
        Box::pin(self.react_once(call))
    }
}

fn not_begun(detail: String) -> RunResult {
    result(RunReport::not_begun(RunFailure::Host(detail)), "host-failed", |()| RunEnd::Reacted(Vec::new()))
}

fn input<'a>(call: &'a PluginCall<'a>) -> RunInput<'a> {
    let record = |view: Option<RecordView<'a>>| view.map(|(kind, id, fields)| (kind, id.as_str(), fields));
    RunInput {
        event_id: call.event.sequence.to_string(),
        event_type: &call.event.event_type,
        cause: call.event.cause,
        source_time: call.event.source_time,
        now: call.now,
        seed: seed(call.event.sequence.0),
        contact: call.contact,
        object: call.object.as_ref().map(|state| ObjectInput {
            kind: state.object.kind,
            id: state.object.id.as_str(),
            deleted: state.deleted,
            fields: state.fields,
            changed: state.changed.clone(),
            previous: state.previous.clone(),
            echo: state.echo.clone(),
        }),
        raw: &call.event.body,
        current: record(call.current),
        before: record(call.before),
        context: RunContext {
            grants: Arc::clone(&call.active.grants),
            answers: Arc::clone(&call.answers),
            contact: call.contact.map(GhlId::from),
            plugin: call.active.plugin.clone(),
            state_schema: call.active.state_schema,
        },
        prepared: &call.active.prepared,
    }
}

/// The same seed whenever the same event is run: SplitMix64 of its sequence.
fn seed(sequence: i64) -> u64 {
    let mut z = sequence.cast_unsigned().wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn result<T>(report: RunReport<T>, done: &'static str, end: impl FnOnce(T) -> RunEnd) -> RunResult {
    let log = (!report.log.is_empty()).then(|| serde_json::to_string(&report.log).unwrap_or_default());
    let (end, outcome) = match report.outcome {
        Ok(given) => (end(given), done),
        Err(RunFailure::NeedsReads(wanted)) => (RunEnd::NeedsReads(wanted), "needs-read"),
        Err(failure) => {
            let outcome = failure.outcome();
            let detail = match &report.backtrace {
                Some(backtrace) => format!("{failure}\n{backtrace}"),
                None => failure.to_string(),
            };
            let end = match failure {
                RunFailure::RetryAfter { after, .. } => RunEnd::Again { after, detail },
                failure if failure.is_final() => RunEnd::Failed { detail },
                _ => RunEnd::Again { after: Duration::ZERO, detail },
            };
            (end, outcome)
        }
    };
    RunResult { end, outcome, fuel: report.fuel, took: report.took, log, state: report.state }
}
