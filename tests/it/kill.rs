//! `kill -9` under load, at chosen points and at any moment: nothing is lost, doubled or out of order.

use crate::system::System;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Kills at each failpoint; with five failpoints half of all.
const AT_EACH_POINT: usize = 6;
const POINTS: &[&str] =
    &["inside-commit", "before-webhook-reply", "before-event-commit", "after-event-commit", "mid-deployment"];
/// Kills at any moment.
const AT_ANY_MOMENT: usize = AT_EACH_POINT * POINTS.len();

/// Keeps changing contacts until it is told to stop; gives the number of changes.
async fn load(system: Arc<System>, stop: Arc<AtomicBool>) -> usize {
    let mut ids = Vec::new();
    for number in 0..20 {
        ids.push(system.create(json!({"firstName": "Kim", "email": format!("kim.{number}@example.com"), "city": "Start"})).await);
    }
    let mut changes = 0;
    while !stop.load(Ordering::Relaxed) {
        for id in &ids {
            changes += 1;
            let body = json!({"city": format!("City {changes}")});
            let url = system.control(&format!("contacts/{id}"));
            system.http.put(url).json(&body).send().await.unwrap().error_for_status().unwrap();
            tokio::time::sleep(Duration::from_millis(4)).await;
        }
    }
    changes
}

async fn wait_for_death(child: &mut std::process::Child) -> bool {
    let until = Instant::now() + Duration::from_secs(20);
    while Instant::now() < until {
        if child.try_wait().unwrap().is_some() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_over_sixty_kills() {
    let system = Arc::new(System::new().await);
    let stop = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn(load(Arc::clone(&system), Arc::clone(&stop)));
    let mut counts = Vec::new();
    for point in POINTS {
        let mut killed = 0;
        for round in 0..AT_EACH_POINT {
            let passes = if *point == "mid-deployment" { 0 } else { 3 + round * 7 };
            match system.host(&format!("{point}={passes}*off->1*return")) {
                // Dying before it listens is what the deployment's point is for.
                None => killed += usize::from(*point == "mid-deployment"),
                Some(mut host) => killed += usize::from(wait_for_death(&mut host.child).await),
            }
        }
        counts.push(format!("{point} {killed}"));
        assert!(killed >= 5, "only {killed} kills at {point}; {}", system.log());
    }
    for round in 0..AT_ANY_MOMENT {
        let host = system.host("").expect("the host starts again");
        tokio::time::sleep(Duration::from_millis(u64::try_from(round * 37 % 400).unwrap())).await;
        drop(host);
    }
    counts.push(format!("any moment {AT_ANY_MOMENT}"));
    let host = system.host("").expect("the host starts again");
    stop.store(true, Ordering::Relaxed);
    let changes = load.await.unwrap();
    system.settle().await;
    let (clean, report) = system.check();
    eprintln!("kills: {}; {changes} changes; {report}", counts.join(", "));
    assert!(clean, "{report}");
    assert!(changes > 100, "too little load: {changes}");
    drop(host);
}
