//! The configuration, the data folder, the database and its key.

use super::Check;
use crate::config::{Role, Settings};
use crate::domain::{Clock, Timestamp};
use crate::store::{DatabaseState, DiskSpace, Thoroughness};
use crate::vault;
use secrecy::ExposeSecret as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::UNIX_EPOCH;

const GIB: u64 = 1 << 30;
/// A write-ahead log that is this long is not being brought back into the database.
const LONG_LOG: u64 = 2 * GIB;
/// Free space under which a host is about to stop.
const LOW: u64 = 2 * GIB;

/// What the settings say that works but deserves a word.
pub(super) fn configuration(settings: &Settings) -> Check {
    let name = "configuration";
    let mut words = Vec::new();
    if settings.database.synchronous != "full" {
        return Check::fail(
            name,
            "database.synchronous is \"off\": what was answered 200 can be lost when the machine stops",
            "set it to \"full\"",
        );
    }
    if settings.api.host_key.expose_secret().is_empty() {
        words.push("api.host_key is empty, so nobody can use /v1");
    }
    if !settings.process.has(Role::Worker) {
        words.push("this process has no role \"worker\": what comes in waits for another that has");
    }
    if settings.clock.rate > 1.0 {
        words.push("clock.rate is above 1, which is for sandboxes");
    }
    if settings.webhooks.accept_legacy_rsa {
        words.push("webhooks.accept_legacy_rsa accepts a signature that GHL ended on 2026-09-01");
    }
    if words.is_empty() {
        Check::ok(name, "every key is known and no two contradict each other")
    } else {
        Check::warn(name, words.join("; "), "set these keys as they are meant")
    }
}

/// The folder is there, ours, and nobody else's.
pub(super) fn folder(folder: &Path) -> Check {
    let name = "data-folder";
    let shown = folder.display();
    let Ok(about) = std::fs::metadata(folder) else {
        return Check::warn(
            name,
            format!("{shown} is not there; the host makes it at its first start"),
            "start the host, or set data.folder to where its data is",
        );
    };
    if let Err(error) = tempfile::tempfile_in(folder) {
        return Check::fail(
            name,
            format!("{shown} can't be written: {error}"),
            "make it the host's user's own (chown, chmod u+rwx)",
        );
    }
    let mode = about.permissions().mode() & 0o777;
    if mode & 0o027 != 0 {
        return Check::warn(
            name,
            format!("{shown} has mode {mode:o}: others of this machine can look into it"),
            format!("chmod 700 {shown}"),
        );
    }
    Check::ok(name, format!("{shown}, mode {mode:o}"))
}

/// The database, its log, and the key that opens its secrets.
pub(super) async fn database(folder: &Path, thorough: bool) -> Vec<Check> {
    let path = folder.join("mapwright.db");
    if !path.is_file() {
        let mend = "start the host once, or restore a backup (mapwright backup restore)";
        return vec![Check::warn("database", "there is none yet", mend)];
    }
    let thoroughness = if thorough { Thoroughness::Whole } else { Thoroughness::Quick };
    let state = match DatabaseState::of(&path, thoroughness).await {
        Ok(state) => state,
        Err(error) => {
            let detail = format!("{} can't be read: {}", path.display(), chain(&error));
            return vec![Check::fail("database", detail, RESTORE)];
        }
    };
    vec![condition(&state), log(&path), key(folder, &state)]
}

const RESTORE: &str = "stop the host, keep the file, and restore the newest backup that verifies";

fn condition(state: &DatabaseState) -> Check {
    let name = "database";
    if let Some(fault) = state.faults.first() {
        return Check::fail(name, format!("{} faults, the first: {fault}", state.faults.len()), RESTORE);
    }
    if let Some(strange) = state.strange_migrations.first() {
        let mend = "run the version of mapwright that last used this database, or a newer one";
        return Check::fail(name, format!("migration {strange} is not one of this program's"), mend);
    }
    let count = |table: &str| state.counts.get(table).copied().unwrap_or(0);
    let behind = if state.schema < state.newest_schema {
        format!(
            ", tables of migration {} (the next start brings them to {})",
            state.schema, state.newest_schema
        )
    } else {
        String::new()
    };
    Check::ok(
        name,
        format!(
            "sound; {} events, {} records, {} dead letters{behind}",
            count("inbox"),
            count("records"),
            count("dead_letters")
        ),
    )
}

fn log(database: &Path) -> Check {
    let name = "database-log";
    let log = database.with_extension("db-wal");
    let bytes = std::fs::metadata(&log).map_or(0, |about| about.len());
    if bytes > LONG_LOG {
        let mend = "look for a reader that never ends, such as a sqlite3 shell or a copy under way; a restart shortens the log";
        return Check::warn(name, format!("the write-ahead log has {} MiB", bytes >> 20), mend);
    }
    Check::ok(name, format!("the write-ahead log has {} MiB", bytes >> 20))
}

