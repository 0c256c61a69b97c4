//! Rules with slots of their own: calendar patterns and hours of the day.

use super::{DAY, HOUR, World, at, tenant};
use crate::domain::{ConnectionId, GhlId, ObjectKind};
use crate::store::{EventFilter, MomentRow};
use serde_json::json;

#[tokio::test]
async fn a_calendar_rule_tells_each_selected_contact_once_for_each_slot() {
    let mut world = World::new("2026-03-27T00:00:00Z").await;
    world.contact("vip", json!({"tags": ["vip"]})).await;
    world.contact("plain", json!({"tags": []})).await;
    world.contact("gone", json!({"tags": ["vip"]})).await;
    world
        .moments(vec![MomentRow {
            tenant: tenant(),
            connection: ConnectionId::from("c"),
            kind: ObjectKind::Contact,
            ghl_id: GhlId::from("gone"),
            contact: Some(GhlId::from("gone")),
            at: None,
        }])
        .await;
    let selection = json!([{"field": "tags", "is": "in", "value": ["vip"]}]);
    let rule =
        json!({"kind": "cron", "cron": "30 2 * * *", "time_zone": "Europe/Berlin", "contacts": selection});
    let id = world.rule(rule).await;
    let preview = world.rules.preview(&world.rules.get(&id).await.unwrap()).await.unwrap();
    assert_eq!((preview.slots.len(), preview.slots[0].count, preview.cut), (5, 1, false));
    // An hour at a time over the night in which two o'clock is left out.
    for _ in 0..72 {
        world.pass(HOUR).await;
    }
    assert_eq!(
        world.slots().await,
        ["2026-03-27T01:30:00.000Z", "2026-03-28T01:30:00.000Z", "2026-03-29T01:00:00.000Z"]
    );
    assert!(world.bodies().await.iter().all(|body| body["contactId"] == "vip"));
}

#[tokio::test]
async fn the_repeated_hour_repeats_no_daily_slot_even_over_crashes() {
    let mut world = World::new("2026-10-24T22:00:00Z").await;
    world.contact("x", json!({})).await;
    world.rule(json!({"kind": "cron", "cron": "30 2 * * *", "time_zone": "Europe/Berlin"})).await;
    for _ in 0..6 {
        world.pass(HOUR / 2).await;
        world = world.crashed().await;
    }
    world.pass(HOUR * 3).await;
    assert_eq!(world.slots().await, ["2026-10-25T00:30:00.000Z"]);
}

#[tokio::test]
async fn slots_missed_while_the_host_was_down_are_told_once_or_never() {
    let mut world = World::new("2026-01-01T00:00:00Z").await;
    world.contact("x", json!({})).await;
    world.task("a", Some("x"), Some(at("2026-01-02T12:00:00Z"))).await;
    let rules = [
        json!({"kind": "cron", "cron": "0 9 * * *", "event_type": "timing.cron.once"}),
        json!({"kind": "cron", "cron": "0 9 * * *", "event_type": "timing.cron.never", "missed": "never"}),
        json!({"kind": "task-due", "event_type": "timing.task.once"}),
        json!({"kind": "task-due", "event_type": "timing.task.never", "missed": "never"}),
    ];
    for rule in rules {
        world.rule(rule).await;
    }
    world.look().await;
    world = world.restarted().await;
    world.pass(DAY * 4).await;
    let mut told: Vec<_> =
        world.events().await.into_iter().map(|event| (event.event_type, event.source_time)).collect();
    told.sort();
    // Of the four missed mornings the last.
    assert_eq!(
        told,
        [
            ("timing.cron.once".to_owned(), "2026-01-04T09:00:00.000Z".to_owned()),
            ("timing.task.once".to_owned(), "2026-01-02T12:00:00.000Z".to_owned())
        ]
    );
    // From then on they come in time again.
    world.pass(HOUR * 9).await;
    assert_eq!(world.slots().await.len(), 4);
}

#[tokio::test]
async fn a_paused_tenant_is_told_of_nothing_until_it_goes_on() {
    let mut world = World::new("2026-01-01T00:00:00Z").await;
    world.contact("x", json!({})).await;
    world.rule(json!({"kind": "cron", "cron": "0 * * * *"})).await;
    world.tenant_is("paused").await;
    world.pass(HOUR * 5).await;
    assert!(world.slots().await.is_empty());
    assert_eq!(world.store.next_timing().await.unwrap(), None);
    world.tenant_is("active").await;
    world.look().await;
    // Of the missed hours the last, and the one that has just come.
    assert_eq!(world.slots().await, ["2026-01-01T04:00:00.000Z", "2026-01-01T05:00:00.000Z"]);
}

#[tokio::test]
async fn a_slot_of_many_contacts_goes_on_where_a_crash_left_it() {
    let mut world = World::new("2026-01-01T08:30:00Z").await;
    let contacts: Vec<String> = (0..1203).map(|number| format!("x{number:04}")).collect();
    world.contacts(&contacts, &json!({})).await;
    world.rule(json!({"kind": "cron", "cron": "0 9 * * *"})).await;
    world.look().await;
    world.clock.advance(HOUR);
    // One page, then a crash.
    assert!(world.running.look().await.unwrap());
    let first = world.store.list_events(&EventFilter::default(), 2000).await.unwrap().len();
    assert!(first > 0 && first < 1203, "{first}");
    world = world.crashed().await;
    world.look().await;
    let all = world.store.list_events(&EventFilter::default(), 2000).await.unwrap();
    let lanes: std::collections::HashSet<_> = all.iter().map(|event| event.lane.clone()).collect();
    assert_eq!((all.len(), lanes.len()), (1203, 1203));
}

#[tokio::test]
async fn with_an_hour_of_the_day_it_comes_due_once_a_day() {
    let mut world = World::new("2026-01-01T00:00:00Z").await;
    let rule = json!({"kind": "task-overdue", "after": "1d", "at": "09:00", "time_zone": "America/New_York"});
    world.rule(rule).await;
    world.task("a", Some("x"), Some(at("2026-01-03T04:30:00Z"))).await;
    world.task("b", Some("x"), Some(at("2026-01-03T05:30:00Z"))).await;
    for _ in 0..120 {
        world.pass(HOUR).await;
    }
    // Half past eleven in the evening and half past midnight are two days there.
    assert_eq!(world.slots().await, ["2026-01-03T14:00:00.000Z", "2026-01-04T14:00:00.000Z"]);
    // One that becomes known later the same day is told of late.
    world.task("c", Some("x"), Some(at("2026-01-03T06:00:00Z"))).await;
    world.look().await;
    assert_eq!(world.slots().await[2], "2026-01-04T14:00:00.000Z");
}
