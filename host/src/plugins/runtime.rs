//! Versions loaded once, runs in fresh instances.

use super::bindings::{descriptor, mapping, reaction, types};
use super::convert::{cause_to_wit, fields_from_wit, fields_to_wit, kind_from_wit, kind_to_wit};
use super::describe::Description;
use super::effects::effects_from_wit;
use super::engine::{self, Ticker};
use super::error::{ConfigFault, PackageError, PluginError, RunFailure};
use super::limits::Limits;
use super::package::Package;
use super::run::{MappedRecord, RunContext, RunInput, RunReport};
use super::state::RunState;
use super::{imports, package};
use crate::domain::{Clock, Effect, Fields, ObjectKind, VersionId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use wasmtime::component::{Component, Instance, InstancePre, Linker};
use wasmtime::{Engine, Store, Trap};

/// How the runtime is made.
#[derive(Clone, Copy, Debug)]
pub struct RuntimeSettings {
    /// Runs that may be under way at once.
    pub concurrent_runs: u32,
}

/// The runtime; one for the process.
pub struct Runtime {
    pub(super) engine: Engine,
    linker: Linker<RunState>,
    pub(super) clock: Clock,
    pooled: bool,
    loaded: Mutex<HashMap<VersionId, Arc<LoadedVersion>>>,
    _ticker: Ticker,
}

/// A version ready to run.
pub struct LoadedVersion {
    id: VersionId,
    pub(super) pre: InstancePre<RunState>,
    descriptor: descriptor::GuestIndices,
    pub(super) mapping: Option<mapping::GuestIndices>,
    pub(super) reaction: Option<reaction::GuestIndices>,
}

impl LoadedVersion {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &VersionId {
        &self.id
    }

    /// Whether it maps.
    #[must_use]
    pub fn maps(&self) -> bool {
        self.mapping.is_some()
    }

    /// Whether it reacts.
    #[must_use]
    pub fn reacts(&self) -> bool {
        self.reaction.is_some()
    }
}

impl Runtime {
    /// Makes the engine and links the host's side of the contract.
    ///
    /// # Errors
    /// When the engine can't be made.
    pub fn new(settings: RuntimeSettings, clock: Clock) -> Result<Self, PluginError> {
        let made = engine::make(settings.concurrent_runs)?;
        let mut linker = Linker::new(&made.engine);
        imports::link(&mut linker).map_err(|error| PluginError::Engine(error.to_string()))?;
        Ok(Self {
            engine: made.engine,
            linker,
            clock,
            pooled: made.pooled,
            loaded: Mutex::default(),
            _ticker: made.ticker,
        })
    }

    /// Whether instances come from a pool; without one each run is slower.
    #[must_use]
    pub fn pooled(&self) -> bool {
        self.pooled
    }

    /// Checks uploaded bytes and makes a package of them. Nothing is stored.
    ///
    /// # Errors
    /// [`PackageError`]: what is wrong and how to mend it.
    pub async fn check(&self, uploaded: &[u8], limits: &Limits) -> Result<Package, PackageError> {
        let (component_bytes, component, imports) = package::guarded(|| {
            let bytes = package::componentize(&self.engine, uploaded)?;
            let component = Component::new(&self.engine, &bytes)
                .map_err(|error| PackageError::Malformed { detail: format!("{error:#}") })?;
            let imports = package::imports(&self.engine, &component)?;
            package::fits_contract(&bytes)?;
            Ok((bytes, component, imports))
        })?;
        let id = package::version_of(uploaded);
        let version = self.link(id.clone(), &component)?;
        let mut first = self.describe(&version, limits).await.map_err(PackageError::Run)?;
        let second = self.describe(&version, limits).await.map_err(PackageError::Run)?;
        if first != second {
            let detail = "it says something else each time it is asked".to_owned();
            return Err(PackageError::Description { detail });
        }
        if let Some(detail) = first.fault() {
            return Err(PackageError::Description { detail });
        }
        for (name, there) in [("mapping", version.maps()), ("reaction", version.reacts())] {
            if there {
                first.interfaces.push(name.to_owned());
            }
        }
        Ok(Package { version: id, description: first, component: component_bytes, imports })
    }

    /// A version ready to run, compiled at most once.
    ///
    /// # Errors
    /// When the stored component can't be compiled, which a checked one can.
    pub fn load(&self, id: &VersionId, component: &[u8]) -> Result<Arc<LoadedVersion>, PluginError> {
        if let Some(version) = self.loaded_version(id) {
            return Ok(version);
        }
        let component = Component::new(&self.engine, component)
            .map_err(|error| PluginError::Load(format!("{error:#}")))?;
        let version = Arc::new(self.link(id.clone(), &component)?);
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(loaded.entry(id.clone()).or_insert(version)))
    }

    /// The version if it is loaded already.
    #[must_use]
    pub fn loaded_version(&self, id: &VersionId) -> Option<Arc<LoadedVersion>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    fn link(&self, id: VersionId, component: &Component) -> Result<LoadedVersion, PluginError> {
        let load = |error: wasmtime::Error| PluginError::Load(format!("{error:#}"));
        let pre = self.linker.instantiate_pre(component).map_err(load)?;
        let descriptor = descriptor::GuestIndices::new(&pre).map_err(load)?;
        let exports = |interface: &str| {
            let name = format!("mapwright:plugin/{interface}@0.1.0");
            pre.component().get_export_index(None, &name).is_some()
        };
        let mapping =
            if exports("mapping") { Some(mapping::GuestIndices::new(&pre).map_err(load)?) } else { None };
        let reaction =
            if exports("reaction") { Some(reaction::GuestIndices::new(&pre).map_err(load)?) } else { None };
        Ok(LoadedVersion { id, pre, descriptor, mapping, reaction })
    }

    async fn describe(&self, version: &LoadedVersion, limits: &Limits) -> Result<Description, RunFailure> {
        let report = self
            .run(
                version,
                limits,
                RunContext::default(),
                async |store: &mut Store<RunState>, instance: Instance| {
                    Ok(Ok(version.descriptor.load(&mut *store, &instance)?.call_describe(store).await?))
                },
            )
            .await;
        report.outcome.map(Description::from_wit)
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
                RunContext::default(),
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
            input.context.clone(),
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
            input.context.clone(),
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
        context: RunContext,
        call: F,
    ) -> RunReport<T>
    where
        F: AsyncFnOnce(&mut Store<RunState>, Instance) -> wasmtime::Result<Result<T, RunFailure>>,
    {
        let started = self.clock.machine_now();
        let mut store = Store::new(&self.engine, RunState::new(limits, context));
        let outcome = match ready(&mut store, limits) {
            Err(error) => Err(RunFailure::Host(error.to_string())),
            Ok(()) => {
                let work = async {
                    let instance = version.pre.instantiate_async(&mut store).await?;
                    call(&mut store, instance).await
                };
                match self.clock.within(limits.wall, work).await {
                    None => Err(RunFailure::Stalled { limit: limits.wall }),
                    Some(Ok(outcome)) => outcome,
                    Some(Err(error)) => Err(failure(&error, limits, store.data())),
                }
            }
        };
        let fuel = limits.fuel.saturating_sub(store.get_fuel().unwrap_or(0));
        let state = store.into_data();
        RunReport {
            outcome,
            fuel,
            took: started.elapsed(),
            log: state.lines,
            log_dropped: state.dropped,
            state: state.writes,
        }
    }
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

/// What a guest's failure is called.
fn failure(error: &wasmtime::Error, limits: &Limits, state: &RunState) -> RunFailure {
    if !state.wanted.is_empty() {
        return RunFailure::NeedsReads(state.wanted.clone());
    }
    if state.reads > limits.reads {
        return RunFailure::TooManyReads { limit: limits.reads };
    }
    if error.downcast_ref::<Trap>() == Some(&Trap::OutOfFuel) {
        return RunFailure::OutOfFuel { limit: limits.fuel };
    }
    if state.growth.memory_refused {
        return RunFailure::OutOfMemory { limit_bytes: limits.memory_bytes };
    }
    let text = format!("{error:#}");
    if text.contains("fuel allocated for hostcalls") || text.contains("too much data for the host") {
        return RunFailure::OutputTooLarge {
            detail: format!("more than {} bytes in one call", limits.copied_bytes),
        };
    }
    let panicked =
        state.lines.iter().rev().find(|line| line.level == "error" && line.message.starts_with("panicked"));
    let message = panicked.map_or_else(|| text.clone(), |line| format!("{}\n{text}", line.message));
    RunFailure::Trap { message }
}
