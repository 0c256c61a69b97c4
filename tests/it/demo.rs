//! The demo ends clean, and each deliberate fault makes its checker fail in its own way.

use crate::system::{last_line, named, product, run, test_build};
use serde_json::Value;

fn play(program: &std::path::Path, sabotage: &str) -> (bool, Value) {
    let plugins = named("MAPWRIGHT_PLUGINS").display().to_string();
    let output =
        run(program, &["demo", "--once", "--json", "--plugins", &plugins], ("MAPWRIGHT_SABOTAGE", sabotage));
    (output.status.success(), last_line(&output))
}

fn count(report: &Value, name: &str) -> i64 {
    report[name].as_i64().unwrap_or_else(|| panic!("the report has no {name}: {report}"))
}

#[test]
fn the_demo_ends_clean() {
    let (clean, report) = play(&product(), "");
    assert!(clean, "{report}");
    assert!(count(&report, "events_received") > 300 && count(&report, "records") >= 80, "{report}");
    // A plugin crashes on two contacts of each customer; nothing else fails.
    let (done, dead) = (count(&report, "events_done"), count(&report, "dead_letters"));
    assert_eq!(count(&report, "events_received"), done + dead, "{report}");
    assert!((2..=8).contains(&dead), "{report}");
    for name in ["unclear", "lost", "duplicated", "out_of_order"] {
        assert_eq!(count(&report, name), 0, "{name} in {report}");
    }
    assert!(count(&report, "remote_writes") > 40 && count(&report, "effects_done") > 90, "{report}");
    assert!(
        count(&report, "runs") > 100 && count(&report, "timeline_entries") >= count(&report, "events_done"),
        "{report}"
    );
}

#[test]
fn a_product_build_knows_no_sabotage() {
    let (clean, report) = play(&product(), "drop-event");
    assert!(clean, "{report}");
}

fn check(sabotage: &str, seen_in: &str) {
    let (clean, report) = play(&test_build(), sabotage);
    assert!(!clean, "the checker missed {sabotage}: {report}");
    assert!(count(&report, seen_in) > 0, "{sabotage} should be seen in {seen_in}: {report}");
}

#[test]
fn a_dropped_event_is_seen_as_lost() {
    check("drop-event", "lost");
}

#[test]
fn a_doubled_effect_is_seen_as_duplicated() {
    check("double-effect", "duplicated");
}

#[test]
fn a_swapped_order_is_seen_as_out_of_order() {
    check("swap-order", "out_of_order");
}

#[test]
fn a_stale_overwrite_is_seen_as_out_of_order() {
    check("stale-overwrite", "out_of_order");
}
