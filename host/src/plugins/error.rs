//! Why a package is refused, a version can't be loaded, or a run failed.

use crate::domain::ReadRequest;
use std::path::PathBuf;
use std::time::Duration;

/// Why uploaded bytes are no plugin; each says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// Larger than a package may be.
    #[error(
        "the file has {size} bytes; a plugin may have {limit_bytes}. Build with `mapwright plugin build`, which strips what is not needed"
    )]
    TooLarge {
        /// Its size.
        size: usize,
        /// The cap.
        limit_bytes: usize,
    },
    /// Not WebAssembly, or cut off.
    #[error("the file is no whole WebAssembly module or component: {detail}")]
    Malformed {
        /// Where the parser stopped.
        detail: String,
    },
    /// A core module that can't be made a component.
    #[error("the module can't be made a component: {detail}")]
    NotComponent {
        /// Why, and how to mend it.
        detail: String,
    },
    /// A core module without its contract.
    #[error(
        "the module carries no contract, so nobody knows what it is: build it with the SDK's export_plugin! and `mapwright plugin build`, and keep its component-type sections when stripping it"
    )]
    NoContract,
    /// One function is larger than a compiler should be asked to take.
    #[error(
        "one function has {size} bytes of code; {limit_bytes} are allowed. Build with optimisation, or split it"
    )]
    FunctionTooLarge {
        /// Its size.
        size: usize,
        /// The cap.
        limit_bytes: usize,
    },
    /// It asks for something the host does not offer.
    #[error("the plugin imports {}; a plugin may import only interfaces of mapwright:plugin", .names.join(", "))]
    UnknownImports {
        /// What it imports, by name.
        names: Vec<String>,
    },
    /// It asks for parts of WASI that no plugin gets.
    #[error("the plugin imports {}", .names.join(", "))]
    Wasi {
        /// What it imports, by name, each with the reason.
        names: Vec<String>,
    },
    /// It speaks another version of the contract.
    #[error(
        "the plugin is built for mapwright:plugin@{theirs}, this host offers {ours}: build it with this host's SDK, or deploy it on a host that offers {theirs}"
    )]
    OtherVersion {
        /// The plugin's.
        theirs: String,
        /// The host's.
        ours: String,
    },
    /// It asks for or exports what this version of the contract does not have.
    #[error("the plugin asks for {asked}, which mapwright:plugin@{ours} does not have; there are {}", .there_are.join(", "))]
    Unknown {
        /// The interface or function.
        asked: String,
        /// The host's version of the contract.
        ours: String,
        /// What there is in its place.
        there_are: Vec<String>,
    },
    /// It does not fit the contract.
    #[error("the plugin does not fit the contract mapwright:plugin@0.1.0: {detail}")]
    Mismatch {
        /// The difference, in the contract's words.
        detail: String,
    },
    /// Its description is not sound.
    #[error("the plugin's description is not sound: {detail}")]
    Description {
        /// What is wrong with it.
        detail: String,
    },
    /// It failed when it was asked what it is.
    #[error("the plugin failed when it was asked to describe itself: {failure}{}", .backtrace.as_deref().map(|trace| format!("\n{trace}")).unwrap_or_default())]
    Run {
        /// How.
        #[source]
        failure: RunFailure,
        /// The plugin's own backtrace.
        backtrace: Option<String>,
    },
    /// It could not be warmed.
    #[error("the plugin's warm failed: {detail}")]
    Warm {
        /// Why.
        detail: String,
    },
    /// It fits the contract and not the limits of this host.
    #[error("the plugin can't be loaded under this host's limits: {detail}")]
    Unloadable {
        /// What is too much.
        detail: String,
    },
    /// Compiling took too long.
    #[error(
        "the plugin was not compiled within {limit:?} (plugins.compile_seconds), its wait for another compilation included; try again when the host is less busy, or make it smaller"
    )]
    TooSlow {
        /// The limit.
        limit: Duration,
    },
    /// The host failed.
    #[error(transparent)]
    Host(#[from] PluginError),
}

