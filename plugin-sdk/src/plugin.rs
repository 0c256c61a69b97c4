//! What every plugin says of itself, and the one thing it may always do: log.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a plugin is and needs.
pub trait Plugin {
    /// What the person who activates it chooses. Derive `Serialize`, `Deserialize` and `JsonSchema`; use `()` for
    /// a plugin without choices.
    type Config: Serialize + DeserializeOwned + schemars::JsonSchema;

    /// Its name: 1 to 64 lower-case letters, digits and hyphens. The same for all its versions.
    const NAME: &'static str;
    /// Its version, SemVer; `env!("CARGO_PKG_VERSION")` is a good one.
    const VERSION: &'static str;
    /// One sentence for the person who chooses plugins.
    const SUMMARY: &'static str;
    /// Event types it wants, such as `ContactUpdate`; `*` is every type. They are listed in the [`guide`](crate::guide#events).
    const EVENTS: &'static [&'static str];
    /// Reads it always needs, made before the run where they are granted: `crm.contact`, `crm.tasks`, `crm.notes`,
    /// `crm.appointments`, `crm.business-contacts`, each of the event's contact.
    const READS: &'static [&'static str] = &[];
    /// Capabilities it asks for; they are listed in the [`guide`](crate::guide#capabilities).
    const CAPABILITIES: &'static [Capability] = &[];
    /// The number of its state's layout; a new number starts with empty state.
    const STATE_SCHEMA: u32 = 1;

    /// Checks what the types of the configuration can't say. Called once per activation, after parsing.
    fn check(_config: &Self::Config) -> Vec<ConfigError> {
        Vec::new()
    }
}

/// Builds once what every run needs: parsers, tables, compiled patterns.
///
/// The host calls it when the plugin is deployed, and every fresh instance begins with the memory it left. There is no
/// event and no configuration yet, and it may call nothing but [`log`]. Keep what it builds in a
/// [`OnceLock`](std::sync::OnceLock) and reach for it with `get_or_init`, so that a run builds it where nobody warmed.
///
/// ```
/// use mapwright_sdk::{Plugin, Warm};
/// use std::sync::OnceLock;
///
/// static SQUARES: OnceLock<Vec<u64>> = OnceLock::new();
///
/// fn squares() -> &'static [u64] {
///     SQUARES.get_or_init(|| (0..10_000).map(|number| number * number).collect())
/// }
/// # struct Greeter;
/// # impl Plugin for Greeter {
/// #     type Config = ();
/// #     const NAME: &'static str = "greeter";
/// #     const VERSION: &'static str = "0.1.0";
/// #     const SUMMARY: &'static str = "Greets.";
/// #     const EVENTS: &'static [&'static str] = &["*"];
/// # }
///
/// impl Warm for Greeter {
///     fn warm() {
///         squares();
///     }
/// }
/// # Greeter::warm();
/// # assert_eq!(squares()[3], 9);
/// // and `warm` is named with the other interfaces: export_plugin!(Greeter: mapping, warm);
/// ```
pub trait Warm: Plugin {
    /// Fills memory.
    fn warm();
}

/// A capability a plugin asks for; the person who activates the plugin grants it or doesn't.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Its name.
    pub name: &'static str,
    /// Why the plugin needs it.
    pub reason: &'static str,
    /// Whether the plugin does without it when it is not granted.
    pub optional: bool,
}

impl Capability {
    /// A capability without which the plugin is not activated.
    #[must_use]
    pub const fn required(name: &'static str, reason: &'static str) -> Self {
        Self { name, reason, optional: false }
    }

    /// A capability the plugin does without when it is not granted.
    #[must_use]
    pub const fn optional(name: &'static str, reason: &'static str) -> Self {
        Self { name, reason, optional: true }
    }
}

/// One mistake in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// JSON Pointer (RFC 6901) to the value at fault; empty for the whole.
    pub path: String,
    /// What is wrong and how to mend it.
    pub message: String,
}

impl ConfigError {
    /// A mistake at `path`, such as `/fields/0`.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

/// Lines for the person who reads a run's record; at most 64 a run. Personal data has no place here.
pub mod log {
    #[cfg(target_family = "wasm")]
    use crate::__bindings::imports::mapwright::plugin::log::{Level, write};

    macro_rules! level {
        ($(#[$doc:meta] $name:ident $level:ident)*) => {$(
            #[$doc]
            pub fn $name(message: &str) {
                #[cfg(target_family = "wasm")]
                write(Level::$level, message);
                #[cfg(not(target_family = "wasm"))]
                crate::testing::record_line(stringify!($name), message);
            }
        )*};
    }

    level! {
        /// Only while looking for a fault.
        debug Debug
        /// Worth knowing.
        info Info
        /// Odd, but handled.
        warn Warn
        /// A fault.
        error Error
    }
}
