//! One plugin's run, begun again until it has its answers: look-ups of the database at once, GHL's stop the journey.

use super::arrived::Arrived;
use super::compare::Comparison;
use super::journey::{Asker, Journey, Stop, Working};
use super::merged::MergedObject;
use super::runs::{ObjectState, PluginCall, RecordView, RunEnd, RunResult};
use crate::domain::{Answers, AssignmentId, GhlId, ObjectKind, RankrId, ReadRequest};
use crate::store::EventCommit;
use crate::tenants::ActiveVersion;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Times a run is begun again for look-ups that the database answers.
const LOCAL_ROUNDS: usize = 64;

/// What a journey has come to so far.
pub(super) struct Progress {
    /// The records under way: the contact's, and that of the event's object.
    pub(super) records: BTreeMap<ObjectKind, Working>,
    /// What was answered, look-ups of the database among it.
    pub(super) answers: Arc<Answers>,
    /// What is to be committed.
    pub(super) commit: EventCommit,
    /// In a rerun: how its plan differs from what was done.
    pub(super) comparison: Comparison,
    /// Assignments that finally failed.
    pub(super) failed: Vec<AssignmentId>,
}

impl Progress {
    /// Rankr's id of the contact.
    pub(super) fn contact(&self) -> Option<RankrId> {
        self.records.get(&ObjectKind::Contact).map(|working| working.id.clone())
    }

    /// A record as a run sees it, if there is one.
    pub(super) fn view(&self, kind: ObjectKind) -> Option<RecordView<'_>> {
        self.records
            .get(&kind)
            .filter(|working| working.existed || working.touched)
            .map(|working| (kind, &working.id, &working.record.fields))
    }
}

/// Which of a plugin's interfaces is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interface {
    Mapping,
    Reaction,
}

impl Journey<'_> {
    /// A run's failure as the event's: final, with its word; or a stop of the whole event, to be tried again.
    pub(super) fn failure(
        &self,
        events: &[Arrived],
        result: &RunResult,
        end: RunEnd,
    ) -> Result<(Option<&'static str>, Option<String>), Stop> {
        match end {
            RunEnd::Failed { detail } => Ok((Some(result.outcome), Some(detail))),
            RunEnd::Again { after, detail } => match self.again(events, after) {
                Some(retry_at) => Err(Stop::Retry(retry_at)),
                None => Ok((Some(result.outcome), Some(detail))),
            },
            RunEnd::Mapped { .. } | RunEnd::Reacted(_) | RunEnd::NeedsReads(_) => {
                Ok((Some("host-failed"), Some("the run ended as another kind of run does".to_owned())))
            }
        }
    }

    /// Runs a plugin until it has all answers: those of the database at once, those of GHL stop the journey.
    pub(super) async fn rounds(
        &self,
        newest: &Arrived,
        merged: &MergedObject<'_>,
        (interface, active): (Interface, &ActiveVersion),
        (kind, before): (ObjectKind, Option<RecordView<'_>>),
        progress: &mut Progress,
    ) -> Result<RunResult, Stop> {
        for _ in 0..LOCAL_ROUNDS {
            let call = PluginCall {
                before,
                current: progress.view(kind),
                answers: Arc::clone(&progress.answers),
                ..self.call(newest, active, merged)
            };
            let result = match interface {
                Interface::Mapping => self.runner.map(call).await,
                Interface::Reaction => self.runner.react(call).await,
            };
            let RunEnd::NeedsReads(wanted) = &result.end else { return Ok(result) };
            let (remote, local): (Vec<_>, Vec<_>) = wanted.iter().cloned().partition(ReadRequest::is_remote);
            if !remote.is_empty() {
                return Err(Stop::Reads(remote, Asker::Plugins(active.plugin.to_string())));
            }
            for request in local {
                let answer = self.local_answer(newest, progress.contact().as_ref(), &request).await?;
                Arc::make_mut(&mut progress.answers).insert(request, answer);
            }
        }
        Ok(RunResult {
            end: RunEnd::Failed {
                detail: format!("it was begun again {LOCAL_ROUNDS} times for want of answers"),
            },
            outcome: "too-many-reads",
            fuel: 0,
            took: Duration::ZERO,
            log: None,
            state: Vec::new(),
        })
    }

    fn call<'c>(
        &self,
        newest: &'c Arrived,
        active: &'c ActiveVersion,
        merged: &'c MergedObject<'_>,
    ) -> PluginCall<'c> {
        PluginCall {
            active,
            event: &newest.event,
            now: self.now,
            contact: merged.contact.as_ref().map(GhlId::as_str),
            object: newest.payload.object.as_ref().map(|object| ObjectState {
                object,
                deleted: merged.deleted,
                fields: &merged.fields,
                changed: merged.changed().into_iter().collect(),
                previous: merged.previous().into_iter().collect(),
                echo: merged.echo.iter().map(String::as_str).collect(),
            }),
            before: None,
            current: None,
            answers: Arc::default(),
        }
    }
}
