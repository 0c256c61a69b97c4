//! The runtime: engine, linker, versions checked and loaded. Runs are in `calls.rs`.

use super::bindings::{descriptor, mapping, reaction};
use super::cache::{CacheSettings, CodeCache};
use super::code::MachineCode;
use super::compiler::{Compiler, Unfinished};
use super::engine::{self, EngineSettings, Ticker};
use super::error::{PackageError, PluginError};
use super::limits::Limits;
use super::loaded::Loaded;
use super::package::{Package, version_of};
use super::run::RunContext;
use super::state::{Moment, RunState};
use super::{contract, imports, warm, wasi};
use crate::domain::{Clock, VersionId};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Engine, Module, Store};

/// How the runtime is made.
#[derive(Clone, Debug)]
pub struct RuntimeSettings {
    /// Runs that may be under way at once.
    pub concurrent_runs: u32,
    /// Bytes of a guest's stack of calls; this bounds recursion.
    pub stack_bytes: usize,
    /// The largest memory and table a slot of the pool must hold.
    pub limits: Limits,
    /// Machine time a compilation may take.
    pub compile_limit: Duration,
    /// Versions kept loaded.
    pub loaded_versions: usize,
    /// Bytes of machine code kept loaded.
    pub loaded_bytes: usize,
    /// Where machine code outlives the process; none: each process compiles anew.
    pub cache: Option<CacheSettings>,
}

impl Default for RuntimeSettings {
    fn default() -> Self {
        Self {
            concurrent_runs: 4,
            stack_bytes: 512 * 1024,
            limits: Limits::default(),
            compile_limit: Duration::from_secs(120),
            loaded_versions: 200,
            loaded_bytes: 512 * 1024 * 1024,
            cache: None,
        }
    }
}

/// The runtime; one for the process.
pub struct Runtime {
    pub(super) engine: Engine,
    linker: Linker<RunState>,
    pub(super) clock: Clock,
    pooled: bool,
    compiler: Compiler,
    cache: Option<Arc<CodeCache>>,
    compilations: Arc<AtomicU64>,
    loaded: Loaded,
    _ticker: Ticker,
}

/// A version ready to run.
pub struct LoadedVersion {
    id: VersionId,
    pub(super) pre: InstancePre<RunState>,
    pub(super) descriptor: descriptor::GuestIndices,
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

    /// Bytes its machine code takes.
    pub(super) fn code_bytes(&self) -> usize {
        let image = self.pre.component().image_range();
        image.end.addr().saturating_sub(image.start.addr())
    }
}

impl Runtime {
    /// Makes the engine and links the host's side of the contract.
    ///
    /// # Errors
    /// When the engine can't be made or the folder for machine code can't be used.
    pub fn new(settings: RuntimeSettings, clock: Clock) -> Result<Self, PluginError> {
        let made = engine::make(&EngineSettings {
            runs: settings.concurrent_runs,
            stack_bytes: settings.stack_bytes,
            memory_bytes: settings.limits.memory_bytes,
            table_elements: settings.limits.table_elements,
        })?;
        let mut linker = Linker::new(&made.engine);
        imports::link(&mut linker).map_err(|error| PluginError::Engine(error.to_string()))?;
        let cache = match &settings.cache {
            None => None,
            Some(cache) => Some(Arc::new(
                CodeCache::open(cache, &made.engine)
                    .map_err(|cause| PluginError::Cache { folder: cache.folder.clone(), cause })?,
            )),
        };
        Ok(Self {
            engine: made.engine,
            linker,
            compiler: Compiler::new(clock.clone(), settings.compile_limit),
            clock,
            pooled: made.pooled,
            cache,
            compilations: Arc::default(),
            loaded: Loaded::new(settings.loaded_versions, settings.loaded_bytes),
            _ticker: made.ticker,
        })
    }

    /// Whether instances come from a pool; without one each run is slower.
    #[must_use]
    pub fn pooled(&self) -> bool {
        self.pooled
    }

    /// How often something was compiled since the start.
    #[must_use]
    pub fn compilations(&self) -> u64 {
        self.compilations.load(Ordering::Relaxed)
    }

    /// How many versions are loaded.
    #[must_use]
    pub fn loaded_count(&self) -> usize {
        self.loaded.count()
    }

