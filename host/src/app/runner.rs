//! The pipeline's port to the WebAssembly runtime: loads a version at its first use and translates.

use crate::pipeline::{MappingCall, PluginRunner, RunEnd, RunResult, Running};
use crate::plugins::{
    Limits, LoadedVersion, MappedRecord, MappingInput, ObjectInput, RunFailure, RunReport, Runtime,
};
use crate::store::Store;
use std::sync::Arc;
use std::time::Duration;

/// Runs plugins for the pipeline.
pub(super) struct Runner {
    pub(super) store: Store,
    pub(super) runtime: Runtime,
    pub(super) limits: Limits,
}

impl Runner {
    async fn version(&self, call: &MappingCall<'_>) -> Result<Arc<LoadedVersion>, String> {
        let id = &call.active.version;
        if let Some(version) = self.runtime.loaded_version(id) {
            return Ok(version);
        }
        let row = self.store.version(id).await.map_err(|error| error.to_string())?;
        let row = row.ok_or_else(|| format!("{id} is not stored"))?;
        self.runtime.load(id, &row.component).map_err(|error| error.to_string())
    }

    async fn run(&self, call: MappingCall<'_>) -> RunResult {
        let version = match self.version(&call).await {
            Ok(version) => version,
            Err(detail) => {
                let report = RunReport {
                    outcome: Err(RunFailure::Host(detail)),
                    fuel: 0,
                    took: Duration::ZERO,
                    log: Vec::new(),
                    log_dropped: 0,
                };
                return result(report);
            }
        };
        let input = MappingInput {
            event_id: call.event.sequence.to_string(),
            event_type: &call.event.event_type,
            cause: call.event.cause,
            source_time: call.event.source_time,
            now: call.now,
            seed: seed(call.event.sequence.0),
            contact: call.contact,
            object: call.object.map(|state| ObjectInput {
                kind: state.object.kind,
                id: state.object.id.as_str(),
                deleted: state.deleted,
                fields: state.fields,
                changed: state.changed,
                echo: state.echo,
            }),
            raw: &call.event.body,
            current: call.current.map(|(kind, id, fields)| (kind, id.as_str(), fields)),
            prepared: &call.active.prepared,
        };
        result(self.runtime.map(&version, &input, &self.limits).await)
    }
}

impl PluginRunner for Runner {
    fn map<'a>(&'a self, call: MappingCall<'a>) -> Running<'a> {
        Box::pin(self.run(call))
    }
}

/// The same seed whenever the same event is run: SplitMix64 of its sequence.
fn seed(sequence: i64) -> u64 {
    let mut z = sequence.cast_unsigned().wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn result(report: RunReport<MappedRecord>) -> RunResult {
    let log = (!report.log.is_empty()).then(|| serde_json::to_string(&report.log).unwrap_or_default());
    let (end, outcome) = match report.outcome {
        Ok(MappedRecord { kind, fields }) => (RunEnd::Mapped { kind, fields }, "mapped"),
        Err(failure) => {
            let (outcome, detail) = (failure.outcome(), failure.to_string());
            let end = match failure {
                RunFailure::RetryAfter { after, .. } => RunEnd::Again { after, detail },
                failure if failure.is_final() => RunEnd::Failed { detail },
                _ => RunEnd::Again { after: Duration::ZERO, detail },
            };
            (end, outcome)
        }
    };
    RunResult { end, outcome, fuel: report.fuel, took: report.took, log }
}
