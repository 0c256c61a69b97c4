//! What hostile guests and files come to: each an outcome or a refusal of its own, and the runtime goes on as before.

use crate::guests::{Call, core_guest, core_text, guest, loaded, runtime};
use mapwright::domain::{
    Action, Answers, Effect, Fields, GhlId, LocalEffect, ObjectKind, ReadAnswer, ReadObject, ReadRequest,
    Value,
};
use mapwright::plugins::{Limits, PackageError, RunFailure, RunReport, Runtime};
use std::sync::Arc;
use std::time::Duration;

/// Every guest, and with which words it is refused at deployment, if it is.
const GUESTS: &[(&str, Option<&str>)] = &[
    ("actor", None),
    ("greedy", None),
    ("hostile", None),
    ("liar", Some("imports crm.tasks and does not ask for crm.tasks.read")),
    ("stage-one", None),
    ("stage-two", None),
    ("stranger", Some("is built for mapwright:plugin@0.3.0, this host offers 0.1.0")),
    ("warmed", None),
    ("wasi", None),
];

#[test]
fn every_guest_has_its_test() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("guests");
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_dir() {
            let name = entry.file_name().into_string().unwrap();
            assert!(GUESTS.iter().any(|(known, _)| *known == name), "tests/guests/{name} is in no test");
        }
    }
}

