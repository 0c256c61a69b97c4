//! A plugin's `warm`: run once at the check, under limits, its memory in every instance.

use crate::guests::{Call, core_guest, core_text, guest, loaded, runtime};
use mapwright::domain::Value;
use mapwright::plugins::Limits;

#[tokio::test]
async fn what_warm_built_is_there_in_every_run() {
    let runtime = runtime();
    let package = runtime.check(&guest("warmed"), &Limits::default()).await.unwrap();
    assert!(package.warmed);
    let version = runtime.load(&package.version, &package.component).await.unwrap();
    let warm = Call::of("warm").map(&runtime, &version).await;
    let cold = Call::of("cold").map(&runtime, &version).await;
    let built = |report: &mapwright::plugins::RunReport<mapwright::plugins::MappedRecord>| {
        let fields = &report.outcome.as_ref().unwrap().fields;
        assert_eq!(fields["found"], Value::Integer(12_345));
        fields["built"].clone()
    };
    assert_eq!((built(&warm), built(&cold)), (Value::Integer(1), Value::Integer(2)));
    println!("fuel of a run: warmed {}, cold {}", warm.fuel, cold.fuel);
    assert!(warm.fuel * 20 < cold.fuel, "warmed {}, cold {}", warm.fuel, cold.fuel);
    // Each run begins where `warm` ended, not where another run did.
    assert_eq!(built(&Call::of("cold").map(&runtime, &version).await), Value::Integer(2));
}

#[tokio::test]
async fn the_image_is_the_same_at_every_check_and_loads_without_warming() {
    let first = runtime();
    let package = first.check(&guest("warmed"), &Limits::default()).await.unwrap();
    let second = runtime();
    assert_eq!(
        second.check(&guest("warmed"), &Limits::default()).await.unwrap().component,
        package.component
    );
    let third = runtime();
    let version = third.load(&package.version, &package.component).await.unwrap();
    let run = Call::of("warm").map(&third, &version).await;
    assert_eq!(run.outcome.unwrap().fields["built"], Value::Integer(1));
    assert_eq!(third.compilations(), 1, "a stored image was warmed again");
}

#[tokio::test]
async fn plugins_without_warm_are_not_changed() {
    let runtime = runtime();
    let package = runtime.check(&guest("hostile"), &Limits::default()).await.unwrap();
    assert!(!package.warmed);
    loaded(&runtime, &guest("hostile")).await;
}

#[tokio::test]
async fn a_warm_that_fails_is_refused_with_the_reason() {
    let runtime = runtime();
    let refusal = async |body: &str| {
        let text = core_text("", &format!(r#"(func $crash unreachable) (func (export "warm") {body})"#));
        runtime.check(&core_guest("warmed", &text), &Limits::default()).await.unwrap_err().to_string()
    };
    for (body, words) in [
        ("call $crash", "unreachable"),
        ("call $crash", "at crash"),
        ("(loop br 0)", "used up its fuel"),
        ("(drop (memory.grow (i32.const 10000))) call $crash", "more than 33554432 bytes of memory"),
    ] {
        let said = refusal(body).await;
        assert!(said.contains("warm failed") && said.contains(words), "{body}: {said}");
    }
}

#[tokio::test]
async fn a_warming_plugin_may_only_log() {
    let runtime = runtime();
    let calls = r#"(module
        (import "mapwright:plugin/crm@0.1.0" "tasks" (func $tasks (param i32 i32 i32)))
        (memory (export "memory") 1)
        (func (export "warm") (call $tasks (i32.const 0) (i32.const 0) (i32.const 64)))
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024)
        (func (export "mapwright:plugin/descriptor@0.1.0#describe") (result i32) i32.const 0)
        (func (export "mapwright:plugin/descriptor@0.1.0#prepare") (param i32 i32) (result i32) i32.const 0)
        (func (export "mapwright:plugin/mapping@0.1.0#run") (param i32) (result i32) i32.const 0))"#;
    let refused =
        runtime.check(&core_guest("warmed", calls), &Limits::default()).await.unwrap_err().to_string();
    assert!(refused.contains("crm@0.1.0.tasks") && refused.contains("may only log"), "{refused}");
}