fn key(folder: &Path, state: &DatabaseState) -> Check {
    let name = "vault-key";
    let path = folder.join("vault.key");
    let shown = path.display();
    let missing = "put the vault.key that these secrets were sealed under into the data folder";
    let key = match vault::key_bytes(folder) {
        Ok(Some(key)) => key,
        Ok(None) if state.sealed > 0 => {
            return Check::fail(
                name,
                format!("{} secrets are sealed, but {shown} is missing", state.sealed),
                missing,
            );
        }
        Ok(None) => return Check::ok(name, "none yet, and nothing is sealed"),
        Err(error) => return Check::fail(name, chain(&error), "make it readable by the host's user alone"),
    };
    if key.len() != 32 {
        return Check::fail(name, format!("{shown} has {} bytes, a key has 32", key.len()), missing);
    }
    let about = std::fs::metadata(&path);
    let mode = about.as_ref().map_or(0, |about| about.permissions().mode() & 0o777);
    if mode & 0o077 != 0 {
        return Check::fail(
            name,
            format!("{shown} has mode {mode:o}: others can read it"),
            format!("chmod 600 {shown}"),
        );
    }
    let age = about.ok().and_then(|about| about.modified().ok()).and_then(|at| {
        let since = at.duration_since(UNIX_EPOCH).ok()?;
        let made = Timestamp::from_millis(i64::try_from(since.as_millis()).ok()?);
        Some(Clock::system().now().since(made).as_secs() / 86_400)
    });
    let age = age.map_or_else(|| "of unknown age".to_owned(), |days| format!("{days} days old"));
    Check::ok(
        name,
        format!(
            "{} {age}, {} secrets sealed; keep a copy away from the backups",
            vault::fingerprint(&key),
            state.sealed
        ),
    )
}

/// Room for what is to come.
pub(super) fn disk(folder: &Path) -> Check {
    let name = "disk";
    let there = folder.ancestors().find(|it| it.is_dir()).unwrap_or(Path::new("."));
    let space = match DiskSpace::of(there) {
        Ok(space) => space,
        Err(error) => return Check::warn(name, chain(&error), "look at the file system"),
    };
    let detail = format!("{} of {} GiB are free", space.free / GIB, space.total / GIB);
    let mend =
        "make room, or move the data folder: without room nothing can be stored, and GHL is answered 500";
    if space.free < LOW / 4 {
        Check::fail(name, detail, mend)
    } else if space.free < LOW || space.free < space.total / 20 {
        Check::warn(name, detail, mend)
    } else {
        Check::ok(name, detail)
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        text = format!("{text}: {deeper}");
        cause = deeper.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::State;
    use crate::config::load_text;
    use crate::store::{Store, StoreSettings};
    use crate::vault::Vault;

    #[test]
    fn settings_that_lose_data_fail_and_odd_ones_warn() {
        let of = |text: &str| configuration(&load_text(text).unwrap()).state;
        assert_eq!(of("[database]\nsynchronous = \"off\""), State::Fail);
        assert_eq!(of(""), State::Warn);
        assert_eq!(of("[api]\nhost_key = \"mw_0123456789abcdefghijkl\""), State::Ok);
    }

    #[tokio::test]
    async fn a_sound_database_is_ok_and_a_broken_one_or_an_open_key_fails() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        assert_eq!(database(path, false).await[0].state, State::Warn);
        Store::open(&StoreSettings::in_folder(path)).await.unwrap().close().await;
        Vault::open(path).unwrap();
        let states: Vec<_> = database(path, true).await.iter().map(|check| check.state).collect();
        assert_eq!(states, [State::Ok; 3]);
        std::fs::set_permissions(path.join("vault.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
        let checks = database(path, false).await;
        assert_eq!(checks[2].state, State::Fail);
        assert!(checks[2].mend.as_ref().unwrap().contains("chmod 600"));
        std::fs::write(path.join("vault.key"), b"short").unwrap();
        assert_eq!(database(path, false).await[2].state, State::Fail);
        std::fs::write(path.join("mapwright.db"), [7; 8192]).unwrap();
        // The write-ahead log still has every page; without it nothing is left.
        drop(std::fs::remove_file(path.join("mapwright.db-wal")));
        assert_eq!(database(path, false).await[0].state, State::Fail);
    }

    #[test]
    fn a_folder_that_others_can_read_is_told() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(super::folder(folder.path()).state, State::Warn);
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(super::folder(folder.path()).state, State::Ok);
        assert_eq!(super::folder(&folder.path().join("nothing")).state, State::Warn);
    }
}