#[tokio::test]
async fn each_guest_is_taken_or_refused_for_its_own_reason() {
    let runtime = runtime();
    for (name, refusal) in GUESTS {
        match (runtime.check(&guest(name), &Limits::default()).await, refusal) {
            (Ok(package), None) => assert!(name.starts_with(&package.description.name), "{name}"),
            (Err(error), Some(words)) => assert!(error.to_string().contains(words), "{name}: {error}"),
            (Ok(_), Some(words)) => panic!("{name} was taken and not refused: {words}"),
            (Err(error), None) => panic!("{name}: {error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_hostile_guest_ends_with_its_outcome() {
    let runtime = runtime();
    let version = loaded(&runtime, &guest("hostile")).await;
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
        let failure = Call::of(does).map(&runtime, &version).await.outcome.expect_err(does);
        assert_eq!(failure.outcome(), outcome, "{does}: {failure}");
        assert_eq!(failure.is_final(), outcome != "retry-after", "{does}");
        let after = Call::of("fine").map(&runtime, &version).await;
        assert!(after.outcome.is_ok(), "after {does}: {:?}", after.outcome);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_string_of_a_hundred_mebibytes_is_refused_before_it_is_copied() {
    let runtime = runtime();
    let version = loaded(&runtime, &guest("hostile")).await;
    let limits = Limits { memory_bytes: 512 << 20, fuel: 20_000_000_000, ..Limits::default() };
    let roomy = mapwright::plugins::RuntimeSettings { limits, ..Default::default() };
    let roomy = Runtime::new(roomy, mapwright::domain::Clock::system()).unwrap();
    let roomy_version = loaded(&roomy, &guest("hostile")).await;
    let call = Call { limits, ..Call::of("hundred-mebibytes") };
    let failure = call.map(&roomy, &roomy_version).await.outcome.unwrap_err();
    assert_eq!(failure.outcome(), "output-too-large", "{failure}");
    // Under the usual limits it has no room to make one.
    let failure = Call::of("hundred-mebibytes").map(&runtime, &version).await.outcome.unwrap_err();
    assert_eq!(failure.outcome(), "out-of-memory", "{failure}");
}

#[tokio::test]
async fn a_failed_run_keeps_the_guests_words_and_functions() {
    let runtime = runtime();
    let version = loaded(&runtime, &guest("hostile")).await;
    let panicked = Call::of("panic").map(&runtime, &version).await;
    let words = panicked.outcome.unwrap_err().to_string();
    assert!(words.contains("panicked at") && words.contains("on purpose"), "{words}");
    for (does, function) in
        [("recurse", "hostile::depth"), ("panic", "hostile::panicking"), ("spin", "Mapping>::map")]
    {
        let backtrace = Call::of(does).map(&runtime, &version).await.backtrace.expect(does);
        assert!(backtrace.contains(function), "{does}: {backtrace}");
    }
}

#[tokio::test]
async fn a_run_logs_so_much_and_no_more() {
    let runtime = runtime();
    let version = loaded(&runtime, &guest("hostile")).await;
    let limits = Limits::default();
    let calling = Call::of("call-forever").map(&runtime, &version).await;
    assert_eq!(calling.log.len(), limits.log_lines);
    assert!(calling.log_dropped > 100);
    assert_eq!(calling.fuel, limits.fuel);
    let flooding = Call::of("flood-log").map(&runtime, &version).await;
    assert!(flooding.outcome.is_ok(), "{:?}", flooding.outcome);
    let bytes: usize = flooding.log.iter().map(|line| line.message.len()).sum();
    assert_eq!(bytes, limits.log_bytes);
    assert!(flooding.log.iter().all(|line| line.message.len() <= limits.log_line_bytes));
}

#[tokio::test]
async fn calls_into_the_host_cost_fuel() {
    let runtime = runtime();
    let version = loaded(&runtime, &guest("hostile")).await;
    let cost = async |host_call_fuel| {
        let limits = Limits { host_call_fuel, ..Limits::default() };
        Call { limits, ..Call::of("flood-log") }.map(&runtime, &version).await.fuel
    };
    assert_eq!(cost(20_000).await - cost(0).await, 200 * 20_000);
}

fn titles(report: &RunReport<Vec<Effect>>) -> Vec<String> {
    let effects = report.outcome.as_ref().unwrap_or_else(|failure| panic!("{failure}"));
    effects
        .iter()
        .map(|effect| match &effect.action {
            Action::Local(LocalEffect::AddEntry { title, .. }) => title.clone(),
            other => format!("{other:?}"),
        })
        .collect()
}

const ALL: &[&str] = &["crm.contacts.read", "crm.notes.write", "rankr.timeline", "state.contact"];

#[tokio::test]
async fn a_reaction_that_asks_for_too_much_has_asked_for_nothing() {
    let runtime = runtime();
    let version = loaded(&runtime, &guest("greedy")).await;
    let react = async |does| Call { grants: ALL, ..Call::of(does) }.react(&runtime, &version).await;
    for (does, outcome, words) in [
        ("flood-effects", "output-too-large", "101 effects, 100 are allowed"),
        ("huge-note", "bad-output", ""),
        ("twice-one-key", "bad-output", "two effects have the key a"),
        ("ungranted-effect", "denied", "crm.contacts.write"),
        ("remember-forever", "unmappable", "after 32 values"),
    ] {
        let failure = react(does).await.outcome.expect_err(does);
        assert_eq!(failure.outcome(), outcome, "{does}: {failure}");
        assert!(failure.to_string().contains(words), "{does}: {failure}");
    }
    // What can be answered is answered, with a type of its own.
    assert_eq!(titles(&react("ungranted-read").await), ["crm.tasks.read"]);
    assert_eq!(titles(&react("ungranted-state").await), ["state.tenant"]);
    assert_eq!(titles(&react("large-value").await), ["too large"]);
}

/// Runs again and again with the answers it lacked, as the pipeline does.
async fn with_answers(runtime: &Runtime, answer: impl Fn() -> ReadAnswer) -> (usize, RunFailure) {
    let version = loaded(runtime, &guest("greedy")).await;
    let mut answers = Answers::new();
    for round in 0..100 {
        let call = Call { grants: ALL, answers: answers.clone(), ..Call::of("read-forever") };
        match call.react(runtime, &version).await.outcome.unwrap_err() {
            RunFailure::NeedsReads(wanted) => {
                answers.extend(wanted.into_iter().map(|request| (request, answer())));
            }
            other => return (round, other),
        }
    }
    panic!("it read a hundred times");
}

#[tokio::test]
async fn reads_end_by_their_count_and_by_their_bytes() {
    let runtime = runtime();
    let (rounds, failure) = with_answers(&runtime, || ReadAnswer::Objects(Vec::new())).await;
    assert_eq!((rounds, failure.outcome()), (32, "too-many-reads"));
    let large = || {
        let fields = Fields::from([("note".to_owned(), Value::Text("x".repeat(1 << 20)))]);
        let object = ReadObject { kind: ObjectKind::Contact, id: GhlId::from("c"), fields };
        ReadAnswer::Objects(vec![object])
    };
    let (rounds, failure) = with_answers(&runtime, large).await;
    assert_eq!((rounds, failure.outcome()), (4, "reads-too-large"));
    assert!(failure.is_final());
    assert!(matches!(ReadRequest::Contact { contact: GhlId::from("c") }.capability(), "crm.contacts.read"));
}

#[tokio::test]
async fn a_table_without_end_is_refused() {
    let runtime = runtime();
    let grows = core_text(
        "(if (i32.eq (table.grow $t (ref.null func) (i32.const 1000000)) (i32.const -1)) (then unreachable))",
        "(table $t 1 funcref)",
    );
    let error = runtime.check(&core_guest("hostile", &grows), &Limits::default()).await.unwrap_err();
    assert!(error.to_string().contains("more than 20000 table elements"), "{error}");
    let large = core_text("", "(table $t 30000 funcref)");
    let error = runtime.check(&core_guest("hostile", &large), &Limits::default()).await.unwrap_err();
    assert!(error.to_string().contains("20000"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wall_limit_is_the_hosts_own_fault() {
    let runtime = runtime();
    let version = loaded(&runtime, &guest("hostile")).await;
    let limits = Limits { fuel: u64::MAX / 2, wall: Duration::from_millis(200), ..Limits::default() };
    let call = Call { limits, ..Call::of("spin") };
    let failure = call.map(&runtime, &version).await.outcome.unwrap_err();
    assert_eq!(failure.outcome(), "stalled");
    assert!(!failure.is_final(), "a stalled run is tried again");
    assert!(Call::of("fine").map(&runtime, &version).await.outcome.is_ok());
}

#[tokio::test]
async fn the_same_run_costs_the_same_fuel() {
    let runtime = runtime();
    let version = loaded(&runtime, &guest("hostile")).await;
    let first = Call::of("fine").map(&runtime, &version).await.fuel;
    assert!(first > 0);
    for _ in 0..20 {
        assert_eq!(Call::of("fine").map(&runtime, &version).await.fuel, first);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spinners_do_not_keep_others_from_running() {
    let runtime = Arc::new(runtime());
    let version = loaded(&runtime, &guest("hostile")).await;
    let spinners: Vec<_> = (0..3)
        .map(|_| {
            let (runtime, version) = (Arc::clone(&runtime), Arc::clone(&version));
            tokio::spawn(async move {
                Call::of("spin").map(&runtime, &version).await.outcome.unwrap_err().outcome()
            })
        })
        .collect();
    for _ in 0..50 {
        assert!(Call::of("fine").map(&runtime, &version).await.outcome.is_ok());
    }
    for spinner in spinners {
        assert_eq!(spinner.await.unwrap(), "out-of-fuel");
    }
}

#[tokio::test]
async fn files_over_their_limits_are_refused() {
    let runtime = runtime();
    let whole = guest("hostile");
    let limits = Limits { upload_bytes: whole.len() - 1, ..Limits::default() };
    assert!(matches!(runtime.check(&whole, &limits).await, Err(PackageError::TooLarge { .. })));
    let limits = Limits { function_bytes: 200, ..Limits::default() };
    assert!(matches!(runtime.check(&whole, &limits).await, Err(PackageError::FunctionTooLarge { .. })));
    assert_eq!(runtime.compilations(), 0, "a refused file was compiled");
}

#[tokio::test]
async fn cut_off_and_random_files_are_refused_without_harm() {
    let runtime = runtime();
    let whole = guest("hostile");
    for cut in [0, 4, 7, 8, 9, 100, whole.len() / 2, whole.len() - 1] {
        let refused = runtime.check(&whole[..cut], &Limits::default()).await;
        assert!(refused.is_err(), "the first {cut} bytes were taken for a plugin");
    }
    crate::fuzz::loader(&runtime, 40, 1).await;
    assert!(runtime.check(&whole, &Limits::default()).await.is_ok());
}
