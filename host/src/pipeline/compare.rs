//! What a rerun asks for beside what was done: by the author's key, else by operation, target and content.

use super::merge::FieldChange;
use super::rerun::Rerun;
use crate::domain::{AssignmentId, Fields, RemoteEffect, RemoteOp, Target, Value};
use crate::store::{EffectRow, PriorEffect};
use serde::Serialize;
use serde_json::Value as Json;
use std::collections::HashSet;

/// How a rerun's plan differs from what was done.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Comparison {
    /// Done as it is asked for now.
    equal: Vec<Compared>,
    /// Asked for otherwise than it was done.
    changed: Vec<Compared>,
    /// Never done.
    new: Vec<Compared>,
    /// Done, but not asked for any more; nothing is undone.
    no_longer_asked_for: Vec<Compared>,
    /// What changed in records.
    pub(super) record_changes: Vec<FieldChange>,
    /// Assignments that failed.
    pub(super) failed: Vec<Failed>,
    /// Why nothing was run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) nothing_to_do: Option<&'static str>,
    /// Whether what differs is performed.
    pub(super) performed: bool,
    #[serde(skip)]
    matched: HashSet<i64>,
}

/// An effect of a comparison.
#[derive(Clone, Debug, Serialize)]
struct Compared {
    assignment: AssignmentId,
    op: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// The effect that was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    done: Option<i64>,
    /// What was asked for then.
    #[serde(skip_serializing_if = "Option::is_none")]
    was: Option<Json>,
    /// What is asked for now.
    #[serde(skip_serializing_if = "Option::is_none")]
    now: Option<Json>,
    /// What is done about it, where that is something else than what is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    becomes: Option<&'static str>,
}

/// An assignment that failed in a rerun.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Failed {
    pub(super) assignment: AssignmentId,
    pub(super) outcome: &'static str,
    pub(super) detail: String,
}

/// What is to be done about an effect of a rerun's plan.
pub(super) enum Verdict {
    /// It was done already, by the effect of that key.
    Done(String),
    /// It is performed as it is asked for.
    Perform,
    /// An update in its place: of what the effect of that key made.
    Update(Box<RemoteEffect>, String),
}

impl Comparison {
    /// Compares an effect whose row is complete but for what the verdict says.
    pub(super) fn judge(&mut self, rerun: &Rerun, row: &EffectRow, remote: Option<&RemoteEffect>) -> Verdict {
        let now: Json = serde_json::from_str(&row.content).unwrap_or_default();
        let prior = rerun.prior_of(&row.assignment);
        let mut free = prior.into_iter().filter(|prior| !self.matched.contains(&prior.id));
        let found = match &row.author_key {
            Some(key) => free.rfind(|prior| prior.author_key.as_ref() == Some(key)),
            None => free.find(|prior| prior.author_key.is_none() && asked(prior) == now),
        };
        let mut compared = Compared {
            assignment: row.assignment.clone(),
            op: row.op.to_owned(),
            key: row.author_key.clone(),
            done: None,
            was: None,
            now: Some(now.clone()),
            becomes: None,
        };
        let Some(prior) = found else {
            self.new.push(compared);
            return Verdict::Perform;
        };
        self.matched.insert(prior.id);
        compared.done = Some(prior.id);
        let was = asked(prior);
        if was == now {
            compared.now = None;
            self.equal.push(compared);
            return Verdict::Done(maker(prior));
        }
        compared.was = Some(was.clone());
        let verdict = match remote.filter(|remote| remote.op.makes()) {
            None => Verdict::Perform,
            Some(remote) => match serde_json::from_value::<RemoteEffect>(was) {
                Ok(was) if was.op == remote.op && was.contact == remote.contact => {
                    let maker = maker(prior);
                    match update(&was, remote, &maker) {
                        Some(update) => Verdict::Update(Box::new(update), maker),
                        None => Verdict::Done(maker),
                    }
                }
                _ => Verdict::Perform,
            },
        };
        if let Verdict::Update(update, _) = &verdict {
            compared.becomes = Some(update.op.as_str());
        }
        self.changed.push(compared);
        verdict
    }

