//! Rules whose slots are their objects', and what becomes of rules themselves.

use super::{DAY, HOUR, World, at, spec, tenant};
use crate::domain::{ConnectionId, GhlId, Lane, ObjectKind, TenantId};
use crate::schedule::RuleError;
use crate::store::MomentRow;
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn an_idle_contact_is_told_of_once_until_something_happens_with_it() {
    let mut world = World::new("2026-01-01T00:00:00Z").await;
    world.rule(json!({"kind": "contact-idle", "after": "30d"})).await;
    world.contact("x", json!({})).await;
    world.look().await;
    world.pass(DAY * 29).await;
    assert!(world.slots().await.is_empty());
    world.pass(DAY).await;
    world.pass(DAY * 90).await;
    assert_eq!(world.slots().await, ["2026-01-31T00:00:00.000Z"]);
    let event = world.events().await.remove(0);
    assert_eq!((event.event_type.as_str(), event.cause.as_str()), ("timing.contact-idle", "timing"));
    assert_eq!(event.lane, Lane::of_contact(&ConnectionId::from("c"), &GhlId::from("x")).as_str());
    let body = world.bodies().await.remove(0);
    assert_eq!((&body["recordId"], &body["contactId"]), (&json!("rk-x"), &json!("x")));
    assert_eq!(
        (&body["lastActivity"], &body["slot"]),
        (&json!("2026-01-01T00:00:00.000Z"), &body["timestamp"])
    );
    // Something happens: thirty days later it is idle again.
    world.active("x", world.clock.now()).await;
    world.look().await;
    world.pass(DAY * 31).await;
    assert_eq!(world.slots().await.len(), 2);
}

#[tokio::test]
async fn activity_that_comes_late_or_out_of_order_moves_nothing_back() {
    let mut world = World::new("2026-01-10T00:00:00Z").await;
    world.rule(json!({"kind": "contact-idle", "after": "5d"})).await;
    world.active("x", at("2026-01-10T00:00:00Z")).await;
    world.active("x", at("2026-01-02T00:00:00Z")).await;
    world.pass(DAY * 6).await;
    assert_eq!(world.slots().await, ["2026-01-15T00:00:00.000Z"]);
}

#[tokio::test]
async fn a_task_is_told_of_with_what_it_is_and_not_when_it_is_done() {
    let mut world = World::new("2026-01-01T00:00:00Z").await;
    world.rule(json!({"kind": "task-overdue", "after": "2h"})).await;
    world.rule(json!({"kind": "task-due", "before": "1d", "event_type": "timing.tomorrow"})).await;
    world.task("a", Some("x"), Some(at("2026-01-05T00:00:00Z"))).await;
    world.task("b", Some("x"), Some(at("2026-01-05T00:00:00Z"))).await;
    world.task("nobody", None, Some(at("2026-01-05T00:00:00Z"))).await;
    world.look().await;
    world.pass(DAY * 3 + HOUR).await;
    assert_eq!(world.slots().await, ["2026-01-04T00:00:00.000Z"; 2]);
    world.task("b", Some("x"), None).await;
    world.pass(DAY * 2).await;
    let told: Vec<_> = world.events().await.into_iter().map(|event| event.event_type).collect();
    assert_eq!(told, ["timing.tomorrow", "timing.tomorrow", "timing.task-overdue"]);
    let body = world.bodies().await.pop().unwrap();
    assert_eq!((&body["object"]["id"], &body["object"]["fields"]["title"]), (&json!("a"), &json!("Task a")));
    // The contact of the third becomes known: what was missed is told late.
    world.task("nobody", Some("y"), Some(at("2026-01-05T00:00:00Z"))).await;
    world.look().await;
    assert_eq!(world.slots().await.len(), 5);
}

#[tokio::test]
async fn a_task_that_becomes_known_after_its_slot_is_told_of_once_or_never() {
    let mut world = World::new("2026-01-01T00:00:00Z").await;
    world.rule(json!({"kind": "task-due", "before": "2d", "event_type": "timing.once"})).await;
    world
        .rule(json!({"kind": "task-due", "before": "2d", "event_type": "timing.never", "missed": "never"}))
        .await;
    world.pass(DAY * 10).await;
    world.task("late", Some("x"), Some(at("2026-01-12T00:00:00Z"))).await;
    world.look().await;
    // Two days before its due date the rules were there already, so the slot is theirs.
    let told: Vec<_> = world.events().await.into_iter().map(|event| event.event_type).collect();
    assert_eq!(told, ["timing.once"]);
    // Before the rules began: none of theirs.
    world.task("old", Some("x"), Some(at("2025-12-20T00:00:00Z"))).await;
    world.look().await;
    assert_eq!(world.slots().await.len(), 1);
}

#[tokio::test]
async fn an_earlier_moment_wakes_a_rule_that_meant_to_sleep() {
    let mut world = World::new("2026-01-01T00:00:00Z").await;
    world.rule(json!({"kind": "task-due"})).await;
    world.task("far", Some("x"), Some(at("2026-06-01T00:00:00Z"))).await;
    world.look().await;
    world.task("near", Some("x"), Some(at("2026-01-01T01:00:00Z"))).await;
    world.look().await;
    world.pass(HOUR).await;
    assert_eq!(world.slots().await, ["2026-01-01T01:00:00.000Z"]);
}

