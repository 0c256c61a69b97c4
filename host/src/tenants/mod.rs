//! Apps, tenants, connections and assignments: whose an event is and which plugins it meets.
//!
//! The directory is a snapshot of the stored tables that is swapped whole, so that no request waits for a lock.

mod api_keys;
mod assignments;
mod callback;
mod connect_error;
mod connections;
mod credentials;
mod directory;
mod first_read;
mod installs;
mod keeper;
mod onboarding;
mod registrations;
mod renew;
mod roster;
mod sealed;

pub use api_keys::{API_KEY, ApiKeyError, ApiKeys, NEEDED_SCOPE, NewApiKey};
pub use assignments::{ActiveVersion, Assignments};
pub use callback::{Callback, CallbackFailure, Finished, FinishedLocation};
pub use connect_error::ConnectError;
pub use connections::{ConnectRequest, ConnectionParts, Connections, Link};
pub use credentials::{CredentialError, CredentialParts, Credentials};
pub use directory::{App, Connection, Directory, DirectoryCell};
pub use keeper::Keeper;
pub use onboarding::{OnboardingError, apply_settings};
pub use registrations::{Addresses, Registrations};
pub use roster::{PausedTenants, Roster, TenantError, TenantState};
