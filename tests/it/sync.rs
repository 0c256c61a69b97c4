//! Between the last byte of a webhook and the first byte of its 200 lies a completed sync of the write-ahead log.

use crate::system::{Process, System};
use serde_json::json;
use std::process::Command;
use std::time::Duration;

/// Webhooks acknowledged one after the other.
const WEBHOOKS: usize = 20;

/// Acknowledgements in a trace, and how many of them had a sync of the log since their request was read.
fn acknowledged(trace: &str) -> (usize, usize) {
    let (mut acknowledgements, mut covered) = (0, 0);
    let (mut syncing, mut synced) = (Vec::new(), false);
    for line in trace.lines() {
        let process = line.split_whitespace().next().unwrap_or_default();
        let sync = line.contains("fdatasync(") || line.contains("fsync(");
        if line.contains("POST /webhooks/") {
            synced = false;
            syncing.clear();
        } else if sync && line.contains("-wal>") && line.contains("unfinished") {
            syncing.push(process.to_owned());
        } else if (sync && line.contains("-wal>") && line.ends_with("= 0"))
            || (line.contains("sync resumed>")
                && line.ends_with("= 0")
                && syncing.iter().any(|it| it == process))
        {
            synced = true;
        } else if line.contains("HTTP/1.1 200") && line.contains("content-length: 0") {
            acknowledgements += 1;
            covered += usize::from(synced);
        }
    }
    (acknowledgements, covered)
}

/// Ends the traced host, and strace with it; killing strace would leave the host behind.
fn end(mut strace: Process) {
    let id = strace.child.id();
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    for child in children.split_whitespace() {
        Command::new("kill").args(["-TERM", child]).status().unwrap();
    }
    assert!(strace.child.wait().unwrap().success(), "the host did not end well after SIGTERM");
}

async fn trace(synchronous: &str) -> (usize, usize) {
    let system = System::new().await;
    let file = system.folder.path().join("trace");
    let host = system.traced_host(&file, synchronous);
    for number in 0..WEBHOOKS {
        system.create(json!({"email": format!("kim.{number}@example.com")})).await;
        // The next one begins when this one was answered, so that each sync has one webhook it can be for.
        loop {
            let pending = system.http.get(system.control("pending")).send().await.unwrap();
            if pending.json::<serde_json::Value>().await.unwrap()["pending"] == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    end(host);
    acknowledged(&std::fs::read_to_string(file).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_webhook_was_synced_first() {
    assert_eq!(trace("full").await, (WEBHOOKS, WEBHOOKS));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_syncs_the_trace_shows_none() {
    assert_eq!(trace("off").await, (WEBHOOKS, 0));
}
