//! Keeps tasks of Rankr and GHL in step, and acts on tags, changes and Rankr's events.
//!
//! | what happens | what it asks for |
//! |---|---|
//! | `rankr.task-created` `{task_id, title, body?, due}` | a Rankr task record, and a GHL task linked with it |
//! | `rankr.task-updated` `{task_id, title?, body?, due?}` | the record and the GHL task changed |
//! | `rankr.task-closed` `{task_id}` | the record closed, the GHL task completed |
//! | `rankr.activity` `{text}` | a GHL note |
//! | a tag of the configuration is added | a GHL task, and a look back later: `schedule` |
//! | `schedule` | a note if the task is still open |
//! | a watched field changes | a note that says so |
//! | `TaskComplete` | the linked Rankr task closed, Rankr told |
//! | `timing.task-due`, `timing.appointment-upcoming` | a timeline entry |
//! | `timing.task-overdue` | a timeline entry, and a note if the configuration wants one |
//! | `timing.contact-idle` | a GHL task to follow up, once for each time the contact is idle |

use mapwright_sdk::{
    Action, Capability, Effects, Entry, Event, NoteDraft, Object, ObjectKind, Plugin, RankrEvent, RankrTask,
    Reaction, Record, RecordWrite, RunError, Schedule, Scope, Target, TaskDraft, TaskWrite, Value, crm,
    export_plugin, rankr, state,
};
use std::collections::BTreeMap;

/// What the person who activates the plugin chooses.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Tags that call for a task: the tag to the task's title.
    #[serde(default)]
    pub tag_tasks: BTreeMap<String, String>,
    /// Days a task made for a tag is due after the tag was added; 3 if not given.
    #[serde(default = "three")]
    pub due_days: u16,
    /// Contact fields whose change is noted in GHL, by GHL's names.
    #[serde(default)]
    pub noted_fields: Vec<String>,
    /// Whether a task that is overdue is noted in GHL too, not only in the timeline.
    #[serde(default)]
    pub note_overdue: bool,
    /// The title of the task that follows up a contact with which nothing happened for a while; none is made if not
    /// given.
    #[serde(default)]
    pub idle_task: Option<String>,
}

fn three() -> u16 {
    3
}

/// The plugin.
pub struct TaskReactions;

const DAY: i64 = 24 * 3_600_000;

impl Plugin for TaskReactions {
    type Config = Config;
    const NAME: &'static str = "task-reactions";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str =
        "Keeps tasks of Rankr and GHL in step, and makes tasks and notes of what happens.";
    const EVENTS: &'static [&'static str] = &[
        "rankr.task-created",
        "rankr.task-updated",
        "rankr.task-closed",
        "rankr.activity",
        "schedule",
        "ContactTagUpdate",
        "ContactUpdate",
        "TaskComplete",
        "effect-failed",
        "timing.task-due",
        "timing.task-overdue",
        "timing.appointment-upcoming",
        "timing.contact-idle",
    ];
    const CAPABILITIES: &'static [Capability] = &[
        Capability::required("crm.tasks.write", "Creates, changes and completes GHL tasks."),
        Capability::required("crm.notes.write", "Logs what happened as GHL notes."),
        Capability::required("crm.tasks.read", "Looks whether a task is still open before it reminds of it."),
        Capability::required("rankr.read", "Finds the Rankr task of a GHL task."),
        Capability::required("rankr.write", "Keeps Rankr's task records."),
        Capability::required(
            "rankr.timeline",
            "Says in the timeline what is due and what could not be done.",
        ),
        Capability::required("rankr.events", "Tells Rankr of completed tasks."),
        Capability::required("schedule", "Looks back at the tasks it made."),
        Capability::required("state.contact", "Remembers for which tags and idle times it made a task."),
    ];
}

impl Reaction for TaskReactions {
    fn react(
        event: &Event,
        _before: Option<&Record>,
        after: Option<&Record>,
        config: &Config,
    ) -> Result<Effects, RunError> {
        match event.event_type.as_str() {
            "rankr.task-created" => created(event),
            "rankr.task-updated" => updated(event),
            "rankr.task-closed" => closed(event),
            "rankr.activity" => activity(event),
            "schedule" => look_back(event),
            "TaskComplete" => Ok(completed(event, after)),
            "effect-failed" => Ok(failed(event)),
            "timing.contact-idle" => idle(event, config),
            timing if timing.starts_with("timing.") => due(event, config),
            _ => Ok(contact_changed(event, config)),
        }
    }
}

export_plugin!(TaskReactions: reaction);

/// The data of an event from Rankr.
fn data<T: serde::de::DeserializeOwned>(event: &Event) -> Result<T, RunError> {
    #[derive(serde::Deserialize)]
    struct Told<T> {
        data: T,
    }
    serde_json::from_str::<Told<T>>(&event.raw)
        .map(|told| told.data)
        .map_err(|error| RunError::unmappable(format!("the event's data is not as agreed: {error}")))
}

