//! An event run again: what was known of it when it first ran, and what was done for it.

use super::merged::MergedObject;
use super::mirror::Change;
use super::payload::Payload;
use super::rounds::Interface;
use crate::domain::{
    AssignmentId, Fields, GhlId, ObjectKind, ObjectRef, Provenances, RerunKind, Sequence, Timestamp, Value,
};
use crate::store::{Original, PriorEffect, Store, StoreError};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// What the body of an event says that asks for a rerun.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Request {
    /// The rerun's id.
    pub(super) rerun: String,
    /// The event that is run again.
    pub(super) event: Sequence,
    /// For which assignments; empty: all.
    pub(super) assignments: Vec<AssignmentId>,
}

/// A rerun under way.
#[derive(Clone, Debug)]
pub(super) struct Rerun {
    pub(super) request: Request,
    pub(super) kind: RerunKind,
    /// The sequence of the event that asks for it.
    pub(super) own: Sequence,
    /// When it was asked for.
    pub(super) asked_at: Timestamp,
    /// What the event changed when it first ran.
    pub(super) changed: Changed,
    /// Effects that were planned on it before, oldest first.
    pub(super) prior: Vec<PriorEffect>,
    /// Assignments whose reaction was run on it.
    reacted: HashSet<AssignmentId>,
    /// Assignments that failed on it and are not settled.
    unsettled: HashSet<AssignmentId>,
    /// Its event is there no more.
    gone: bool,
}

/// What an event changed in the mirror; the least that a later run needs to see the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Changed {
    /// Names of the changed fields; none here means: every field of its payload.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    fields: Option<BTreeSet<String>>,
    /// Those of them that only repeated what GHL had answered to us.
    #[serde(rename = "e", default, skip_serializing_if = "BTreeSet::is_empty")]
    echo: BTreeSet<String>,
    /// Whether it deleted the object.
    #[serde(rename = "d", default, skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
    /// Whether the deletion was our own.
    #[serde(rename = "o", default, skip_serializing_if = "std::ops::Not::not")]
    own_deletion: bool,
}

impl Changed {
    /// What a run's events changed; none when that is nothing.
    pub(super) fn of(merged: &MergedObject<'_>, payload: &Payload) -> Option<Self> {
        let changed = merged.changed();
        if changed.is_empty() && !merged.deleted {
            return None;
        }
        let all = changed.len() == payload.fields.len()
            && changed.iter().all(|name| payload.fields.contains_key(*name));
        Some(Self {
            fields: (!all).then(|| changed.into_iter().map(str::to_owned).collect()),
            echo: merged.echo.clone(),
            deleted: merged.deleted,
            own_deletion: merged.own_deletion,
        })
    }

    /// What is stored; nothing was changed where nothing is.
    fn from_stored(text: Option<&str>) -> Result<Self, StoreError> {
        match text {
            Some(text) => {
                serde_json::from_str(text).map_err(|error| StoreError::corrupt("list of changes", &error))
            }
            None => Ok(Self { fields: Some(BTreeSet::new()), ..Self::default() }),
        }
    }

    /// The object as it is known now, with what the event changed when it first ran.
    pub(super) fn merged<'a>(
        &self,
        (mirror, payload): (super::mirror::Mirror, &'a Payload),
        object: Option<&'a ObjectRef>,
        contact: Option<GhlId>,
    ) -> MergedObject<'a> {
        let names = self.fields.clone().unwrap_or_else(|| payload.fields.keys().cloned().collect());
        let changed: BTreeMap<String, Option<Value>> = names.into_iter().map(|name| (name, None)).collect();
        MergedObject {
            fields: mirror.fields(),
            mirror,
            changes: vec![Change { changed, stale: false, deleted: self.deleted }],
            echo: self.echo.clone(),
            own_deletion: self.own_deletion,
            settled: None,
            object,
            contact: contact.or_else(|| {
                object.filter(|object| object.kind == ObjectKind::Contact).map(|object| object.id.clone())
            }),
            deleted: self.deleted,
        }
    }
}

impl Rerun {
    /// Everything that is known of the event a rerun is asked for, and the event itself if it is still there.
    pub(super) async fn load(
        store: &Store,
        (kind, own): (RerunKind, Sequence),
        asked_at: Timestamp,
        body: &str,
    ) -> Result<(Self, Option<Original>), StoreError> {
        let request: Request =
            serde_json::from_str(body).map_err(|error| StoreError::corrupt("rerun", &error))?;
        let original = store.original(request.event).await?;
        let mut rerun = Self {
            request,
            kind,
            own,
            asked_at,
            changed: Changed::default(),
            prior: Vec::new(),
            reacted: HashSet::new(),
            unsettled: HashSet::new(),
            gone: original.is_none(),
        };
        if let Some(original) = &original {
            let (tenant, sequence) = (&original.tenant, rerun.request.event);
            rerun.changed = Changed::from_stored(original.changed.as_deref())?;
            rerun.prior = store.prior_effects(tenant, sequence).await?;
            rerun.reacted = store.reacted(tenant, sequence).await?.into_iter().collect();
            rerun.unsettled = store.unsettled(tenant, sequence).await?.into_iter().collect();
        }
        Ok((rerun, original))
    }

