//! What is counted of a commit: how its events ended, and what its runs came to and cost. Counted only once it is stored.

use crate::store::{EventCommit, EventEnd};
use std::collections::BTreeMap;
use std::time::Duration;

/// A commit's numbers.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Tally {
    ends: BTreeMap<&'static str, u64>,
    runs: Vec<Run>,
}

#[derive(Debug, PartialEq)]
struct Run {
    interface: &'static str,
    outcome: &'static str,
    version: String,
    fuel: u64,
    took: Duration,
}

impl Tally {
    pub(super) fn of(commit: &EventCommit) -> Self {
        let mut tally = Self::default();
        for event in &commit.events {
            let end = match event.end {
                EventEnd::Done => "done",
                EventEnd::Folded(_) => "folded",
                EventEnd::Dead => "dead",
                EventEnd::Held => "held",
                EventEnd::Waiting(_) => "waiting",
            };
            *tally.ends.entry(end).or_default() += 1;
        }
        tally.runs = commit
            .runs
            .iter()
            .map(|run| Run {
                interface: run.interface,
                outcome: run.outcome,
                // Enough of the hash to tell versions apart on a chart.
                version: run.version.as_str().chars().take("sha256:".len() + 12).collect(),
                fuel: u64::try_from(run.fuel).unwrap_or(0),
                took: Duration::from_micros(u64::try_from(run.micros).unwrap_or(0)),
            })
            .collect();
        tally
    }

    pub(super) fn count(self) {
        for (end, count) in self.ends {
            if end == "waiting" {
                metrics::counter!("mapwright_event_retries_total").increment(count);
            } else {
                metrics::counter!("mapwright_events_total", "end" => end).increment(count);
            }
        }
        for run in self.runs {
            metrics::counter!("mapwright_runs_total", "interface" => run.interface, "outcome" => run.outcome, "version" => run.version.clone())
                .increment(1);
            metrics::counter!("mapwright_run_fuel_total", "version" => run.version.clone())
                .increment(run.fuel);
            metrics::histogram!("mapwright_run_seconds", "version" => run.version).record(run.took);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Sequence, TenantId, Timestamp};
    use crate::store::EventRow;

    #[test]
    fn events_are_counted_by_how_they_ended() {
        let event = |end| EventRow {
            sequence: Sequence(1),
            tenant: TenantId::from("t"),
            end,
            run_order: 1,
            attempts: 1,
            changed: None,
            at: Timestamp::from_millis(0),
        };
        let commit = EventCommit {
            events: vec![event(EventEnd::Done), event(EventEnd::Folded(Sequence(1))), event(EventEnd::Done)],
            ..EventCommit::default()
        };
        let tally = Tally::of(&commit);
        assert_eq!(tally.ends, BTreeMap::from([("done", 2), ("folded", 1)]));
    }
}