#[derive(serde::Deserialize)]
struct NewTask {
    task_id: String,
    title: String,
    #[serde(default)]
    body: Option<String>,
    /// Milliseconds since 1970.
    due: i64,
}

fn created(event: &Event) -> Result<Effects, RunError> {
    let task: NewTask = data(event)?;
    let mut draft = TaskDraft::new(&task.title, task.due).linked(&task.task_id);
    draft.body.clone_from(&task.body);
    let record = RankrTask {
        id: task.task_id,
        title: task.title,
        body: task.body,
        due: Some(task.due),
        completed: false,
    };
    Ok(Effects::none().and(record).keyed("task", draft))
}

#[derive(serde::Deserialize)]
struct ChangedTask {
    task_id: String,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    body: Option<String>,
    /// Milliseconds since 1970.
    #[serde(default)]
    due: Option<i64>,
}

fn updated(event: &Event) -> Result<Effects, RunError> {
    let task: ChangedTask = data(event)?;
    let mut fields: Vec<(&str, Value)> = Vec::new();
    fields.extend(task.title.clone().map(|title| ("title", Value::from(title))));
    fields.extend(task.body.clone().map(|body| ("body", Value::from(body))));
    let fields = fields
        .into_iter()
        .map(|(name, value)| mapwright_sdk::Field { name: name.to_owned(), value })
        .collect();
    let record = RecordWrite { kind: ObjectKind::Task, id: Some(task.task_id.clone()), fields };
    let mut write = TaskWrite::new(Target::Rankr(task.task_id));
    (write.title, write.body, write.due) = (task.title, task.body, task.due);
    Ok(Effects::none().and(record).and(write))
}

#[derive(serde::Deserialize)]
struct ClosedTask {
    task_id: String,
}

fn closed(event: &Event) -> Result<Effects, RunError> {
    let task: ClosedTask = data(event)?;
    Ok(Effects::none()
        .and(Action::CloseRankrTask(task.task_id.clone()))
        .and(Action::CompleteTask(Target::Rankr(task.task_id))))
}

#[derive(serde::Deserialize)]
struct Activity {
    text: String,
}

fn activity(event: &Event) -> Result<Effects, RunError> {
    let activity: Activity = data(event)?;
    Ok(Effects::none().keyed("note", NoteDraft::new(activity.text)))
}

/// A GHL task is done: so is Rankr's.
fn completed(event: &Event, after: Option<&Record>) -> Effects {
    let Some(task) = event.object_of(ObjectKind::Task) else { return Effects::none() };
    let linked = match after {
        Some(record) => Some(record.id.clone()),
        None => rankr::rankr_id(ObjectKind::Task, &task.id).ok().flatten(),
    };
    let Some(id) = linked else { return Effects::none() };
    let told = RankrEvent {
        event_type: "rankr.task-completed-in-ghl".to_owned(),
        data: serde_json::json!({"task_id": id}).to_string(),
    };
    Effects::none().and(Action::CloseRankrTask(id)).and(told)
}

/// Tags that call for a task, and fields whose change is noted.
fn contact_changed(event: &Event, config: &Config) -> Effects {
    let mut effects = Effects::none();
    let Some(contact) = event.contact() else { return effects };
    if contact.changed("tags") {
        for (tag, title) in &config.tag_tasks {
            react_to_tag(event, contact, config, (tag, title), &mut effects);
        }
    }
    let noted: Vec<&str> =
        config.noted_fields.iter().map(String::as_str).filter(|field| contact.changed(field)).collect();
    if !noted.is_empty() && event.event_type == "ContactUpdate" {
        effects.add(NoteDraft::new(format!("Changed: {}", noted.join(", "))));
    }
    effects
}

fn react_to_tag(
    event: &Event,
    contact: &Object,
    config: &Config,
    (tag, title): (&str, &str),
    effects: &mut Effects,
) {
    let has = contact.get("tags").and_then(Value::as_texts).is_some_and(|tags| tags.contains(&tag));
    let key = format!("tag:{tag}");
    let had = state::get(Scope::Contact, &key).ok().flatten().is_some();
    // A tag that was there all along calls for nothing; what was remembered keeps one that comes twice from two tasks.
    if contact.gained("tags").contains(&tag) && !had && state::set(Scope::Contact, &key, Some(b"1")).is_ok() {
        let due = event.now + i64::from(config.due_days) * DAY;
        let made = std::mem::take(effects).keyed(&key, TaskDraft::new(title, due));
        *effects = made;
        let mut later = Schedule::new(&key, due + DAY);
        later.data = serde_json::json!({"title": title}).to_string();
        effects.add(later);
    } else if !has && had && state::set(Scope::Contact, &key, None).is_ok() {
        effects.add(Action::CancelSchedule(key));
    }
}

