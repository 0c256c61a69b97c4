//! Apps, tenants, connections and assignments: whose an event is and which plugins it meets.
//!
//! The directory is a snapshot of the stored tables that is swapped whole, so that no request waits for a lock.

mod activation;
mod api_keys;
mod assignments;
mod breaker;
mod configured;
mod credentials;
mod deployer;
mod directory;
mod folder;
mod onboarding;
mod roster;

pub use activation::{Activation, ActivationError, ActivationRequest};
pub use api_keys::{API_KEY, ApiKeyError, ApiKeys, NEEDED_SCOPE, NewApiKey};
pub use assignments::{ActiveVersion, Assignments, OnFailure};
pub use breaker::{BreakerSettings, BreakerState, Breakers, Gate, Release, RunEnded};
pub use credentials::{BaseUrls, CredentialError, Credentials};
pub use deployer::{DeployError, Deployed, Deployer, DeployerParts, Version};
pub use directory::{App, Connection, Directory, DirectoryCell};
pub use folder::{FileReport, FolderReport, PluginFolder};
pub use onboarding::{OnboardingError, apply_settings};
pub use roster::{PausedTenants, Roster, TenantError, TenantState};
