//! A guest built for WASI 0.2 finds a dead world: no machine behind its streams, clocks and random numbers, only its event.

use crate::guests::{Call, guest, loaded, runtime};
use mapwright::domain::{Fields, Value};
use mapwright::plugins::{Limits, LoadedVersion, RunReport, Runtime};
use std::sync::Arc;

async fn wasi() -> (Runtime, Arc<LoadedVersion>) {
    let runtime = runtime();
    let version = loaded(&runtime, &guest("wasi")).await;
    (runtime, version)
}

fn fields(report: RunReport<mapwright::plugins::MappedRecord>) -> Fields {
    report.outcome.unwrap_or_else(|failure| panic!("{failure}")).fields
}

#[tokio::test]
async fn its_imports_are_of_wasi_for_real() {
    let runtime = runtime();
    let package = runtime.check(&guest("wasi"), &Limits::default()).await.unwrap();
    let text = String::from_utf8_lossy(&package.component).into_owned();
    for name in ["wasi:io/streams@0.2.6", "wasi:cli/exit@0.2.6", "wasi:random/insecure-seed@0.2.6"] {
        assert!(text.contains(name), "the component does not import {name}");
    }
    // They are no functions of the contract, so nobody has to grant them.
    assert!(package.imports.iter().all(|import| !import.contains("wasi")), "{:?}", package.imports);
}

#[tokio::test]
async fn what_it_prints_is_in_the_runs_log() {
    let (runtime, version) = wasi().await;
    let report = Call::of("print").map(&runtime, &version).await;
    let lines: Vec<(&str, &str)> =
        report.log.iter().map(|line| (line.level, line.message.as_str())).collect();
    assert_eq!(lines, [("info", "to the log"), ("error", "a complaint"), ("info", "and more")]);
    let report = Call::of("print-forever").map(&runtime, &version).await;
    assert_eq!(report.outcome.unwrap_err().outcome(), "out-of-fuel");
    assert_eq!(report.log.len(), Limits::default().log_lines);
    assert!(report.log_dropped > 100);
}

#[tokio::test]
async fn time_is_the_events_and_stands_still() {
    let (runtime, version) = wasi().await;
    let seen = fields(Call::of("clocks").map(&runtime, &version).await);
    assert_eq!(seen["seconds"], Value::Integer(1_767_225_600));
    assert_eq!(seen["stands_still"], Value::Boolean(true));
    let slept = fields(Call::of("sleep").map(&runtime, &version).await);
    assert_eq!(slept["slept"], Value::Boolean(true));
}

#[tokio::test]
async fn chance_is_the_events_seed() {
    let (runtime, version) = wasi().await;
    let draw = async |seed| fields(Call { seed, ..Call::of("random") }.map(&runtime, &version).await);
    let first = draw(1).await;
    assert_eq!(first, draw(1).await);
    assert_ne!(first, draw(2).await);
    assert_eq!(first["bytes"], Value::Integer(16));
    let flood = Call::of("random-flood").map(&runtime, &version).await.outcome.unwrap_err();
    assert!(flood.outcome() == "trap" && flood.to_string().contains("random bytes"), "{flood}");
}

#[tokio::test]
async fn there_is_no_environment_and_no_input_and_exit_is_a_trap() {
    let (runtime, version) = wasi().await;
    let seen = fields(Call::of("environment").map(&runtime, &version).await);
    assert_eq!(seen["named"], Value::Integer(0));
    assert_eq!(seen["cwd"], Value::Boolean(false));
    assert_eq!(seen["input_closed"], Value::Boolean(true));
    let exited = Call::of("exit").map(&runtime, &version).await.outcome.unwrap_err();
    assert!(exited.outcome() == "trap" && exited.to_string().contains("called exit"), "{exited}");
    assert!(Call::of("fine").map(&runtime, &version).await.outcome.is_ok());
}

#[tokio::test]
async fn a_finished_component_is_taken_as_it_is() {
    let runtime = runtime();
    let package = runtime.check(&guest("wasi"), &Limits::default()).await.unwrap();
    let again = runtime.check(&package.component, &Limits::default()).await.unwrap();
    assert_eq!(again.component, package.component);
    assert_ne!(again.version, package.version, "the version is the hash of what was uploaded");
    let version = runtime.load(&again.version, &again.component).await.unwrap();
    assert!(Call::of("print").map(&runtime, &version).await.outcome.is_ok());
}
