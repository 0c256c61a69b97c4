//! A reaction that asks for more than it may: too many effects, too large ones, some that it was not granted, reads
//! without end. The contact's first name, or else the event's type, says which.

use mapwright_sdk::{
    Action, Capability, Effects, Entry, Event, NoteDraft, Plugin, Reaction, ReadError, Record, RunError,
    Scope, StateError, Target, crm, export_plugin, log, state,
};

/// The plugin.
pub struct Greedy;

impl Plugin for Greedy {
    type Config = ();
    const NAME: &'static str = "greedy";
    const VERSION: &'static str = "0.1.0";
    const SUMMARY: &'static str = "Asks for more than it may.";
    const EVENTS: &'static [&'static str] = &["*"];
    const CAPABILITIES: &'static [Capability] = &[
        Capability::optional("crm.contacts.read", "Reads without end."),
        Capability::optional("crm.tasks.read", "Is not granted it."),
        Capability::optional("crm.notes.write", "Asks for too many notes."),
        Capability::optional("rankr.timeline", "Says what it was denied."),
        Capability::optional("state.contact", "Remembers too much."),
        Capability::optional("state.tenant", "Is not granted it."),
    ];
}

export_plugin!(Greedy: reaction);

impl Reaction for Greedy {
    fn react(event: &Event, _: Option<&Record>, _: Option<&Record>, _: &()) -> Result<Effects, RunError> {
        let asked = event.contact().and_then(|contact| contact.text("firstName"));
        let none = Effects::none();
        match asked.unwrap_or(&event.event_type) {
            "flood-effects" => Ok(flood(101)),
            "huge-note" => Ok(none.and(NoteDraft::new("x".repeat(40 * 1024)))),
            "twice-one-key" => Ok(none.keyed("a", NoteDraft::new("a")).keyed("a", NoteDraft::new("b"))),
            "ungranted-effect" => Ok(none.and(Action::DeleteContact(Target::Ghl("somebody".to_owned())))),
            "ungranted-read" => Ok(none.and(Entry::new("denied", ungranted_read()))),
            "ungranted-state" => Ok(none.and(Entry::new("denied", ungranted_state()))),
            "read-forever" => read_forever(),
            "remember-forever" => remember_forever(),
            "large-value" => Ok(none.and(Entry::new("denied", large_value()))),
            _ => Ok(none),
        }
    }
}

fn flood(count: usize) -> Effects {
    (0..count).fold(Effects::none(), |effects, number| effects.and(NoteDraft::new(format!("note {number}"))))
}

fn ungranted_read() -> String {
    match crm::tasks("somebody") {
        Err(ReadError::Denied(capability)) => capability,
        other => format!("{other:?}"),
    }
}

fn ungranted_state() -> String {
    match state::get(Scope::Tenant, "key") {
        Err(StateError::Denied(capability)) => capability,
        other => format!("{other:?}"),
    }
}

fn large_value() -> String {
    match state::set(Scope::Contact, "key", Some(&[0; 65 * 1024])) {
        Err(StateError::TooLarge(_)) => "too large".to_owned(),
        other => format!("{other:?}"),
    }
}

fn read_forever() -> ! {
    let mut number = 0_u64;
    loop {
        number += 1;
        if crm::contact(&format!("contact{number:013}")).is_err() {
            log::info("refused");
        }
    }
}

fn remember_forever() -> Result<Effects, RunError> {
    for number in 0..1000 {
        if let Err(StateError::TooLarge(why)) =
            state::set(Scope::Contact, &format!("key {number}"), Some(b"x"))
        {
            return Err(RunError::unmappable(format!("after {number} values: {why}")));
        }
    }
    Ok(Effects::none())
}
