//! A guest that does what a `rankr.act` event tells it, for the tests of effects, state and schedules.

use mapwright_sdk::{
    Action, Capability, ContactDraft, Effects, Entry, Event, NoteDraft, Plugin, Reaction, Record, RunError,
    Schedule, Scope, TagsWrite, Target, TaskDraft, WorkflowRun, export_plugin, state,
};

/// The plugin.
pub struct Actor;

const EVERYTHING: &[&str] = &[
    "crm.contacts.read",
    "crm.tasks.read",
    "crm.notes.read",
    "crm.appointments.read",
    "crm.contacts.write",
    "crm.tasks.write",
    "crm.notes.write",
    "crm.tags.write",
    "crm.appointments.write",
    "crm.workflows.run",
    "crm.call",
    "rankr.read",
    "rankr.write",
    "rankr.timeline",
    "rankr.events",
    "state.contact",
    "state.tenant",
    "schedule",
];

const fn all() -> [Capability; EVERYTHING.len()] {
    let mut asked = [Capability::optional("", "To be tested."); EVERYTHING.len()];
    let mut at = 0;
    while at < EVERYTHING.len() {
        #[expect(clippy::indexing_slicing, reason = "both have the same length")]
        {
            asked[at].name = EVERYTHING[at];
        }
        at += 1;
    }
    asked
}

impl Plugin for Actor {
    type Config = ();
    const NAME: &'static str = "actor";
    const VERSION: &'static str = "0.1.0";
    const SUMMARY: &'static str = "Does what an event tells it.";
    const EVENTS: &'static [&'static str] = &[
        "rankr.act",
        "schedule",
        "NoteCreate",
        "TaskComplete",
        "effect-done",
        "effect-failed",
        "CampaignStatusUpdate",
        "ConversationUnreadUpdate",
        "ConversationUpdate",
        "InboundMessage",
        "OutboundMessage",
        "InvoiceCreate",
        "InvoicePaid",
        "InvoiceVoid",
        "OpportunityCreate",
        "OpportunityStageUpdate",
        "OpportunityDelete",
        "OrderCreate",
        "OrderStatusUpdate",
        "VoiceAiCallEnd",
    ];
    const CAPABILITIES: &'static [Capability] = &all();
}

#[derive(serde::Deserialize)]
struct Told {
    #[serde(default)]
    data: Asked,
}

#[derive(Default, serde::Deserialize)]
struct Asked {
    #[serde(rename = "do", default)]
    what: String,
    #[serde(default)]
    text: String,
}

impl Reaction for Actor {
    fn react(
        event: &Event,
        _before: Option<&Record>,
        _after: Option<&Record>,
        _config: &(),
    ) -> Result<Effects, RunError> {
        let told: Told =
            serde_json::from_str(&event.raw).map_err(|error| RunError::unmappable(error.to_string()))?;
        let text = told.data.text;
        match event.event_type.as_str() {
            "rankr.act" => act(event, &told.data.what, &text),
            other => Ok(Effects::none().and(Entry::new("saw", format!("saw {other}")))),
        }
    }
}

export_plugin!(Actor: reaction);

/// The tenant's word; `one` until it is set.
fn word() -> Result<String, RunError> {
    let known =
        state::get(Scope::Tenant, "word").map_err(|error| RunError::unmappable(format!("{error:?}")))?;
    Ok(known.map_or_else(|| "one".to_owned(), |bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

fn act(event: &Event, what: &str, text: &str) -> Result<Effects, RunError> {
    let effects = Effects::none();
    Ok(match what {
        "note" => effects.keyed("note", NoteDraft::new(text)),
        "task" => effects.keyed("task", TaskDraft::new(text, event.now + 86_400_000)),
        "tag" => effects.and(Action::AddTags(TagsWrite::new([text]))),
        "workflow" => effects.and(Action::StartWorkflow(WorkflowRun {
            contact: None,
            workflow_id: text.to_owned(),
            at: None,
        })),
        "chain" => effects
            .keyed("task", TaskDraft::new(text, event.now + 86_400_000))
            .and(Action::CompleteTask(Target::MadeBy("task".to_owned()))),
        "complete-made" => effects.and(Action::CompleteTask(Target::MadeBy("task".to_owned()))),
        "complete-nothing" => effects.and(Action::CompleteTask(Target::MadeBy("never".to_owned()))),
        "loop" => {
            (0..21).fold(effects, |effects, number| effects.and(NoteDraft::new(format!("{text} {number}"))))
        }
        "flood" => {
            (0..101).fold(effects, |effects, number| effects.and(NoteDraft::new(format!("{text} {number}"))))
        }
        // What it does hangs on a word of the tenant's: the next time the same event asks for something else.
        "say" => {
            let word = word()?;
            effects
                .keyed("note", NoteDraft::new(format!("{text} {word}")))
                .and(Action::AddTags(TagsWrite::new([word.clone()])))
                .and(Entry::new("said", word))
        }
        "when-ready" => match word()?.as_str() {
            "ready" => effects.keyed("note", NoteDraft::new(text)),
            other => return Err(RunError::unmappable(format!("the word is {other:?}, not ready"))),
        },
        "word" => {
            state::set(Scope::Tenant, "word", Some(text.as_bytes()))
                .map_err(|error| RunError::unmappable(format!("{error:?}")))?;
            effects
        }
        "contact" => effects.keyed("contact", Action::CreateContact(ContactDraft::new([("email", text)]))),
        "contact-note" => {
            let mut note = NoteDraft::new("Welcome");
            note.contact = Some(Target::MadeBy("contact".to_owned()));
            effects
                .keyed("contact", Action::CreateContact(ContactDraft::new([("email", text)])))
                .keyed("welcome", note)
        }
        "later" => effects.and(Schedule::new(text, event.now + 60_000)),
        "count" => {
            let known = state::get(Scope::Tenant, "count").ok().flatten().unwrap_or_default();
            let count = String::from_utf8_lossy(&known).parse::<u64>().unwrap_or(0) + 1;
            state::set(Scope::Tenant, "count", Some(count.to_string().as_bytes()))
                .map_err(|error| RunError::unmappable(format!("{error:?}")))?;
            effects.and(Entry::new("count", count.to_string()))
        }
        other => return Err(RunError::unmappable(format!("nobody knows how to {other:?}"))),
    })
}
