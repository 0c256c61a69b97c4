//! The watched folder: a .wasm file that is dropped in is deployed while the host runs. Looked at instead of listened
//! to, since network file systems and mounted folders tell nobody of changes. A file is taken when two looks in a row
//! find it the same; once taken it is never read again: what runs comes from the store.

use super::activation::{ActivationRequest, Source};
use super::assignments::OnFailure;
use super::configured::NotApplied;
use super::deployer::{Deployer, Version};
use crate::config::{AssignmentSettings, Settings};
use crate::store::{AssignmentFilter, AssignmentRow};
use crate::telemetry::HealthNotes;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Machine time between the two looks that a start takes.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Assignments that are brought to a new version by one statement's page.
const PAGE: i64 = 500;

/// What became of the folder's files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FolderReport {
    /// Where it is; empty: none is watched.
    pub folder: String,
    /// Why it can't be read, if it can't.
    pub problem: Option<String>,
    /// Its .wasm files by name.
    pub files: Vec<FileReport>,
    /// Assignments of the configuration that are not in force, and why.
    pub not_in_force: Vec<String>,
}

/// What became of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FileReport {
    /// The file's name.
    pub file: String,
    /// `settling` while it is being written, `deployed`, or `refused`.
    pub state: &'static str,
    /// The plugin in it.
    pub plugin: Option<String>,
    /// Its version, SemVer.
    pub semver: Option<String>,
    /// The version's id.
    pub version: Option<String>,
    /// Why it is refused, or why a new version of it was not activated.
    pub problem: Option<String>,
}

/// What tells that a file is another one than at the last look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    bytes: u64,
    written: Option<SystemTime>,
}

#[derive(Debug)]
struct Seen {
    look: Look,
    report: FileReport,
}

#[derive(Debug, Default)]
struct State {
    problem: Option<String>,
    files: BTreeMap<PathBuf, Seen>,
    not_applied: Vec<NotApplied>,
}

/// The folder and the configured assignments that depend on it. Cheap to clone.
#[derive(Clone)]
pub struct PluginFolder(Arc<Watched>);

