//! What an author wants to know beside the types: events, fields, capabilities, keys, state, tests.
//!
//! # Cargo.toml
//! ```toml
//! [package]
//! name = "my-plugin"
//! version = "0.1.0"
//! edition = "2024"
//!
//! [lib]
//! crate-type = ["cdylib", "rlib"]    # cdylib is the plugin, rlib is for its native tests
//!
//! [dependencies]
//! mapwright-sdk = { path = "…/plugin-sdk" }
//! schemars = { version = "1", default-features = false, features = ["derive", "std"] }
//! serde = { version = "1", features = ["derive"] }
//! ```
//! `mapwright plugin build FOLDER` makes the `.wasm`, `mapwright plugin check FILE` says whether a host would take it.
//! The check runs nothing, so it can't see which actions a run will ask for: an action whose capability was not granted
//! fails its run, which then has done nothing and is told to people as a dead letter.
//!
//! # Configuration
//! The struct's `serde` and `schemars` derives are the form and its check. With `#[serde(deny_unknown_fields)]` a
//! misspelt key is refused instead of ignored; `#[serde(default)]` makes a field optional. What types can't say goes
//! into [`Plugin::check`](crate::Plugin::check). Each mistake carries the JSON Pointer of its place.
//!
//! # Events
//! | about | event types |
//! |---|---|
//! | contacts | `ContactCreate`, `ContactUpdate`, `ContactDelete`, `ContactTagUpdate`, `ContactDndUpdate` |
//! | tasks | `TaskCreate`, `TaskUpdate`, `TaskComplete`, `TaskDelete` |
//! | notes | `NoteCreate`, `NoteUpdate`, `NoteDelete` |
//! | appointments | `AppointmentCreate`, `AppointmentUpdate`, `AppointmentDelete` |
//! | opportunities | `OpportunityCreate`, `OpportunityUpdate`, `OpportunityStatusUpdate`, `OpportunityStageUpdate`, `OpportunityDelete` |
//! | messages | `InboundMessage`, `OutboundMessage` |
//! | time | `timing.contact-idle`, `timing.task-due`, `timing.task-overdue`, `timing.appointment-upcoming`, `timing.cron` |
//! | Rankr | whatever Rankr sends; it begins with `rankr.` |
//! | this plugin | `schedule` (a later run it asked for), `effect-done`, `effect-failed` (what became of an effect of its) |
//!
//! Every type that GHL documents can be named, and `*` wants all. GHL may tell of new tags by `ContactTagUpdate`, by
//! `ContactUpdate` or by both: name both, and look at what changed. It tells of changed tasks by no webhook, so
//! `TaskUpdate` comes only from connections that are polled. `plugin check` notes names that nobody knows.
//!
//! A plugin is run once for each event it wants, one at a time for each contact, in the order in which the host got
//! them. Adjacent events that tell the whole of one and the same object (`ContactCreate`, `ContactUpdate`,
//! `AppointmentCreate`, `AppointmentUpdate`) may come as one run, with the type of the newest and the changes of all;
//! events of different objects never do.
//!
//! Mappings see every cause. Reactions don't see [`Backfill`](crate::Cause::Backfill) or
//! [`Test`](crate::Cause::Test), so an import welcomes nobody; nor events that are only echo (below) or that tell what a
//! newer one has overtaken. What was imported when a connection was new comes as `…Create` with that cause.
//!
//! # Times and ids
//! [`source_time`](crate::Event#structfield.source_time) is when it happened, by its source's clock; an event may come
//! after a later one, so it may go back from run to run. Count with it what happened in a period.
//! [`now`](crate::Event#structfield.now) is the time of the run, newer in each repetition; use it for what is to come, such
//! as due dates. The event's [`id`](crate::Event#structfield.id) stays the same in every repetition, also when people have
//! the event run again.
//!
//! # What the event itself said
//! [`raw`](crate::Event#structfield.raw) is JSON. Of GHL's events it is GHL's own body. Of the others:
//! - from Rankr: `{"type": "rankr.…", "data": …}`, the data as Rankr sent it
//! - `schedule`: `{"key": "…", "data": …}`, the key and data that were asked for
//! - `effect-done`, `effect-failed`: `{"effect": {"key", "op", "state", "detail", "id"}}`: the author's key or null, the
//!   action's name such as `create_task`, `done`, `refused` (GHL, or the host, said no for good) or `dead` (tried until
//!   time was up), why it failed, GHL's id of what it made. It belongs to the same contact as the effect, and is about
//!   no object
//! - timing: `{"rule": {"id", "kind"}, "slot", "lastActivity", "object": {"kind", "id", "fields"}}`, the task or
//!   appointment whose time has come
//!
//! # Fields of an object
//! [`Object::fields`](crate::Object#structfield.fields) is the whole object as the host knows it, whatever part the event
//! itself brought. Names are GHL's:
//! a contact has `firstName`, `lastName`, `name`, `email`, `phone`, `address1`, `city`, `state`, `country`, `postalCode`,
//! `companyName`, `website`, `source`, `timezone`, `dateOfBirth`, `dateAdded`, `assignedTo`, `tags`, `dnd` and
//! `customFields.ID` for each custom field; a task `title`, `body`, `dueDate`, `completed`, `assignedTo`, `contactId`;
//! a note `body`, `userId`, `contactId`; an appointment `title`, `startTime`, `endTime`, `appointmentStatus`,
//! `calendarId`, `contactId`. GHL adds to them, so take what you need and let the rest be.
//!
//! - `tags` is [`Value::Texts`](crate::Value::Texts), as GHL stores it; compare without case. Without tags it is an empty
//!   list, null, or not known, and [`gained`](crate::Object::gained) and [`lost`](crate::Object::lost) take all three as
//!   no tags.
//! - Times are as GHL sends them: mostly RFC 3339; the appointments that [`crm::appointments`](crate::crm::appointments)
//!   lists may have `2026-01-02 11:00:00` without a zone, which `contact-profile` takes as UTC.
//! - A custom field has the type that GHL sends for it: a number may come as a number or as text
//!   ([`as_integer`](crate::Value::as_integer) takes both).
//! - `None` from [`get`](crate::Object::get) means that the host does not know the field,
//!   [`Value::Null`](crate::Value::Null) that it is known to be empty. When GHL leaves out a contact's field that had a
//!   value, the host asks GHL, and the field becomes null if it is gone. Empty text is passed on as empty text: treat
//!   it as you treat null.
//! - [`changed`](crate::Object::changed) says whether this event changed the field; [`previous`](crate::Object::previous)
//!   what it was. The first event that the host gets of an object changes all it brings, and nothing was before.
//! - A change is *echo* when it only repeats what the host wrote to GHL, for this plugin or any other. The methods leave
//!   echo out; the list `changed` does not. An event that is nothing but echo reaches no reaction at all. So what another
//!   plugin changed through the host is seen at the next event: where that matters, keep in [`state`](crate::state) what
//!   you compare with.
//!
//! # Mapping
//! Fields that are named are written: a value sets, null clears. Fields that are not named are left alone; an empty
//! [`Mapped`](crate::Mapped) changes nothing. Return what you know each time: the host finds out what really changed. A
//! late event brings nothing old back, since the object is merged by GHL's times before it is handed over, and what is
//! only older than what is known reaches no plugin; what a mapping returns is written whatever the event's time. An
//! event about a task, a note or an appointment may write its contact's record too, with
//! [`Mapped::contact`](crate::Mapped::contact). A record's fields are free: any name, any kind of value. A mapping
//! needs no capability for its own record.
//!
//! # Capabilities
//! | capability | for |
//! |---|---|
//! | `crm.contacts.read` | [`crm::contact`](crate::crm::contact), [`find_contacts`](crate::crm::find_contacts), [`business_contacts`](crate::crm::business_contacts) |
//! | `crm.tasks.read` | [`crm::tasks`](crate::crm::tasks), [`crm::task`](crate::crm::task) |
//! | `crm.notes.read` | [`crm::notes`](crate::crm::notes), [`crm::note`](crate::crm::note) |
//! | `crm.appointments.read` | [`crm::appointments`](crate::crm::appointments) |
//! | `crm.contacts.write` | `CreateContact`, `UpsertContact`, `UpdateContact`, `DeleteContact` |
//! | `crm.tags.write` | `AddTags`, `RemoveTags` |
//! | `crm.tasks.write` | `CreateTask`, `UpdateTask`, `CompleteTask`, `ReopenTask`, `DeleteTask` |
//! | `crm.notes.write` | `CreateNote`, `UpdateNote`, `DeleteNote` |
//! | `crm.appointments.write` | `CreateAppointment`, `UpdateAppointment` |
//! | `crm.workflows.run` | `StartWorkflow`, `StopWorkflow` |
//! | `crm.call` | `Call` |
//! | `rankr.read` | everything in [`rankr`](crate::rankr) |
//! | `rankr.write` | `SetRecord`, `UpsertRankrTask`, `CloseRankrTask` |
//! | `rankr.timeline` | `AddEntry` |
//! | `rankr.events` | `SendRankrEvent` |
//! | `state.contact`, `state.tenant` | [`state`](crate::state) of that scope |
//! | `schedule` | `Schedule`, `CancelSchedule` |
//!
//! [`log`](crate::log) needs none. Of what is `required` the plugin is not activated without; of what is `optional` a
//! read gives `Denied`, and an action fails the run: look before you ask.
//!
//! # Effects and their keys
//! Effects are done in the order given, each once, however often the run is repeated before it is committed. One run asks
//! for at most 100; one contact gets at most 20 in GHL within ten minutes from one assignment (a plugin as one tenant
//! has activated it), against plugins that answer themselves.
//!
//! A *key* (1 to 128 bytes of any text) names an effect for its author. A schedule's own key is another thing: it is one
//! for each assignment and contact.
//! - [`Target::MadeBy`](crate::Target::MadeBy) names what the newest create under that key made, by the same assignment, on
//!   the same contact: in this run, or in any earlier one. So an event weeks later can complete the task that an earlier
//!   event made under the key `welcome`, without remembering GHL's id.
//! - If nothing was ever made under the key, or its create was refused, the effect is refused, and everything else of the
//!   run stands. While the create is under way the effect waits for it.
//! - Completing what is completed already changes nothing. What a person has deleted in GHL can't be completed: the effect
//!   is refused, `effect-failed` tells so where the plugin wants that event, and nothing else is disturbed.
//! - A key does *not* keep a later event from making another one. Whether a contact was welcomed already is a thing to
//!   remember in [`state`](crate::state), or to see in the record or in GHL's own data. (Schedules are different: the
//!   same key again replaces the earlier schedule.)
//! - People can have an event run again. Its effects are then matched by key with those of its first run: what was done
//!   stays done (where it now asks for other values, it is changed), what failed is tried again, what is not asked for
//!   any more is left as it is. A schedule that asks for another time is set again. Such a run sees the object's fields
//!   as they are now, `changed` as it was at the first run, and no `previous`. So give keys to what you create, and let
//!   a "done" flag in the state hold the event's id: the event that set it may ask again.
//!
//! # State
//! [`state`](crate::state) is the plugin's own memory, of the contact or of the tenant, kept for each tenant. It works
//! in mappings and reactions. It is committed with the event: a run that fails, traps or asks for a retry has changed
//! nothing, and its repetition sees the state as before. Within one event a reaction too sees it as it was before the
//! mapping; where both set a key, the reaction's value stands. Runs of one contact follow one another, so `get`, then
//! `set` is safe. An effect that fails later in GHL does not undo it; ask for `effect-failed` to hear of that. When
//! people have an event run again, it sees the state as it is then. Errors turn into a [`RunError`](crate::RunError) by
//! `?`:
//! ```
//! use mapwright_sdk::{Event, RunError, Scope, state};
//!
//! /// Whether this event may welcome the contact: nobody did, or this event itself, run again.
//! fn may_welcome(event: &Event) -> Result<bool, RunError> {
//!     let by = state::get(Scope::Contact, "welcomed")?;
//!     if by.as_deref().is_some_and(|by| by != event.id.as_bytes()) {
//!         return Ok(false);
//!     }
//!     state::set(Scope::Contact, "welcomed", Some(event.id.as_bytes()))?;
//!     Ok(true)
//! }
//!
//! let event = mapwright_sdk::testing::contact_event("ContactUpdate");
//! assert!(may_welcome(&event).unwrap());
//! assert!(may_welcome(&event).unwrap());
//! assert!(!may_welcome(&Event { id: "2".into(), ..event }).unwrap());
//! ```
//!
//! # Native tests
//! Everything runs under `cargo test` without WebAssembly, with a world of its own for each test's thread that is empty
//! at first:
//! - [`testing`](crate::testing) makes events: [`with`](crate::Event::with) sets and changes a field,
//!   [`unchanged`](crate::Event::unchanged) only sets it, [`was`](crate::Event::was) says what it was before. An event's
//!   id is `1`, its contact `contact0000000000001`, its `now` 2026-01-01T00:00:01Z; all fields are public, so change them.
//! - Reads answer what [`answer_objects`](crate::testing::answer_objects) and
//!   [`answer_id`](crate::testing::answer_id) were told, else nothing. `state` remembers.
//! - [`deny`](crate::testing::deny) takes a capability away from reads and state. Actions are not checked natively.
//! - [`Effects::get`](crate::Effects::get) finds an action by its key, `actions()` gives all.
//! - [`take_log`](crate::testing::take_log) gives the lines that were logged.