#[derive(serde::Deserialize)]
struct Later {
    title: String,
}

/// A task that was made for a tag should be done by now.
fn look_back(event: &Event) -> Result<Effects, RunError> {
    let later: Later = data(event)?;
    let Some(contact) = &event.contact_id else { return Ok(Effects::none()) };
    let Ok(tasks) = crm::tasks(contact) else { return Ok(Effects::none()) };
    let open = tasks.iter().any(|task| {
        task.text("title") == Some(&later.title)
            && task.get("completed").and_then(Value::as_boolean) != Some(true)
    });
    if open {
        Ok(Effects::none().and(NoteDraft::new(format!("Still open: {}", later.title))))
    } else {
        Ok(Effects::none())
    }
}

/// Something could not be done in GHL: whoever reads the timeline should know.
fn failed(event: &Event) -> Effects {
    #[derive(serde::Deserialize)]
    struct Told {
        effect: Failed,
    }
    #[derive(serde::Deserialize)]
    struct Failed {
        op: String,
        #[serde(default)]
        detail: Option<String>,
    }
    let Ok(told) = serde_json::from_str::<Told>(&event.raw) else { return Effects::none() };
    let title = format!("Not done in GHL: {} ({})", told.effect.op, told.effect.detail.unwrap_or_default());
    Effects::none().and(Entry::new("not-done", title))
}

/// What a timing rule tells.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Timing {
    #[serde(default)]
    object: Option<TimedObject>,
    #[serde(default)]
    last_activity: Option<String>,
}

