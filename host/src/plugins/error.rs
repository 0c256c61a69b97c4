//! Why a package is refused, a version can't be loaded, or a run failed.

use crate::domain::ReadRequest;
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
    /// It asks for something the host does not offer.
    #[error("the plugin imports {}; a plugin may import only interfaces of mapwright:plugin", .names.join(", "))]
    UnknownImports {
        /// What it imports, by name.
        names: Vec<String>,
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
    #[error("the plugin failed when it was asked to describe itself: {0}")]
    Run(#[source] RunFailure),
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
        /// The trap, the panic's message if it left one, and the guest's backtrace.
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