    /// Checks uploaded bytes and makes a package of them. Nothing is stored.
    ///
    /// # Errors
    /// [`PackageError`]: what is wrong and how to mend it.
    pub async fn check(&self, uploaded: &[u8], limits: &Limits) -> Result<Package, PackageError> {
        let id = version_of(uploaded);
        let (engine, bytes, caps) = (self.engine.clone(), uploaded.to_vec(), *limits);
        let fitting = self.off_path(move || contract::fit(&engine, &bytes, &caps)).await?;
        let warmed = fitting.warms;
        let component = if warmed { self.warm(uploaded.to_vec(), limits).await? } else { fitting.component };
        let linked = self.linked(id.clone(), &component).await.map_err(|error| match error {
            PackageError::Host(PluginError::Load(detail)) => PackageError::Unloadable { detail },
            other => other,
        });
        let version = Arc::new(linked?);
        let first = self.describe(&version, limits).await;
        let mut description =
            first.outcome.map_err(|failure| PackageError::Run { failure, backtrace: first.backtrace })?;
        let second = self.describe(&version, limits).await;
        let again =
            second.outcome.map_err(|failure| PackageError::Run { failure, backtrace: second.backtrace })?;
        if description != again {
            let detail = "it says something else each time it is asked".to_owned();
            return Err(PackageError::Description { detail });
        }
        if let Some(detail) = description.fault().or_else(|| description.undeclared(&fitting.imports)) {
            return Err(PackageError::Description { detail });
        }
        for (name, there) in [("mapping", version.maps()), ("reaction", version.reacts())] {
            if there {
                description.interfaces.push(name.to_owned());
            }
        }
        // Whoever checks a file runs it next, to prepare a configuration or an event.
        self.loaded.put(&version);
        Ok(Package { version: id, description, component, imports: fitting.imports, warmed })
    }

    /// Runs the plugin's `warm` under limits and makes the component that begins where it ended.
    async fn warm(&self, core: Vec<u8>, limits: &Limits) -> Result<Vec<u8>, PackageError> {
        let (engine, compilations, core) =
            (self.engine.clone(), Arc::clone(&self.compilations), Arc::new(core));
        let bytes = Arc::clone(&core);
        let module: Module = self
            .off_path(move || {
                compilations.fetch_add(1, Ordering::Relaxed);
                warm::instrument(&engine, &bytes)
            })
            .await?;
        let state = RunState::new(limits, RunContext::default(), Moment::default());
        let report = self
            .within_limits(limits, state, async |store: &mut Store<RunState>| {
                Ok(Ok(warm::call(store, &module).await?))
            })
            .await;
        let mut warmed =
            report.outcome.map_err(|failure| warm::failed(&failure, report.backtrace, limits))?;
        self.off_path(move || warm::image(&core, &mut warmed)).await
    }

    /// A version ready to run: the loaded one, else its machine code from the cache, else compiled. Loaded once,
    /// however many ask at the same time.
    ///
    /// # Errors
    /// When the stored component can't be compiled, which a checked one can.
    pub async fn load(&self, id: &VersionId, component: &[u8]) -> Result<Arc<LoadedVersion>, PluginError> {
        if let Some(version) = self.loaded.get(id) {
            return Ok(version);
        }
        let turn = self.loaded.turn(id);
        let _mine = turn.lock().await;
        if let Some(version) = self.loaded.get(id) {
            return Ok(version);
        }
        let version = Arc::new(self.linked(id.clone(), component).await.map_err(|error| match error {
            PackageError::Host(error) => error,
            other => PluginError::Load(other.to_string()),
        })?);
        self.loaded.put(&version);
        Ok(version)
    }

    /// The version if it is loaded already.
    #[must_use]
    pub fn loaded_version(&self, id: &VersionId) -> Option<Arc<LoadedVersion>> {
        self.loaded.get(id)
    }

    /// A component's machine code, from the cache or compiled, linked.
    async fn linked(&self, id: VersionId, component: &[u8]) -> Result<LoadedVersion, PackageError> {
        let (engine, cache, compilations) =
            (self.engine.clone(), self.cache.clone(), Arc::clone(&self.compilations));
        let (bytes, clock) = (component.to_vec(), self.clock.clone());
        let loaded = self.off_path(move || {
            if let Some(code) = cache.as_ref().and_then(|cache| cache.get(&bytes)) {
                return Ok(code.load(&engine)?);
            }
            let began = clock.machine_now();
            compilations.fetch_add(1, Ordering::Relaxed);
            let code = MachineCode::compile(&engine, &bytes)
                .map_err(|error| PackageError::Malformed { detail: format!("{error:#}") })?;
            metrics::histogram!("mapwright_plugin_compile_seconds").record(began.elapsed());
            if let Some(cache) = cache {
                cache.put(&bytes, &code);
            }
            Ok(code.load(&engine)?)
        });
        let component = loaded.await?;
        Ok(self.link(id, &component)?)
    }

    fn link(&self, id: VersionId, component: &Component) -> Result<LoadedVersion, PluginError> {
        let load = |error: wasmtime::Error| PluginError::Load(format!("{error:#}"));
        let mut linker = self.linker.clone();
        wasi::link(&mut linker, &self.engine, component).map_err(load)?;
        let pre = linker.instantiate_pre(component).map_err(load)?;
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

    /// Work on a stranger's bytes, off the hot path; a parser that panics on them refuses them.
    async fn off_path<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PackageError> + Send + 'static,
    ) -> Result<T, PackageError> {
        match self.compiler.work(work).await {
            Ok(done) => done,
            Err(Unfinished::TooSlow(limit)) => Err(PackageError::TooSlow { limit }),
            Err(Unfinished::Panicked) => {
                Err(PackageError::Malformed { detail: "the parser could not make sense of it".to_owned() })
            }
            Err(Unfinished::NoThread(error)) => Err(PackageError::Host(PluginError::Engine(error))),
        }
    }
}