#[derive(serde::Deserialize)]
struct TimedObject {
    fields: TimedFields,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct TimedFields {
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    due_date: Option<String>,
    #[serde(default)]
    start_time: Option<String>,
}

fn timing(event: &Event) -> Result<Timing, RunError> {
    serde_json::from_str(&event.raw)
        .map_err(|error| RunError::unmappable(format!("the timing event is not as agreed: {error}")))
}

/// A task or an appointment whose time has come.
fn due(event: &Event, config: &Config) -> Result<Effects, RunError> {
    let Some(TimedObject { fields }) = timing(event)?.object else { return Ok(Effects::none()) };
    let title = fields.title.unwrap_or_else(|| "without a title".to_owned());
    let when = fields.due_date.or(fields.start_time).map(|at| format!(" ({at})")).unwrap_or_default();
    let (kind, said) = match event.event_type.as_str() {
        "timing.task-overdue" => ("task-overdue", "Overdue"),
        "timing.appointment-upcoming" => ("appointment-upcoming", "Appointment"),
        _ => ("task-due", "Due"),
    };
    let sentence = format!("{said}: {title}{when}");
    let mut effects = Effects::none().and(Entry::new(kind, &sentence));
    if kind == "task-overdue" && config.note_overdue {
        effects.add(NoteDraft::new(sentence));
    }
    Ok(effects)
}

/// A contact with which nothing happened: one task for each such time, however many rules tell of it.
fn idle(event: &Event, config: &Config) -> Result<Effects, RunError> {
    let Some(title) = &config.idle_task else { return Ok(Effects::none()) };
    let since = timing(event)?.last_activity.unwrap_or_default();
    let told = state::get(Scope::Contact, "idle").ok().flatten();
    if told.as_deref() == Some(since.as_bytes())
        || state::set(Scope::Contact, "idle", Some(since.as_bytes())).is_err()
    {
        return Ok(Effects::none());
    }
    let due = event.now + i64::from(config.due_days) * DAY;
    Ok(Effects::none().keyed("idle", TaskDraft::new(title, due)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mapwright_sdk::testing::{answer_id, answer_objects, contact_event, event, prepared};

    fn react(event: &Event, config: &str) -> Vec<Action> {
        let config = prepared::<TaskReactions>(config).unwrap();
        TaskReactions::react(event, None, None, &config).unwrap().actions().cloned().collect()
    }

    fn told(event_type: &str, data: &str) -> Event {
        let mut event = contact_event(event_type);
        event.object = None;
        event.raw = format!(r#"{{"type":"{event_type}","data":{data}}}"#);
        event
    }

    #[test]
    fn a_rankr_task_becomes_a_linked_ghl_task() {
        let actions = react(&told("rankr.task-created", r#"{"task_id":"t1","title":"Call","due":5}"#), "{}");
        assert!(matches!(&actions[0], Action::UpsertRankrTask(task) if task.id == "t1" && !task.completed));
        assert!(
            matches!(&actions[1], Action::CreateTask(draft) if draft.rankr_id.as_deref() == Some("t1") && draft.due == 5)
        );
        let closed = react(&told("rankr.task-closed", r#"{"task_id":"t1"}"#), "{}");
        assert!(matches!(&closed[1], Action::CompleteTask(Target::Rankr(id)) if id == "t1"));
    }

    #[test]
    fn a_completed_ghl_task_closes_its_rankr_task_and_no_other() {
        let done = event("TaskComplete", ObjectKind::Task);
        assert!(react(&done, "{}").is_empty());
        answer_id("rankr-id task contact0000000000001", "t9");
        let actions = react(&done, "{}");
        assert_eq!(actions[0], Action::CloseRankrTask("t9".into()));
        assert!(matches!(&actions[1], Action::SendRankrEvent(_)));
    }

    #[test]
    fn a_tag_makes_a_task_once_until_it_is_taken_away() {
        let config = r#"{"tag_tasks":{"vip":"Welcome"},"due_days":1}"#;
        let tagged = contact_event("ContactTagUpdate").with("tags", vec!["vip".to_owned()]);
        let actions = react(&tagged, config);
        assert!(matches!(&actions[0], Action::CreateTask(draft) if draft.due == tagged.now + DAY));
        assert!(matches!(&actions[1], Action::Schedule(later) if later.key == "tag:vip"));
        assert!(react(&tagged, config).is_empty());
        let plain = contact_event("ContactTagUpdate").with("tags", Vec::<String>::new());
        assert_eq!(react(&plain, config), [Action::CancelSchedule("tag:vip".into())]);
        assert_eq!(react(&tagged, config).len(), 2);
        let all_along = contact_event("ContactUpdate")
            .was("tags", vec!["vip".to_owned()])
            .with("tags", vec!["new".to_owned(), "vip".to_owned()]);
        react(&plain, config);
        assert!(react(&all_along, config).is_empty());
    }

    #[test]
    fn it_reminds_only_of_what_is_open() {
        let due = told("schedule", r#"{"title":"Welcome"}"#);
        assert!(react(&due, "{}").is_empty());
        let task =
            event("x", ObjectKind::Task).with("title", "Welcome").with("completed", false).object.unwrap();
        answer_objects("tasks contact0000000000001", vec![task]);
        assert!(matches!(&react(&due, "{}")[0], Action::CreateNote(note) if note.body.contains("Welcome")));
    }

    #[test]
    fn watched_fields_are_noted_and_wrong_data_is_said() {
        let changed = contact_event("ContactUpdate").with("phone", "+15550100").with("city", "Ulm");
        let actions = react(&changed, r#"{"noted_fields":["phone"]}"#);
        assert!(matches!(&actions[0], Action::CreateNote(note) if note.body == "Changed: phone"));
        let config = prepared::<TaskReactions>("{}").unwrap();
        let wrong = told("rankr.task-created", r#"{"title":"Call"}"#);
        assert!(
            matches!(TaskReactions::react(&wrong, None, None, &config), Err(RunError::Unmappable(why)) if why.contains("task_id"))
        );
    }

    fn timed(event_type: &str, rest: &str) -> Event {
        let mut event = contact_event(event_type);
        event.object = None;
        event.raw = format!(r#"{{"type":"{event_type}","slot":"2026-01-05T00:00:00Z",{rest}}}"#);
        event
    }

    #[test]
    fn what_is_due_is_said_and_overdue_tasks_are_noted_if_wanted() {
        let task = r#""object":{"kind":"task","id":"t","fields":{"title":"Call","dueDate":"2026-01-05"}}"#;
        let overdue = timed("timing.task-overdue", task);
        let said = Entry::new("task-overdue", "Overdue: Call (2026-01-05)");
        assert_eq!(react(&overdue, "{}"), [Action::AddEntry(said)]);
        let noted = react(&overdue, r#"{"note_overdue":true}"#);
        assert!(matches!(&noted[1], Action::CreateNote(note) if note.body == "Overdue: Call (2026-01-05)"));
        let soon = timed("timing.appointment-upcoming", r#""object":{"fields":{"title":"Visit"}}"#);
        assert!(
            matches!(&react(&soon, "{}")[..], [Action::AddEntry(entry)] if entry.title == "Appointment: Visit")
        );
    }

    #[test]
    fn an_idle_contact_gets_one_task_for_each_idle_time() {
        let idle = |since: &str| timed("timing.contact-idle", &format!(r#""lastActivity":"{since}""#));
        assert!(react(&idle("2026-01-01"), "{}").is_empty());
        let config = r#"{"idle_task":"Follow up","due_days":2}"#;
        let first = idle("2026-01-01");
        let actions = react(&first, config);
        assert!(
            matches!(&actions[..], [Action::CreateTask(task)] if task.title == "Follow up" && task.due == first.now + 2 * DAY)
        );
        assert!(react(&first, config).is_empty());
        assert_eq!(react(&idle("2026-03-01"), config).len(), 1);
    }
}
