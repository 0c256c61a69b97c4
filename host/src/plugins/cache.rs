//! The folder of sealed machine code: this host's own, derived from what the database holds, rebuilt at will.

use super::code::MachineCode;
use super::package::hex;
use crate::vault::Vault;
use aws_lc_rs::digest::{Context, SHA256, digest};
use aws_lc_rs::hmac;
use std::fs::{self, DirBuilder, File};
use std::hash::{Hash as _, Hasher};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use wasmtime::Engine;

/// How file names end.
const EXTENSION: &str = "mwcode";

/// Where machine code is kept.
#[derive(Clone, Debug)]
pub struct CacheSettings {
    /// The folder; made if it is not there, its owner's alone.
    pub folder: PathBuf,
    /// Whose derived key seals the files.
    pub vault: Vault,
    /// Bytes of all files together; beyond them the oldest go.
    pub bytes: u64,
}

/// The folder in use.
pub(super) struct CodeCache {
    folder: PathBuf,
    key: hmac::Key,
    /// The engine's part of a file's name: code for another engine is never looked at.
    compatibility: String,
    bytes: u64,
}

impl CodeCache {
    pub(super) fn open(settings: &CacheSettings, engine: &Engine) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&settings.folder)?;
        let key = settings.vault.derive("machine code of plugins");
        Ok(Self {
            folder: settings.folder.clone(),
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            compatibility: compatibility(engine),
            bytes: settings.bytes,
        })
    }

    /// A component's name here: the hash of its bytes and that of the engine.
    fn name(&self, component: &[u8]) -> String {
        format!("{}-{}", hex(digest(&SHA256, component).as_ref()), self.compatibility)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name).with_extension(EXTENSION)
    }

    /// A component's machine code, if it is here and ours.
    pub(super) fn get(&self, component: &[u8]) -> Option<MachineCode> {
        let name = self.name(component);
        let path = self.path(&name);
        let sealed = match fs::read(&path) {
            Ok(sealed) => sealed,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(%error, "{} can't be read; the plugin is compiled anew", path.display());
                }
                count("miss");
                return None;
            }
        };
        let code = MachineCode::unseal(&self.key, &name, sealed);
        if code.is_some() {
            count("hit");
        } else {
            count("rejected");
            tracing::warn!(
                "{} was not sealed by this host or was changed; it is thrown away and the plugin compiled anew",
                path.display()
            );
            self.remove(&path);
        }
        code
    }

    /// Keeps machine code. A cache that can't be written costs time at the next start and nothing else.
    pub(super) fn put(&self, component: &[u8], code: &MachineCode) {
        let name = self.name(component);
        let path = self.path(&name);
        if let Err(error) = self.write(&path, &code.head(&self.key, &name), code.code()) {
            tracing::warn!(%error, "{} can't be written; the next start compiles the plugin anew", path.display());
        }
        if let Err(error) = self.prune(&path) {
            tracing::warn!(%error, "{} can't be tidied", self.folder.display());
        }
    }

    /// Written beside and renamed, so that no half of a file ever has the name.
    fn write(&self, path: &Path, head: &[u8], code: &[u8]) -> io::Result<()> {
        let beside = self.folder.join(format!("{}.new", uuid::Uuid::new_v4()));
        let written = (|| {
            let mut file = File::options().write(true).create_new(true).mode(0o600).open(&beside)?;
            file.write_all(head)?;
            file.write_all(code)?;
            file.sync_all()?;
            fs::rename(&beside, path)
        })();
        if written.is_err() {
            self.remove(&beside);
        }
        written
    }

    /// Removes the oldest files beyond the bytes allowed, and what an interrupted write left; never `spared`.
    fn prune(&self, spared: &Path) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let Ok(about) = fs::metadata(&path) else { continue };
            if path.extension().is_some_and(|end| end == EXTENSION) {
                files.push((about.modified().unwrap_or(SystemTime::UNIX_EPOCH), about.len(), path));
            }
        }
        files.sort();
        let mut total: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, bytes, path) in files {
            if total <= self.bytes {
                break;
            }
            if path != spared {
                self.remove(&path);
                total = total.saturating_sub(bytes);
            }
        }
        Ok(())
    }

    fn remove(&self, path: &Path) {
        if let Err(error) = fs::remove_file(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "{} can't be removed from {}", path.display(), self.folder.display());
        }
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("mapwright_plugin_code_total", "outcome" => outcome).increment(1);
}

/// What machine code depends on besides the component: wasmtime's version, its settings, the processor.
fn compatibility(engine: &Engine) -> String {
    struct Digest(Context);
    impl Hasher for Digest {
        fn finish(&self) -> u64 {
            0
        }
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
    }
    let mut state = Digest(Context::new(&SHA256));
    engine.precompile_compatibility_hash().hash(&mut state);
    hex(state.0.finish().as_ref().get(..16).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &Path, engine: &Engine, bytes: u64) -> CodeCache {
        let vault = Vault::open(folder).unwrap();
        CodeCache::open(&CacheSettings { folder: folder.join("cache"), vault, bytes }, engine).unwrap()
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        fs::read_dir(folder.join("cache")).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn code_is_found_again_and_loads() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::default();
        let component = wat::parse_str("(component)").unwrap();
        let cache = open(folder.path(), &engine, 1 << 30);
        assert!(cache.get(&component).is_none());
        cache.put(&component, &MachineCode::compile(&engine, &component).unwrap());
        let again = open(folder.path(), &engine, 1 << 30);
        again.get(&component).unwrap().load(&engine).unwrap();
        let files = files(folder.path());
        assert_eq!(files.len(), 1, "{files:?}");
    }

    #[test]
    fn a_changed_file_is_thrown_away_and_never_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::default();
        let component = wat::parse_str("(component)").unwrap();
        let cache = open(folder.path(), &engine, 1 << 30);
        cache.put(&component, &MachineCode::compile(&engine, &component).unwrap());
        let file = files(folder.path()).pop().unwrap();
        let mut bytes = fs::read(&file).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(&file, bytes).unwrap();
        assert!(cache.get(&component).is_none());
        assert!(!file.exists());
    }

    #[test]
    fn the_oldest_files_go_and_the_newest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::default();
        let cache = open(folder.path(), &engine, 1);
        let first = wat::parse_str("(component)").unwrap();
        let second = wat::parse_str("(component (core module))").unwrap();
        cache.put(&first, &MachineCode::compile(&engine, &first).unwrap());
        cache.put(&second, &MachineCode::compile(&engine, &second).unwrap());
        assert!(cache.get(&first).is_none());
        assert!(cache.get(&second).is_some());
    }
}