    /// Whether an assignment's interface is run again. A retry of a mapping also runs the reactions that never ran because
    /// of its failure, unless another mapping still fails.
    pub(super) fn runs(&self, assignment: &AssignmentId, interface: Interface) -> bool {
        let named = &self.request.assignments;
        match (self.kind, interface) {
            (RerunKind::Reprocess | RerunKind::Compare, _) => named.is_empty() || named.contains(assignment),
            (RerunKind::Retry, Interface::Mapping) => named.contains(assignment),
            (RerunKind::Retry, Interface::Reaction) => {
                let blocked = self
                    .unsettled
                    .iter()
                    .any(|other| !named.contains(other) && !self.reacted.contains(other));
                !blocked && (named.contains(assignment) || !self.reacted.contains(assignment))
            }
        }
    }

    /// Why there is nothing to run.
    pub(super) fn idle(&self) -> Option<&'static str> {
        let settled = |assignment: &AssignmentId| !self.unsettled.contains(assignment);
        if self.gone {
            Some("the event is not kept any more")
        } else if self.kind == RerunKind::Retry && self.request.assignments.iter().all(settled) {
            Some("the dead letter is settled already")
        } else {
            None
        }
    }

    /// Whether what it comes to is performed.
    pub(super) fn performs(&self) -> bool {
        self.kind != RerunKind::Compare
    }

    /// Effects of an assignment that were done or are on their way, the newest revision of each author's key.
    pub(super) fn prior_of(&self, assignment: &AssignmentId) -> Vec<&PriorEffect> {
        let mut found: Vec<&PriorEffect> = Vec::new();
        for prior in self.prior.iter().filter(|prior| prior.assignment == *assignment) {
            if matches!(prior.state.as_str(), "refused" | "dead" | "cancelled") {
                continue;
            }
            if prior.author_key.is_some() {
                found.retain(|known| known.author_key != prior.author_key);
            }
            found.push(prior);
        }
        found
    }

    /// A record as the event found it: what it changed is undone.
    pub(super) fn before(&self, fields: &Fields, provenance: &Provenances) -> Fields {
        let mut before = fields.clone();
        for (name, known) in provenance.iter().filter(|(_, known)| known.event == self.request.event) {
            match &known.previous {
                Some(value) => before.insert(name.clone(), value.clone()),
                None => before.remove(name),
            };
        }
        before
    }
}

#[cfg(test)]
impl Rerun {
    /// A rerun of event 5 over these effects, for tests.
    pub(super) fn for_test(kind: RerunKind, prior: Vec<PriorEffect>) -> Self {
        Self {
            request: Request { rerun: "rr".into(), event: Sequence(5), assignments: Vec::new() },
            kind,
            own: Sequence(9),
            asked_at: Timestamp::default(),
            changed: Changed::default(),
            prior,
            reacted: HashSet::new(),
            unsettled: HashSet::new(),
            gone: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rerun(kind: RerunKind, named: &[&str], reacted: &[&str], unsettled: &[&str]) -> Rerun {
        let ids = |names: &[&str]| names.iter().map(|name| AssignmentId::from(*name)).collect::<Vec<_>>();
        let mut rerun = Rerun::for_test(kind, Vec::new());
        rerun.request.assignments = ids(named);
        rerun.reacted = ids(reacted).into_iter().collect();
        rerun.unsettled = ids(unsettled).into_iter().collect();
        rerun
    }

    #[test]
    fn a_retried_mapping_brings_the_reactions_that_never_ran() {
        let retry = rerun(RerunKind::Retry, &["a"], &[], &["a"]);
        let (a, b) = (AssignmentId::from("a"), AssignmentId::from("b"));
        assert!(retry.runs(&a, Interface::Mapping) && !retry.runs(&b, Interface::Mapping));
        assert!(retry.runs(&a, Interface::Reaction) && retry.runs(&b, Interface::Reaction));
        let retry = rerun(RerunKind::Retry, &["a"], &["a", "b"], &["a"]);
        assert!(retry.runs(&a, Interface::Reaction) && !retry.runs(&b, Interface::Reaction));
        // Another mapping still fails: nobody reacts yet.
        let retry = rerun(RerunKind::Retry, &["a"], &[], &["a", "c"]);
        assert!(retry.runs(&a, Interface::Mapping) && !retry.runs(&b, Interface::Reaction));
    }

    #[test]
    fn a_settled_dead_letter_is_not_run_again() {
        assert_eq!(rerun(RerunKind::Retry, &["a"], &[], &["a"]).idle(), None);
        assert!(rerun(RerunKind::Retry, &["a"], &["a"], &[]).idle().is_some());
        assert_eq!(rerun(RerunKind::Reprocess, &[], &["a"], &[]).idle(), None);
    }

    #[test]
    fn changes_are_kept_short_and_read_back() {
        let stored = r#"{"c":["city"],"e":["city"]}"#;
        let changed = Changed::from_stored(Some(stored)).unwrap();
        assert_eq!(serde_json::to_string(&changed).unwrap(), stored);
        assert_eq!(Changed::from_stored(Some("{}")).unwrap(), Changed::default());
        assert_eq!(Changed::from_stored(None).unwrap().fields, Some(BTreeSet::new()));
    }
}
