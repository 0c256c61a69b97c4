//! What hostile guests and files come to: each an outcome or a refusal of its own, and the runtime goes on as before.

use crate::system::named;
use mapwright::domain::{Cause, Clock, Fields, ObjectKind, Timestamp};
use mapwright::plugins::{
    Limits, LoadedVersion, MappedRecord, ObjectInput, PackageError, RunContext, RunInput, RunReport, Runtime,
    RuntimeSettings,
};
use std::sync::Arc;

fn runtime() -> Runtime {
    Runtime::new(RuntimeSettings { concurrent_runs: 4 }, Clock::system()).unwrap()
}

fn guest(name: &str) -> Vec<u8> {
    std::fs::read(named("MAPWRIGHT_GUESTS").join(format!("{name}.wasm"))).unwrap()
}

async fn hostile(runtime: &Runtime) -> Arc<LoadedVersion> {
    let package = runtime.check(&guest("hostile"), &Limits::default()).await.unwrap();
    assert_eq!(package.description.name, "hostile");
    runtime.load(&package.version, &package.component).unwrap()
}

async fn run(runtime: &Runtime, version: &LoadedVersion, event_type: &str) -> RunReport<MappedRecord> {
    let fields = Fields::new();
    let object = ObjectInput {
        kind: ObjectKind::Contact,
        id: "c",
        deleted: false,
        fields: &fields,
        changed: Vec::new(),
        echo: Vec::new(),
    };
    let input = RunInput {
        event_id: "1".into(),
        event_type,
        cause: Cause::Test,
        source_time: Timestamp::from_millis(1),
        now: Timestamp::from_millis(1),
        seed: 1,
        contact: Some("c"),
        object: Some(object),
        raw: "{}",
        current: None,
        before: None,
        context: RunContext::default(),
        // What the SDK's prepare gives for a configuration of no choices: the mark of the compact form.
        prepared: &[0],
    };
    runtime.map(version, &input, &Limits::default()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_hostile_guest_ends_with_its_outcome() {
    let runtime = runtime();
    let version = hostile(&runtime).await;
    let expected = [
        ("spin", "out-of-fuel"),
        ("eat-memory", "out-of-memory"),
        ("recurse", "trap"),
        ("panic", "trap"),
        ("trap", "trap"),
        ("flood-fields", "output-too-large"),
        ("huge-string", "output-too-large"),
        ("large-string", "output-too-large"),
        ("not-a-number", "bad-output"),
        ("call-forever", "out-of-fuel"),
        ("unmappable", "unmappable"),
        ("later", "retry-after"),
    ];
    for (does, outcome) in expected {
        let failure = run(&runtime, &version, does).await.outcome.expect_err(does);
        assert_eq!(failure.outcome(), outcome, "{does}: {failure}");
        assert_eq!(failure.is_final(), outcome != "retry-after", "{does}");
        let after = run(&runtime, &version, "fine").await;
        assert!(after.outcome.is_ok(), "after {does}: {:?}", after.outcome);
    }
}

#[tokio::test]
async fn a_panic_keeps_its_message_and_a_loop_of_calls_its_count() {
    let runtime = runtime();
    let version = hostile(&runtime).await;
    let panicked = run(&runtime, &version, "panic").await;
    let words = panicked.outcome.unwrap_err().to_string();
    assert!(words.contains("panicked at") && words.contains("on purpose"), "{words}");
    let calling = run(&runtime, &version, "call-forever").await;
    assert_eq!(calling.log.len(), Limits::default().log_lines);
    assert!(calling.log_dropped > 100);
    assert_eq!(calling.fuel, Limits::default().fuel);
}

#[tokio::test]
async fn the_same_run_costs_the_same_fuel() {
    let runtime = runtime();
    let version = hostile(&runtime).await;
    let first = run(&runtime, &version, "fine").await.fuel;
    assert!(first > 0);
    for _ in 0..20 {
        assert_eq!(run(&runtime, &version, "fine").await.fuel, first);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spinners_do_not_keep_others_from_running() {
    let runtime = Arc::new(runtime());
    let version = hostile(&runtime).await;
    let spinners: Vec<_> = (0..3)
        .map(|_| {
            let (runtime, version) = (Arc::clone(&runtime), Arc::clone(&version));
            tokio::spawn(async move { run(&runtime, &version, "spin").await.outcome.unwrap_err().outcome() })
        })
        .collect();
    for _ in 0..50 {
        assert!(run(&runtime, &version, "fine").await.outcome.is_ok());
    }
    for spinner in spinners {
        assert_eq!(spinner.await.unwrap(), "out-of-fuel");
    }
}

#[tokio::test]
async fn cut_off_and_random_files_are_refused_without_harm() {
    let runtime = runtime();
    let whole = guest("hostile");
    for cut in [0, 4, 7, 8, 9, 100, whole.len() / 2, whole.len() - 1] {
        let refused = runtime.check(&whole[..cut], &Limits::default()).await;
        assert!(refused.is_err(), "the first {cut} bytes were taken for a plugin");
    }
    let mut state = 1_u32;
    for round in 0..40_usize {
        let mut bytes = whole.clone();
        for _ in 0..8 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = usize::try_from(state).unwrap() % bytes.len();
            bytes[at] ^= u8::try_from(round % 255).unwrap() + 1;
        }
        // A flipped byte in a text may still be a plugin; what matters is that nothing else happens.
        drop(runtime.check(&bytes, &Limits::default()).await);
    }
    assert!(runtime.check(&whole, &Limits::default()).await.is_ok());
}

#[tokio::test]
async fn foreign_imports_and_contracts_are_refused_by_name() {
    let runtime = runtime();
    let refusal = async |text: &str| -> PackageError {
        runtime.check(&wat::parse_str(text).unwrap(), &Limits::default()).await.unwrap_err()
    };
    let sockets = r#"(component (import "wasi:sockets/tcp@0.2.6" (instance (export "connect" (func)))))"#;
    let words = refusal(sockets).await.to_string();
    assert!(words.contains("wasi:sockets/tcp@0.2.6.connect"), "{words}");
    let nothing = refusal("(component)").await.to_string();
    assert!(nothing.contains("mapwright:plugin/descriptor@0.1.0"), "{nothing}");
    let other = r#"(component (component $c) (instance $i (instantiate $c)) (export "other:host/api@1.0.0" (instance $i)))"#;
    let words = refusal(other).await.to_string();
    assert!(words.contains("other:host/api@1.0.0"), "{words}");
    let bare = refusal("(module)").await.to_string();
    assert!(bare.contains("module can't be made a component") || bare.contains("does not fit"), "{bare}");
}
