//! Runs: each in a fresh store and instance, under all limits, whatever it does.

use super::bindings::types;
use super::convert::{
    cause_to_wit, field_to_wit, fields_from_wit, fields_to_wit, kind_from_wit, kind_to_wit,
};
use super::describe::Description;
use super::effects::effects_from_wit;
use super::error::{ConfigFault, RunFailure};
use super::limits::Limits;
use super::run::{MappedRecord, RunContext, RunInput, RunReport};
use super::runtime::{LoadedVersion, Runtime};
use super::state::{Moment, RunState};
use crate::domain::{Effect, Fields, ObjectKind};
use std::time::Duration;
use wasmtime::component::Instance;
use wasmtime::{Store, Trap, WasmBacktrace};

impl Runtime {
    /// Asks a version what it is.
    pub(super) async fn describe(&self, version: &LoadedVersion, limits: &Limits) -> RunReport<Description> {
        let report = self
            .run(
                version,
                limits,
                (RunContext::default(), Moment::default()),
                async |store: &mut Store<RunState>, instance: Instance| {
                    Ok(Ok(version.descriptor.load(&mut *store, &instance)?.call_describe(store).await?))
                },
            )
            .await;
        report.map(Description::from_wit)
    }

    /// Has the plugin check a configuration and turn it into the bytes its runs are handed.
    ///
    /// # Errors
    /// How the run failed; a configuration that is wrong is `Ok(Err(faults))`.
    pub async fn prepare(
        &self,
        version: &LoadedVersion,
        config: &str,
        limits: &Limits,
    ) -> Result<Result<Vec<u8>, Vec<ConfigFault>>, RunFailure> {
        let report = self
            .run(
                version,
                limits,
                (RunContext::default(), Moment::default()),
                async |store: &mut Store<RunState>, instance: Instance| {
                    Ok(Ok(version
                        .descriptor
                        .load(&mut *store, &instance)?
                        .call_prepare(store, config)
                        .await?))
                },
            )
            .await;
        match report.outcome? {
            Ok(prepared) if prepared.len() > limits.prepared_bytes => Err(RunFailure::OutputTooLarge {
                detail: format!(
                    "prepare gave {} bytes, {} are allowed",
                    prepared.len(),
                    limits.prepared_bytes
                ),
            }),
            Ok(prepared) => Ok(Ok(prepared)),
            Err(faults) => Ok(Err(faults
                .into_iter()
                .map(|fault| ConfigFault { path: fault.path, message: fault.message })
                .collect())),
        }
    }

    /// Runs a mapping on one event.
    pub async fn map(
        &self,
        version: &LoadedVersion,
        input: &RunInput<'_>,
        limits: &Limits,
    ) -> RunReport<MappedRecord> {
        let Some(indices) = &version.mapping else {
            return RunReport::not_begun(RunFailure::NotExported("mapping"));
        };
        let event = event_to_wit(input);
        let current = input.current.map(record_to_wit);
        let prepared = input.prepared;
        self.run(
            version,
            limits,
            (input.context.clone(), Moment::new(input.now, input.seed)),
            async |store: &mut Store<RunState>, instance: Instance| {
                let guest = indices.load(&mut *store, &instance)?;
                Ok(match guest.call_run(store, &event, current.as_ref(), prepared).await? {
                    Ok(mapped) => fields_from_wit(mapped.fields, limits)
                        .map(|fields| MappedRecord { kind: kind_from_wit(mapped.kind), fields }),
                    Err(error) => Err(run_error(error)),
                })
            },
        )
        .await
    }

    /// Runs a reaction on one event; the effects are checked against the limits and what was granted.
    pub async fn react(
        &self,
        version: &LoadedVersion,
        input: &RunInput<'_>,
        limits: &Limits,
    ) -> RunReport<Vec<Effect>> {
        let Some(indices) = &version.reaction else {
            return RunReport::not_begun(RunFailure::NotExported("reaction"));
        };
        let event = event_to_wit(input);
        let (before, after) = (input.before.map(record_to_wit), input.current.map(record_to_wit));
        let prepared = input.prepared;
        self.run(
            version,
            limits,
            (input.context.clone(), Moment::new(input.now, input.seed)),
            async |store: &mut Store<RunState>, instance: Instance| {
                let guest = indices.load(&mut *store, &instance)?;
                let reacted =
                    guest.call_run(store, &event, before.as_ref(), after.as_ref(), prepared).await?;
                Ok(match reacted {
                    Ok(effects) => effects_from_wit(effects, limits, &input.context.grants),
                    Err(error) => Err(run_error(error)),
                })
            },
        )
        .await
    }

    /// One run in a fresh store: every limit is on, whatever `call` does.
    async fn run<T, F>(
        &self,
        version: &LoadedVersion,
        limits: &Limits,
        (context, moment): (RunContext, Moment),
        call: F,
    ) -> RunReport<T>
    where
        F: AsyncFnOnce(&mut Store<RunState>, Instance) -> wasmtime::Result<Result<T, RunFailure>>,
    {
        self.within_limits(
            limits,
            RunState::new(limits, context, moment),
            async |store: &mut Store<RunState>| {
                let instance = version.pre.instantiate_async(&mut *store).await?;
                call(store, instance).await
            },
        )
        .await
    }

