//! What deployment and activation refuse, as problem documents.

use super::problem::Problem;
use crate::plugins::{PackageError, PluginError};
use crate::tenants::{ActivationError, DeployError};

impl From<DeployError> for Problem {
    fn from(error: DeployError) -> Self {
        match error {
            DeployError::Package(PackageError::Host(fault)) | DeployError::Plugin(fault) => fault.into(),
            DeployError::Store(error) => error.into(),
            DeployError::Package(refused) => Self::refused("plugin-refused", &[("", refused.to_string())]),
        }
    }
}

impl From<PluginError> for Problem {
    fn from(error: PluginError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "a request failed on the plugin runtime");
        Self::internal()
    }
}

impl From<ActivationError> for Problem {
    fn from(error: ActivationError) -> Self {
        let detail = error.to_string();
        match error {
            ActivationError::UnknownTenant(_)
            | ActivationError::UnknownAssignment(_)
            | ActivationError::NotDeployed { .. } => Self::not_found(detail),
            ActivationError::Nothing => Self::refused("nothing-named", &[("/plugin", detail)]),
            ActivationError::OtherPlugin { .. } => Self::refused("other-plugin", &[("/version", detail)]),
            ActivationError::UnknownGrant { place, .. } => {
                Self::refused("unknown-capability", &[(&format!("/grants/{place}"), detail)])
            }
            ActivationError::NotGranted { .. } => {
                Self::refused("capability-not-granted", &[("/grants", detail)])
            }
            ActivationError::NotAsked { .. } => Self::refused("import-not-asked-for", &[("/grants", detail)]),
            ActivationError::NoJson(_) => Self::refused("configuration-refused", &[("/config", detail)]),
            ActivationError::Config(faults) => {
                let places: Vec<(String, String)> = faults
                    .into_iter()
                    .map(|fault| (format!("/config{}", fault.path), fault.message))
                    .collect();
                let places: Vec<(&str, String)> =
                    places.iter().map(|(path, words)| (path.as_str(), words.clone())).collect();
                let mut problem = Self::refused("configuration-refused", &places);
                problem.detail = detail;
                problem
            }
            ActivationError::Prepare(_) => Self::refused("prepare-failed", &[("/config", detail)]),
            ActivationError::NothingBefore(_) => Self::clash("nothing-before", detail),
            ActivationError::Changed(_) => Self::clash("changed-meanwhile", detail),
            ActivationError::Plugin(error) => error.into(),
            ActivationError::Store(error) => error.into(),
        }
    }
}
