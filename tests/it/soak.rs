//! Runs without end take no memory with them: instances, stores and failures are given back.

use crate::guests::{Call, guest, loaded, runtime};

/// Bytes this process has in memory.
pub(crate) fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// Runs good and hostile guests `runs` times; gives the growth of memory between the first tenth and the end.
pub(crate) async fn soak(runs: usize) -> usize {
    let runtime = runtime();
    let hostile = loaded(&runtime, &guest("hostile")).await;
    let warmed = loaded(&runtime, &guest("warmed")).await;
    let mut settled = 0;
    for run in 0..runs {
        let does = match run % 20 {
            0 => "panic",
            1 => "flood-fields",
            2 => "not-a-number",
            3 => "flood-log",
            4 => "recurse",
            5 => "unmappable",
            _ => "fine",
        };
        drop(Call::of(does).map(&runtime, &hostile).await);
        assert!(Call::of("warm").map(&runtime, &warmed).await.outcome.is_ok());
        if run == runs / 10 {
            settled = resident();
        }
    }
    resident().saturating_sub(settled)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tens_of_thousands_of_runs_take_no_memory_with_them() {
    let growth = soak(20_000).await;
    println!("memory grew by {growth} bytes");
    assert!(growth < 8 << 20, "memory grew by {growth} bytes");
}