    /// Does work in a fresh store with all limits on.
    pub(super) async fn within_limits<T>(
        &self,
        limits: &Limits,
        state: RunState,
        work: impl AsyncFnOnce(&mut Store<RunState>) -> wasmtime::Result<Result<T, RunFailure>>,
    ) -> RunReport<T> {
        let started = self.clock.machine_now();
        let mut store = Store::new(&self.engine, state);
        let (mut backtrace, mut outcome) = (None, Err(RunFailure::Stalled { limit: limits.wall }));
        match ready(&mut store, limits) {
            Err(error) => outcome = Err(RunFailure::Host(error.to_string())),
            Ok(()) => match self.clock.within(limits.wall, work(&mut store)).await {
                None => stalled(limits),
                Some(Ok(done)) => outcome = done,
                Some(Err(error)) => {
                    store.data_mut().end_lines();
                    backtrace = error.downcast_ref::<WasmBacktrace>().map(frames);
                    outcome = Err(failure(&error, limits, store.data()));
                }
            },
        }
        let fuel = limits.fuel.saturating_sub(store.get_fuel().unwrap_or(0));
        let mut state = store.into_data();
        state.end_lines();
        RunReport {
            outcome,
            fuel,
            took: started.elapsed(),
            log: state.lines,
            log_dropped: state.dropped,
            backtrace,
            state: state.writes,
        }
    }
}

/// A guest can't stall: its fuel ends long before. So the machine is too busy, or the host is at fault.
fn stalled(limits: &Limits) {
    metrics::counter!("mapwright_plugin_stalled_total").increment(1);
    tracing::error!(
        limit = ?limits.wall,
        "a run was given up because the host did not get it done in time; it is tried again. Is the machine overloaded?"
    );
}

fn ready(store: &mut Store<RunState>, limits: &Limits) -> wasmtime::Result<()> {
    store.set_fuel(limits.fuel)?;
    store.set_hostcall_fuel(limits.copied_bytes);
    store.epoch_deadline_async_yield_and_update(1);
    store.limiter(|state| &mut state.growth);
    Ok(())
}

pub(super) fn event_to_wit(input: &RunInput<'_>) -> types::Event {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    types::Event {
        id: input.event_id.clone(),
        event_type: input.event_type.to_owned(),
        cause: cause_to_wit(input.cause),
        source_time: input.source_time.millis(),
        now: input.now.millis(),
        seed: input.seed,
        contact_id: input.contact.map(str::to_owned),
        object: input.object.as_ref().map(|object| types::Object {
            kind: kind_to_wit(object.kind),
            id: object.id.to_owned(),
            deleted: object.deleted,
            fields: fields_to_wit(object.fields),
            changed: owned(&object.changed),
            previous: object.previous.iter().map(|(name, value)| field_to_wit(name, value)).collect(),
            echo: owned(&object.echo),
        }),
        raw: input.raw.to_owned(),
    }
}

fn record_to_wit((kind, id, fields): (ObjectKind, &str, &Fields)) -> types::RankrRecord {
    types::RankrRecord { kind: kind_to_wit(kind), id: id.to_owned(), fields: fields_to_wit(fields) }
}

fn run_error(error: types::RunError) -> RunFailure {
    match error {
        types::RunError::Unmappable(why) => RunFailure::Unmappable(why),
        types::RunError::RetryAfter((seconds, why)) => {
            RunFailure::RetryAfter { after: Duration::from_secs(seconds.into()), why }
        }
    }
}

/// Frames of a backtrace that are kept.
const FRAMES: usize = 32;

/// A backtrace by function names, innermost first.
fn frames(backtrace: &WasmBacktrace) -> String {
    let lines: Vec<String> = backtrace
        .frames()
        .iter()
        .take(FRAMES)
        .map(|frame| {
            let name = frame.func_name().map(|name| format!("{:#}", rustc_demangle::demangle(name)));
            let name = name.unwrap_or_else(|| format!("function {}", frame.func_index()));
            match frame.module_offset() {
                Some(offset) => format!("  at {name} ({offset:#x})"),
                None => format!("  at {name}"),
            }
        })
        .collect();
    lines.join("\n")
}

/// What a guest's failure is called.
fn failure(error: &wasmtime::Error, limits: &Limits, state: &RunState) -> RunFailure {
    if !state.wanted.is_empty() {
        return RunFailure::NeedsReads(state.wanted.clone());
    }
    if state.reads > limits.reads {
        return RunFailure::TooManyReads { limit: limits.reads };
    }
    if state.growth.reads_refused {
        return RunFailure::ReadsTooLarge { limit_bytes: limits.read_bytes };
    }
    let trap = error.downcast_ref::<Trap>();
    if trap == Some(&Trap::OutOfFuel) {
        return RunFailure::OutOfFuel { limit: limits.fuel };
    }
    if state.growth.memory_refused {
        return RunFailure::OutOfMemory { limit_bytes: limits.memory_bytes };
    }
    if state.growth.table_refused {
        return RunFailure::OutOfTables { limit: limits.table_elements };
    }
    let cause = trap.map_or_else(|| error.root_cause().to_string(), ToString::to_string);
    if cause.contains("fuel allocated for hostcalls") {
        return RunFailure::OutputTooLarge {
            detail: format!("more than {} bytes in one call", limits.copied_bytes),
        };
    }
    let panicked = state.panic_message();
    RunFailure::Trap { message: panicked.map_or_else(|| cause.clone(), |said| format!("{said}\n{cause}")) }
}