    /// Notes what an assignment's plan does not ask for any more.
    pub(super) fn close(&mut self, rerun: &Rerun, assignment: &AssignmentId) {
        for prior in rerun.prior_of(assignment) {
            if self.matched.contains(&prior.id) {
                continue;
            }
            let was = asked(prior);
            self.no_longer_asked_for.push(Compared {
                assignment: assignment.clone(),
                op: was.get("op").and_then(Json::as_str).unwrap_or_default().to_owned(),
                key: prior.author_key.clone(),
                done: Some(prior.id),
                was: Some(was),
                now: None,
                becomes: None,
            });
        }
    }
}

fn asked(prior: &PriorEffect) -> Json {
    serde_json::from_str(&prior.asked).unwrap_or_default()
}

/// The key of the effect that made what this one made or updated.
fn maker(prior: &PriorEffect) -> String {
    let done: Option<RemoteEffect> = serde_json::from_str(&prior.content).ok();
    let made = done.filter(|done| !done.op.makes() && prior.asked != prior.content);
    match made.and_then(|done| done.object.or(done.contact)) {
        Some(Target::MadeBy(key)) => key,
        _ => prior.effect_key.clone(),
    }
}

/// The update that makes of what was created what is asked for now: the fields that differ, those that are gone emptied.
fn update(was: &RemoteEffect, now: &RemoteEffect, maker: &str) -> Option<RemoteEffect> {
    let mut fields: Fields = now
        .fields
        .iter()
        .filter(|(name, value)| was.fields.get(*name) != Some(*value))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let gone = was.fields.keys().filter(|name| !now.fields.contains_key(*name));
    fields.extend(gone.map(|name| (name.clone(), Value::Null)));
    let op = match now.op {
        RemoteOp::CreateContact | RemoteOp::UpsertContact => RemoteOp::UpdateContact,
        RemoteOp::CreateTask => RemoteOp::UpdateTask,
        RemoteOp::CreateNote => RemoteOp::UpdateNote,
        RemoteOp::CreateAppointment => RemoteOp::UpdateAppointment,
        _ => return None,
    };
    let made = Target::MadeBy(maker.to_owned());
    let (contact, object) = match op {
        RemoteOp::UpdateContact => (Some(made), None),
        _ => (now.contact.clone(), Some(made)),
    };
    (!fields.is_empty()).then_some(RemoteEffect { op, contact, object, fields, rankr_id: None })
}

