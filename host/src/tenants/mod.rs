//! Apps, tenants, connections and assignments: whose an event is and which plugins it meets.
//!
//! The directory is a snapshot of the stored tables that is swapped whole, so that no request waits for a lock.

mod activation;
mod api_keys;
mod assignments;
mod breaker;
mod callback;
mod configured;
mod connect_error;
mod connections;
mod credentials;
mod deployer;
mod directory;
mod first_read;
mod folder;
mod installs;
mod keeper;
mod needs;
mod onboarding;
mod registrations;
mod renew;
mod roster;
mod sealed;

pub use activation::{Activation, ActivationError, ActivationRequest};
pub use api_keys::{API_KEY, ApiKeyError, ApiKeys, NEEDED_SCOPE, NewApiKey};
pub use assignments::{ActiveVersion, Assignments, OnFailure};
pub use breaker::{BreakerSettings, BreakerState, Breakers, Gate, Release, RunEnded};
pub use callback::{Callback, CallbackFailure, Finished, FinishedLocation};
pub use connect_error::ConnectError;
pub use connections::{ConnectRequest, ConnectionParts, Connections, Link};
pub use credentials::{CredentialError, CredentialParts, Credentials};
pub use deployer::{DeployError, Deployed, Deployer, DeployerParts, Version};
pub use directory::{App, Connection, Directory, DirectoryCell};
pub use folder::{FileReport, FolderReport, PluginFolder};
pub use keeper::Keeper;
pub use needs::TimingNeedsCell;
pub use onboarding::{OnboardingError, apply_settings};
pub use registrations::{Addresses, Registrations};
pub use roster::{PausedTenants, Roster, TenantError, TenantState};