/// A fault of the host's own.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The WebAssembly engine could not be made.
    #[error("the WebAssembly engine can't start: {0}")]
    Engine(String),
    /// A stored component could not be compiled or linked.
    #[error("a stored plugin can't be loaded: {0}")]
    Load(String),
    /// The folder for machine code can't be used.
    #[error("the folder for compiled plugins {folder} can't be used: {cause}")]
    Cache {
        /// Which.
        folder: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
}

/// One mistake in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFault {
    /// JSON Pointer to the value at fault.
    pub path: String,
    /// What is wrong and how to mend it.
    pub message: String,
}

/// How a run failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunFailure {
    /// The guest trapped or panicked.
    #[error("it trapped: {message}")]
    Trap {
        /// The panic's message if it left one, and the trap.
        message: String,
    },
    /// It used up its fuel.
    #[error("it used up its fuel of {limit}")]
    OutOfFuel {
        /// The limit.
        limit: u64,
    },
    /// It wanted more memory than it may have.
    #[error("it wanted more than {limit_bytes} bytes of memory")]
    OutOfMemory {
        /// The limit.
        limit_bytes: usize,
    },
    /// It wanted more table elements than it may have.
    #[error("it wanted more than {limit} table elements")]
    OutOfTables {
        /// The limit.
        limit: usize,
    },
    /// The answers to its reads are over the limit.
    #[error("the answers to its reads have more than {limit_bytes} bytes; ask for less")]
    ReadsTooLarge {
        /// The limit.
        limit_bytes: usize,
    },
    /// Its output is over a limit.
    #[error("its output is over the limit: {detail}")]
    OutputTooLarge {
        /// Which limit.
        detail: String,
    },
    /// Its output holds something no record can.
    #[error("its output is not valid: {detail}")]
    BadOutput {
        /// What.
        detail: String,
    },
    /// It says the event can't be mapped.
    #[error("it can't map this event: {0}")]
    Unmappable(String),
    /// It wants to be run again later.
    #[error("it asks to be run again in {after:?}: {why}")]
    RetryAfter {
        /// How long from now.
        after: Duration,
        /// Why.
        why: String,
    },
    /// It lacks answers; fetched, it is run again from the start.
    #[error("it lacks {} answers", .0.len())]
    NeedsReads(Vec<ReadRequest>),
    /// It asked for more reads than it may.
    #[error("it asked for more than {limit} reads")]
    TooManyReads {
        /// The limit.
        limit: usize,
    },
    /// It asks for an effect that was not granted.
    #[error(
        "it asks for {effect}, which needs the capability {capability}; grant it, or leave the effect out"
    )]
    Denied {
        /// The effect's word.
        effect: &'static str,
        /// What it needs.
        capability: &'static str,
    },
    /// It does not export the interface.
    #[error("it does not export {0}")]
    NotExported(&'static str),
    /// The host did not get it done within the wall limit.
    #[error("the host gave it up after {limit:?}")]
    Stalled {
        /// The limit.
        limit: Duration,
    },
    /// The host could not run it.
    #[error("the host could not run it: {0}")]
    Host(String),
}

impl RunFailure {
    /// Whether the same version on the same event would fail again.
    #[must_use]
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::RetryAfter { .. } | Self::Stalled { .. } | Self::Host(_) | Self::NeedsReads(_))
    }

    /// The outcome's word, stable for programs.
    #[must_use]
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Trap { .. } => "trap",
            Self::OutOfFuel { .. } => "out-of-fuel",
            Self::OutOfMemory { .. } => "out-of-memory",
            Self::OutOfTables { .. } => "out-of-tables",
            Self::ReadsTooLarge { .. } => "reads-too-large",
            Self::OutputTooLarge { .. } => "output-too-large",
            Self::BadOutput { .. } => "bad-output",
            Self::Unmappable(_) => "unmappable",
            Self::RetryAfter { .. } => "retry-after",
            Self::NeedsReads(_) => "needs-read",
            Self::TooManyReads { .. } => "too-many-reads",
            Self::Denied { .. } => "denied",
            Self::NotExported(_) => "not-exported",
            Self::Stalled { .. } => "stalled",
            Self::Host(_) => "host-failed",
        }
    }
}