#[tokio::test]
async fn a_rule_that_is_changed_neither_repeats_nor_loses_what_is_due() {
    let mut world = World::new("2026-01-01T00:00:00Z").await;
    world.task("a", Some("x"), Some(at("2026-01-03T00:00:00Z"))).await;
    let id = world.rule(json!({"kind": "task-overdue", "after": "1h"})).await;
    world.look().await;
    // Due, but not looked at yet, when its selection and type change.
    world.clock.advance(DAY * 2 + HOUR);
    let changed = spec(json!({"kind": "task-overdue", "after": "1h", "event_type": "timing.other"}));
    world.rules.change(&id, &changed).await.unwrap();
    world.look().await;
    world.look().await;
    let told: Vec<_> = world.events().await.into_iter().map(|event| event.event_type).collect();
    assert_eq!(told, ["timing.other"]);
    // Another span: from now on, and not for what lies behind.
    let span = spec(json!({"kind": "task-overdue", "after": "30m"}));
    world.rules.change(&id, &span).await.unwrap();
    world.look().await;
    assert_eq!(world.slots().await.len(), 1);
    world.task("b", Some("x"), Some(at("2026-01-03T02:00:00Z"))).await;
    world.pass(HOUR * 2).await;
    assert_eq!(world.slots().await[1], "2026-01-03T02:30:00.000Z");
    world.rules.remove(&id).await.unwrap();
    assert!(matches!(world.rules.get(&id).await, Err(RuleError::Unknown(_))));
    world.task("c", Some("x"), Some(world.clock.now())).await;
    world.pass(HOUR).await;
    assert_eq!(world.slots().await.len(), 2);
}

#[tokio::test]
async fn configured_rules_go_on_over_restarts_and_end_when_they_are_gone() {
    let mut world = World::new("2026-01-01T00:00:00Z").await;
    let rule = spec(json!({"kind": "task-due"}));
    let configured = vec![("morning".to_owned(), tenant(), rule)];
    world.rules.apply(&configured).await.unwrap();
    world.task("a", Some("x"), Some(at("2026-01-02T00:00:00Z"))).await;
    world.look().await;
    world = world.restarted().await;
    world.clock.advance(DAY * 2);
    world.rules.apply(&configured).await.unwrap();
    world.look().await;
    assert_eq!(world.slots().await, ["2026-01-02T00:00:00.000Z"]);
    let refused = world.rules.change("morning", &spec(json!({"kind": "task-due"}))).await;
    assert!(matches!(refused, Err(RuleError::Configured(_))), "{refused:?}");
    world.rules.apply(&[]).await.unwrap();
    assert!(world.rules.get("morning").await.is_err());
}

#[tokio::test]
async fn a_rule_for_an_unknown_tenant_or_connection_is_refused() {
    let world = World::new("2026-01-01T00:00:00Z").await;
    let rule = spec(json!({"kind": "task-due"}));
    let unknown = world.rules.create(&TenantId::from("nobody"), &rule).await.unwrap_err().to_string();
    assert!(unknown.contains("nobody"), "{unknown}");
    let other = spec(json!({"kind": "task-due", "connection": "elsewhere"}));
    let unknown = world.rules.create(&tenant(), &other).await.unwrap_err().to_string();
    assert!(unknown.contains("elsewhere"), "{unknown}");
}

/// A look at 100,000 contacts of which few are due reads what is due and nothing else.
#[tokio::test]
async fn a_look_does_not_scan_a_hundred_thousand_contacts() {
    let mut world = World::new("2026-01-01T00:00:00Z").await;
    let begin = world.clock.now();
    for part in 0..20_u64 {
        let moments = (0..5000_u64)
            .map(|number| {
                let contact = GhlId::new(format!("contact{part:02}{number:05}"));
                MomentRow {
                    tenant: tenant(),
                    connection: ConnectionId::from("c"),
                    kind: ObjectKind::Contact,
                    ghl_id: contact.clone(),
                    contact: Some(contact),
                    at: Some(begin.plus(Duration::from_secs(part * 5000 + number))),
                }
            })
            .collect();
        world.moments(moments).await;
    }
    world.rule(json!({"kind": "contact-idle", "after": "30d"})).await;
    world.look().await;
    world.clock.advance(DAY * 30);
    let mut slowest = Duration::ZERO;
    for _ in 0..100 {
        world.clock.advance(Duration::from_secs(1));
        let began = world.clock.machine_now();
        world.look().await;
        slowest = slowest.max(began.elapsed());
    }
    let idle = world.clock.machine_now();
    for _ in 0..100 {
        world.look().await;
    }
    let idle = idle.elapsed() / 100;
    assert_eq!(world.events().await.len(), 101);
    eprintln!(
        "100,000 contacts: a look with one due contact took at most {slowest:?}, one with none {idle:?} on average"
    );
    assert!(slowest < Duration::from_secs(2) && idle < Duration::from_millis(200), "{slowest:?}, {idle:?}");
}