/// The author's key in an effect's key, without its revision.
pub(super) fn author_of(effect_key: &str) -> Option<&str> {
    let rest = effect_key.splitn(3, '/').nth(2)?;
    match rest.rsplit_once('~') {
        Some((key, revision)) if revision.bytes().all(|byte| byte.is_ascii_digit()) => Some(key),
        _ => Some(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Cause, RerunKind, Sequence, TenantId, Timestamp};
    use serde_json::json;

    fn prior(id: i64, key: Option<&str>, content: &Json) -> PriorEffect {
        PriorEffect {
            id,
            assignment: "as".into(),
            effect_key: format!("5/as/{}", key.unwrap_or("#0")),
            author_key: key.map(str::to_owned),
            content: content.to_string(),
            asked: content.to_string(),
            state: "done".into(),
        }
    }

    fn row(key: Option<&str>, effect: &RemoteEffect) -> EffectRow {
        EffectRow {
            tenant: TenantId::from("t"),
            connection: "c".into(),
            assignment: "as".into(),
            version: "v".into(),
            sequence: Sequence(5),
            effect_key: "5/as/x~9".into(),
            author_key: key.map(str::to_owned),
            lane: "l".into(),
            contact: None,
            cause: Cause::Live,
            op: effect.op.as_str(),
            class: None,
            makes: effect.op.makes(),
            content: serde_json::to_string(effect).unwrap(),
            asked: None,
            after_key: None,
            state: "waiting",
            detail: None,
            at: Timestamp::default(),
        }
    }

    fn task(fields: &[(&str, &str)]) -> RemoteEffect {
        let fields =
            fields.iter().map(|(name, value)| ((*name).into(), Value::Text((*value).into()))).collect();
        RemoteEffect { op: RemoteOp::CreateTask, contact: None, object: None, fields, rankr_id: None }
    }

    fn rerun(prior: Vec<PriorEffect>) -> Rerun {
        Rerun::for_test(RerunKind::Reprocess, prior)
    }

    #[test]
    fn what_was_done_is_not_done_again_and_what_is_left_is_listed() {
        let asked = task(&[("title", "Call")]);
        let content = serde_json::to_value(&asked).unwrap();
        let rerun = rerun(vec![
            prior(1, Some("task"), &content),
            prior(2, None, &content),
            prior(3, None, &json!({"op": "add_tags", "fields": {"tags": ["vip"]}})),
        ]);
        let mut comparison = Comparison::default();
        let keyed = comparison.judge(&rerun, &row(Some("task"), &asked), Some(&asked));
        assert!(matches!(keyed, Verdict::Done(key) if key == "5/as/task"));
        let plain = comparison.judge(&rerun, &row(None, &asked), Some(&asked));
        assert!(matches!(plain, Verdict::Done(_)));
        // The same once more is one more.
        let third = comparison.judge(&rerun, &row(None, &asked), Some(&asked));
        assert!(matches!(third, Verdict::Perform));
        comparison.close(&rerun, &"as".into());
        let left: Vec<_> = comparison.no_longer_asked_for.iter().map(|it| it.done).collect();
        assert_eq!((left, comparison.equal.len(), comparison.new.len()), (vec![Some(3)], 2, 1));
    }

    #[test]
    fn a_changed_create_becomes_an_update_of_what_it_made_however_often() {
        let was = task(&[("title", "Call"), ("body", "soon")]);
        let now = task(&[("title", "Call back"), ("due", "2026-01-01T00:00:00Z")]);
        let first = prior(1, Some("task"), &serde_json::to_value(&was).unwrap());
        let mut comparison = Comparison::default();
        let verdict = comparison.judge(&rerun(vec![first.clone()]), &row(Some("task"), &now), Some(&now));
        let Verdict::Update(update, maker) = verdict else { panic!("no update") };
        assert_eq!(maker, "5/as/task");
        assert_eq!((update.op, &update.object), (RemoteOp::UpdateTask, &Some(Target::MadeBy(maker))));
        let fields = serde_json::to_value(&update.fields).unwrap();
        assert_eq!(fields, json!({"title": "Call back", "due": "2026-01-01T00:00:00Z", "body": null}));
        // Reprocessed again the same plan asks for nothing more; another one updates the same object.
        let mut second = prior(2, Some("task"), &serde_json::to_value(&*update).unwrap());
        second.effect_key = "5/as/task~9".into();
        second.asked = serde_json::to_string(&now).unwrap();
        let again = rerun(vec![first, second]);
        let mut comparison = Comparison::default();
        let verdict = comparison.judge(&again, &row(Some("task"), &now), Some(&now));
        assert!(matches!(verdict, Verdict::Done(key) if key == "5/as/task"));
        let other = task(&[("title", "Visit"), ("due", "2026-01-01T00:00:00Z")]);
        let mut comparison = Comparison::default();
        let verdict = comparison.judge(&again, &row(Some("task"), &other), Some(&other));
        assert!(matches!(verdict, Verdict::Update(update, key)
            if key == "5/as/task" && update.fields == Fields::from([("title".into(), Value::Text("Visit".into()))])));
    }

    #[test]
    fn what_failed_before_is_asked_for_anew() {
        let asked = task(&[("title", "Call")]);
        let mut failed = prior(1, Some("task"), &serde_json::to_value(&asked).unwrap());
        failed.state = "refused".into();
        let mut comparison = Comparison::default();
        let verdict = comparison.judge(&rerun(vec![failed]), &row(Some("task"), &asked), Some(&asked));
        assert!(matches!(verdict, Verdict::Perform));
        assert_eq!(comparison.new.len(), 1);
    }

    #[test]
    fn a_key_is_found_in_its_effects_key() {
        assert_eq!(author_of("5/as/task"), Some("task"));
        assert_eq!(author_of("5/as/a/b~2~17"), Some("a/b~2"));
        assert_eq!(author_of("5/as/a~b"), Some("a~b"));
        assert_eq!(author_of("nothing"), None);
    }
}
