//! Machine code outlives the process, is believed only under its MAC, and versions that nobody uses are let go.

use crate::guests::{Call, guest, plugin};
use crate::system::{Plan, REACTING, System, named};
use mapwright::domain::Clock;
use mapwright::plugins::{CacheSettings, Limits, Runtime, RuntimeSettings};
use mapwright::vault::Vault;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn cached(folder: &Path, change: impl FnOnce(&mut RuntimeSettings)) -> Runtime {
    let vault = Vault::open(folder).unwrap();
    let cache = CacheSettings { folder: folder.join("cache"), vault, bytes: 1 << 30 };
    let mut settings = RuntimeSettings { cache: Some(cache), ..RuntimeSettings::default() };
    change(&mut settings);
    Runtime::new(settings, Clock::system()).unwrap()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder.join("cache")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test]
async fn a_warm_cache_compiles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let first = cached(folder.path(), |_| {});
    let package = first.check(&guest("warmed"), &Limits::default()).await.unwrap();
    assert!(first.compilations() >= 1);
    let second = cached(folder.path(), |_| {});
    let version = second.load(&package.version, &package.component).await.unwrap();
    assert!(Call::of("warm").map(&second, &version).await.outcome.is_ok());
    assert_eq!(second.compilations(), 0);
}

#[tokio::test]
async fn a_tampered_file_is_never_loaded_but_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let first = cached(folder.path(), |_| {});
    let package = first.check(&guest("hostile"), &Limits::default()).await.unwrap();
    let file = files(folder.path()).pop().unwrap();
    let sealed = std::fs::read(&file).unwrap();
    for (what, bytes) in [
        ("a flipped bit", {
            let mut it = sealed.clone();
            let middle = it.len() / 2;
            it[middle] ^= 1;
            it
        }),
        ("another's code", {
            let mut it = sealed.clone();
            it[9..41].fill(0);
            it
        }),
        ("half a file", sealed[..sealed.len() / 2].to_vec()),
        ("nothing", Vec::new()),
    ] {
        std::fs::write(&file, bytes).unwrap();
        let runtime = cached(folder.path(), |_| {});
        let version = runtime.load(&package.version, &package.component).await.unwrap();
        assert_eq!(runtime.compilations(), 1, "{what} was believed");
        assert!(Call::of("fine").map(&runtime, &version).await.outcome.is_ok());
        assert_eq!(std::fs::read(&file).unwrap(), sealed, "after {what} the file was not made anew");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_is_loaded_once_and_let_go_when_others_are_used() {
    let folder = tempfile::tempdir().unwrap();
    let first = cached(folder.path(), |_| {});
    let one = first.check(&guest("hostile"), &Limits::default()).await.unwrap();
    let other = first.check(&plugin("contact-profile"), &Limits::default()).await.unwrap();
    let runtime = Arc::new(cached(folder.path(), |settings| settings.loaded_versions = 1));
    let loading: Vec<_> = (0..8)
        .map(|_| {
            let (runtime, one) = (Arc::clone(&runtime), one.clone());
            tokio::spawn(async move { runtime.load(&one.version, &one.component).await.unwrap() })
        })
        .collect();
    let mut versions = Vec::new();
    for one in loading {
        versions.push(one.await.unwrap());
    }
    assert!(
        versions.iter().all(|version| Arc::ptr_eq(version, &versions[0])),
        "it was loaded more than once"
    );
    runtime.load(&other.version, &other.component).await.unwrap();
    assert_eq!(runtime.loaded_count(), 1);
    assert!(runtime.loaded_version(&one.version).is_none());
    // A run that holds the version is not disturbed, and the next one loads it again.
    assert!(Call::of("fine").map(&runtime, &versions[0]).await.outcome.is_ok());
    let again = runtime.load(&one.version, &one.component).await.unwrap();
    assert!(Call::of("fine").map(&runtime, &again).await.outcome.is_ok());
    assert_eq!(runtime.compilations(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_finds_its_code_changed_says_so_and_goes_on() {
    let system = System::with(Plan { plugins: named("MAPWRIGHT_PLUGINS"), assignments: REACTING }).await;
    let host = system.host("").unwrap_or_else(|| panic!("{}", system.log()));
    system.create(json!({"firstName": "Ada"})).await;
    system.settle().await;
    drop(host);
    let data = system.folder.path().join("host");
    let sealed = files(&data);
    assert!(sealed.len() >= 2, "{sealed:?}");
    for file in &sealed {
        let mut bytes = std::fs::read(file).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(file, bytes).unwrap();
    }
    let _host = system.host("").unwrap_or_else(|| panic!("{}", system.log()));
    system.create(json!({"firstName": "Grace"})).await;
    system.settle().await;
    assert!(system.whole_log().contains("was not sealed by this host or was changed"), "{}", system.log());
    let records = system.get("/v1/records?tenant=t&limit=1000").await;
    assert_eq!(records["items"].as_array().unwrap().len(), 2, "{records}");
}