struct Watched {
    deployer: Deployer,
    folder: PathBuf,
    every: Duration,
    activate_new: bool,
    configured: Vec<AssignmentSettings>,
    health: HealthNotes,
    state: Mutex<State>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl PluginFolder {
    /// Deploys what is there, takes over the configured assignments, and watches on.
    pub async fn start(deployer: Deployer, settings: &Settings, health: HealthNotes) -> Self {
        let watched = Arc::new(Watched {
            deployer,
            folder: settings.plugins.folder.clone(),
            every: Duration::from_millis(settings.plugins.folder_every_millis),
            activate_new: settings.plugins.activate_new,
            configured: settings.assignments.clone(),
            health,
            state: Mutex::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        watched.first_looks().await;
        watched.apply_configured().await;
        let watching = Arc::clone(&watched);
        watched.tasks.spawn(async move { watching.watch().await });
        watched.tasks.close();
        Self(watched)
    }

    /// No folder: for a process that only answers.
    #[must_use]
    pub fn unwatched(deployer: Deployer, health: HealthNotes) -> Self {
        Self(Arc::new(Watched {
            deployer,
            folder: PathBuf::new(),
            every: Duration::MAX,
            activate_new: false,
            configured: Vec::new(),
            health,
            state: Mutex::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }))
    }

    /// What became of the folder's files.
    #[must_use]
    pub fn report(&self) -> FolderReport {
        let state = self.0.state();
        FolderReport {
            folder: self.0.folder.display().to_string(),
            problem: state.problem.clone(),
            files: state.files.values().map(|seen| seen.report.clone()).collect(),
            not_in_force: state.not_applied.iter().map(|failed| failed.why.clone()).collect(),
        }
    }

    /// Looks no more.
    pub async fn stop(&self) {
        self.0.stop.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

impl Watched {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A start waits for the second look only where there is a file it does not know.
    async fn first_looks(&self) {
        if self.folder.as_os_str().is_empty() {
            return;
        }
        self.look().await;
        if self.state().files.values().any(|seen| seen.report.state == SETTLING) {
            self.deployer.parts.clock.machine_sleep(FIRST_PAUSE).await;
            self.look().await;
        }
    }

    async fn watch(&self) {
        let none = self.folder.as_os_str().is_empty();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                // A version that was missing may be there now, from the folder or from a person.
                () = self.deployer.deployed.notified() => {
                    if !self.state().not_applied.is_empty() {
                        self.apply_configured().await;
                    }
                }
                () = self.deployer.parts.clock.machine_sleep(self.every), if !none => self.look().await,
            }
        }
    }

    async fn apply_configured(&self) {
        let not_applied = self.deployer.apply_configured(&self.configured).await;
        self.state().not_applied = not_applied;
        self.note();
    }

    /// Says what a person should look at, in words that may be shown to anyone; the report says more.
    fn note(&self) {
        const SEE: &str = "GET /v1/plugins/folder or `mapwright plugin folder` tells which and why";
        let state = self.state();
        let refused = state.files.values().filter(|seen| seen.report.problem.is_some()).count();
        if state.problem.is_some() {
            self.health.note(FOLDER, format!("it can't be read, what is deployed runs on; {SEE}"));
        } else if refused > 0 {
            self.health
                .note(FOLDER, format!("{refused} plugin files are not deployed or not activated; {SEE}"));
        } else {
            self.health.clear(FOLDER);
        }
        if state.not_applied.is_empty() {
            self.health.clear(ASSIGNMENT);
        } else {
            let count = state.not_applied.len();
            self.health.note(ASSIGNMENT, format!("{count} configured assignments are not in force; {SEE}"));
        }
    }

    /// Looks at the folder once, and deploys what has settled.
    async fn look(&self) {
        let found = match list(&self.folder).await {
            Ok(found) => found,
            Err(error) => {
                let problem = format!("plugins.folder {} can't be read: {error}", self.folder.display());
                let mut state = self.state();
                if state.problem.as_ref() != Some(&problem) {
                    tracing::error!("{problem}; what is deployed runs on");
                    state.problem = Some(problem);
                }
                drop(state);
                self.note();
                return;
            }
        };
        for (path, look) in self.compare(&found) {
            self.take(&path, look).await;
        }
        self.note();
    }

    /// Notes what is there now; gives the files that are as they were at the last look and were not taken yet.
    fn compare(&self, found: &BTreeMap<PathBuf, Look>) -> Vec<(PathBuf, Look)> {
        let mut state = self.state();
        state.problem = None;
        state.files.retain(|path, _| found.contains_key(path));
        let mut settled = Vec::new();
        for (path, look) in found {
            match state.files.get_mut(path) {
                Some(seen) if seen.look == *look => {
                    if seen.report.state == SETTLING {
                        settled.push((path.clone(), *look));
                    }
                }
                _ => {
                    let file = name(path);
                    let report = FileReport { file, state: SETTLING, ..FileReport::default() };
                    state.files.insert(path.clone(), Seen { look: *look, report });
                }
            }
        }
        settled
    }

    /// Deploys a file that has settled.
    async fn take(&self, path: &Path, look: Look) {
        let report = match tokio::fs::read(path).await {
            // Written to while it was read: the next look sees it anew.
            Ok(bytes) if u64::try_from(bytes.len()).is_ok_and(|bytes| bytes != look.bytes) => return,
            Ok(bytes) => self.deploy(path, bytes).await,
            Err(error) => FileReport {
                file: name(path),
                state: REFUSED,
                problem: Some(format!("it can't be read: {error}")),
                ..FileReport::default()
            },
        };
        let mut state = self.state();
        if let Some(seen) = state.files.get_mut(path)
            && seen.look == look
        {
            seen.report = report;
        }
    }

    async fn deploy(&self, path: &Path, bytes: Vec<u8>) -> FileReport {
        let mut report = FileReport { file: name(path), state: REFUSED, ..FileReport::default() };
        match self.deployer.deploy(bytes).await {
            Ok(deployed) => {
                report.state = DEPLOYED;
                report.plugin = Some(deployed.version.plugin.to_string());
                report.semver = Some(deployed.version.semver.clone());
                report.version = Some(deployed.version.id.to_string());
                if deployed.new && self.activate_new {
                    report.problem = self.activate_everywhere(&deployed.version).await;
                }
            }
            Err(error) => {
                tracing::error!("{} is not deployed, and nothing is changed: {error}", path.display());
                report.problem = Some(error.to_string());
            }
        }
        report
    }

    /// Activates a new version where an older one of the plugin is active, with what the older one was given.
    async fn activate_everywhere(&self, version: &Version) -> Option<String> {
        let mut problems = Vec::new();
        let mut after = String::new();
        loop {
            let filter = AssignmentFilter { plugin: Some(&version.plugin), after: &after, limit: PAGE };
            let page = match self.deployer.parts.store.list_assignments(None, filter).await {
                Ok(page) => page,
                Err(error) => return Some(error.to_string()),
            };
            let Some(last) = page.last() else { break };
            after = last.id.as_str().to_owned();
            for assignment in page.iter().filter(|assignment| assignment.on) {
                if let Err(problem) = self.activate_one(assignment, version).await {
                    tracing::error!(tenant = %assignment.tenant, "{} stays at its version: {problem}", version.plugin);
                    problems.push(format!("tenant {}: {problem}", assignment.tenant));
                }
            }
        }
        (!problems.is_empty()).then(|| format!("not activated for {}", problems.join("; ")))
    }

    async fn activate_one(&self, assignment: &AssignmentRow, version: &Version) -> Result<(), String> {
        let Some(current) = &assignment.current else { return Ok(()) };
        let store = &self.deployer.parts.store;
        let current =
            store.activation(&assignment.tenant, current).await.map_err(|error| error.to_string())?;
        let Some(current) = current else { return Ok(()) };
        let request = ActivationRequest {
            tenant: assignment.tenant.clone(),
            plugin: Some(version.plugin.clone()),
            version: Some(version.id.as_str().to_owned()),
            config: current.config,
            grants: serde_json::from_str(&current.grants)
                .map_err(|error| format!("its grants can't be read: {error}"))?,
            on_failure: OnFailure::parse(&current.on_failure).unwrap_or_default(),
        };
        let done = self.deployer.activate_from(request, Source::Folder).await;
        done.map(drop).map_err(|error| error.to_string())
    }
}

/// What the notes are about.
const FOLDER: &str = "plugins.folder";
const ASSIGNMENT: &str = "assignment";

const SETTLING: &str = "settling";
const DEPLOYED: &str = "deployed";
const REFUSED: &str = "refused";

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The .wasm files of a folder and how each looks.
async fn list(folder: &Path) -> std::io::Result<BTreeMap<PathBuf, Look>> {
    let mut found = BTreeMap::new();
    let mut entries = tokio::fs::read_dir(folder).await?;
    while let Some(entry) = entries.next_entry().await? {
        let path = entry.path();
        if path.extension().is_none_or(|end| end != "wasm") {
            continue;
        }
        // Gone since it was listed, or no file: nothing to deploy.
        let Ok(about) = tokio::fs::metadata(&path).await else { continue };
        if about.is_file() {
            found.insert(path, Look { bytes: about.len(), written: about.modified().ok() });
        }
    }
    Ok(found)
}
