//! Apps, tenants, connections and assignments: whose an event is and which plugins it meets.
//!
//! The directory is a snapshot of the stored tables that is swapped whole, so that no request waits for a lock.

mod api_keys;
mod assignments;
mod credentials;
mod directory;
mod onboarding;
mod roster;

pub use api_keys::{API_KEY, ApiKeyError, ApiKeys, NEEDED_SCOPE, NewApiKey};
pub use assignments::{ActiveVersion, Assignments};
pub use credentials::{BaseUrls, CredentialError, Credentials};
pub use directory::{App, Connection, Directory, DirectoryCell};
pub use onboarding::{OnboardingError, apply_settings};
pub use roster::{PausedTenants, Roster, TenantError, TenantState};
