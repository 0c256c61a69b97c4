//! The host's side of the imports: look-ups in what was read for the run, and nothing that waits. Linked by hand,
//! because a host function that charges fuel needs the store.

use super::bindings::{log, state, types};
use super::convert::{fields_to_wit, kind_from_wit, kind_to_wit, value_bytes};
use super::state::RunState;
use crate::domain::{Fields, GhlId, ObjectKind, RankrId, ReadAnswer, ReadObject, ReadRequest, StateWrite};
use wasmtime::component::{Linker, LinkerInstance};
use wasmtime::{StoreContextMut, Trap};

type Reading<T> = wasmtime::Result<(Result<T, types::ReadError>,)>;

/// Bytes of a state key.
const STATE_KEY_BYTES: usize = 128;
/// Timeline entries a run may look at.
const TIMELINE_ENTRIES: u32 = 100;

/// Links everything for everyone; what was not granted is refused at the call.
pub(super) fn link(linker: &mut Linker<RunState>) -> wasmtime::Result<()> {
    linker.instance("mapwright:plugin/types@0.1.0")?;
    linker.instance("mapwright:plugin/effects@0.1.0")?;
    linker.instance("mapwright:plugin/log@0.1.0")?.func_wrap(
        "write",
        |mut store: StoreContextMut<'_, RunState>, (level, message): (log::Level, String)| {
            charge(&mut store)?;
            store.data_mut().write(level, message);
            Ok(())
        },
    )?;
    link_crm(&mut linker.instance("mapwright:plugin/crm@0.1.0")?)?;
    link_rankr(&mut linker.instance("mapwright:plugin/rankr@0.1.0")?)?;
    link_state(&mut linker.instance("mapwright:plugin/state@0.1.0")?)
}

fn link_crm(crm: &mut LinkerInstance<'_, RunState>) -> wasmtime::Result<()> {
    crm.func_wrap("contact", |store: StoreContextMut<'_, RunState>, (id,): (String,)| -> Reading<_> {
        one(store, ReadRequest::Contact { contact: GhlId::from(id) })
    })?;
    crm.func_wrap(
        "find-contacts",
        |store: StoreContextMut<'_, RunState>,
         (email, phone): (Option<String>, Option<String>)|
         -> Reading<_> { all(store, ReadRequest::FindContacts { email, phone }) },
    )?;
    crm.func_wrap(
        "business-contacts",
        |store: StoreContextMut<'_, RunState>, (business,): (String,)| -> Reading<_> {
            all(store, ReadRequest::BusinessContacts { business: GhlId::from(business) })
        },
    )?;
    crm.func_wrap("tasks", |store: StoreContextMut<'_, RunState>, (contact,): (String,)| -> Reading<_> {
        all(store, ReadRequest::Tasks { contact: GhlId::from(contact) })
    })?;
    crm.func_wrap(
        "task",
        |store: StoreContextMut<'_, RunState>, (contact, id): (String, String)| -> Reading<_> {
            one(store, ReadRequest::Task { contact: GhlId::from(contact), id: GhlId::from(id) })
        },
    )?;
    crm.func_wrap("notes", |store: StoreContextMut<'_, RunState>, (contact,): (String,)| -> Reading<_> {
        all(store, ReadRequest::Notes { contact: GhlId::from(contact) })
    })?;
    crm.func_wrap(
        "note",
        |store: StoreContextMut<'_, RunState>, (contact, id): (String, String)| -> Reading<_> {
            one(store, ReadRequest::Note { contact: GhlId::from(contact), id: GhlId::from(id) })
        },
    )?;
    crm.func_wrap(
        "appointments",
        |store: StoreContextMut<'_, RunState>, (contact,): (String,)| -> Reading<_> {
            all(store, ReadRequest::Appointments { contact: GhlId::from(contact) })
        },
    )
}

fn link_rankr(rankr: &mut LinkerInstance<'_, RunState>) -> wasmtime::Result<()> {
    rankr.func_wrap(
        "record-of",
        |store: StoreContextMut<'_, RunState>, (kind, id): (types::ObjectKind, String)| -> Reading<_> {
            let named = id.clone();
            let request = ReadRequest::Record { kind: kind_from_wit(kind), id: RankrId::from(id) };
            look_up(store, request, |answer| match answer {
                ReadAnswer::Record(found) => Some(found.as_ref().map(|fields| types::RankrRecord {
                    kind,
                    id: named.clone(),
                    fields: fields_to_wit(fields),
                })),
                _ => None,
            })
        },
    )?;
    rankr.func_wrap(
        "rankr-id",
        |store: StoreContextMut<'_, RunState>, (kind, id): (types::ObjectKind, String)| -> Reading<_> {
            let kind: ObjectKind = kind_from_wit(kind);
            look_up(store, ReadRequest::RankrIdOf { kind, id: GhlId::from(id) }, id_of)
        },
    )?;
    rankr.func_wrap(
        "ghl-id",
        |store: StoreContextMut<'_, RunState>, (kind, id): (types::ObjectKind, String)| -> Reading<_> {
            let kind: ObjectKind = kind_from_wit(kind);
            look_up(store, ReadRequest::GhlIdOf { kind, id: RankrId::from(id) }, id_of)
        },
    )?;
    rankr.func_wrap("timeline", |store: StoreContextMut<'_, RunState>, (limit,): (u32,)| -> Reading<_> {
        let request = ReadRequest::Timeline { limit: limit.min(TIMELINE_ENTRIES) };
        look_up(store, request, |answer| match answer {
            ReadAnswer::Texts(texts) => Some(texts.clone()),
            _ => None,
        })
    })
}

fn link_state(linked: &mut LinkerInstance<'_, RunState>) -> wasmtime::Result<()> {
    linked.func_wrap(
        "get",
        |mut store: StoreContextMut<'_, RunState>,
         (scope, key): (state::Scope, String)|
         -> wasmtime::Result<(Result<Option<Vec<u8>>, state::StateError>,)> {
            charge(&mut store)?;
            let request = match state_request(store.data(), scope, &key) {
                Ok(request) => request,
                Err(refused) => return Ok((Err(refused),)),
            };
            if let Some(set) = store.data().writes.iter().rev().find(|set| is_of(set, &request)) {
                return Ok((Ok(set.value.clone()),));
            }
            match answer(&mut store, request)? {
                ReadAnswer::State { value, .. } => Ok((Ok(value),)),
                _ => Err(odd_answer()),
            }
        },
    )?;
    linked.func_wrap(
        "set",
        |mut store: StoreContextMut<'_, RunState>,
         (scope, key, value): (state::Scope, String, Option<Vec<u8>>)|
         -> wasmtime::Result<(Result<(), state::StateError>,)> {
            charge(&mut store)?;
            Ok((set_state(store.data_mut(), scope, key, value),))
        },
    )
}

fn set_state(
    run: &mut RunState,
    scope: state::Scope,
    key: String,
    value: Option<Vec<u8>>,
) -> Result<(), state::StateError> {
    let request = state_request(run, scope, &key)?;
    let too_large = |what: String| Err(state::StateError::TooLarge(what));
    if value.as_ref().is_some_and(|value| value.len() > run.limits.state_value_bytes) {
        return too_large(format!("a value may have {} bytes", run.limits.state_value_bytes));
    }
    let seen = match run.context.answers.get(&request) {
        Some(ReadAnswer::State { version, .. }) => Some(*version),
        _ => None,
    };
    run.writes.retain(|set| !is_of(set, &request));
    if run.writes.len() >= run.limits.state_writes {
        return too_large(format!("a run may set {} values", run.limits.state_writes));
    }
    let contact = if let ReadRequest::State { contact, .. } = request { contact } else { None };
    run.writes.push(StateWrite { contact, key, value, seen });
    Ok(())
}

fn is_of(set: &StateWrite, request: &ReadRequest) -> bool {
    matches!(request, ReadRequest::State { contact, key, .. } if *contact == set.contact && *key == set.key)
}

fn state_request(run: &RunState, scope: state::Scope, key: &str) -> Result<ReadRequest, state::StateError> {
    let contact = match scope {
        state::Scope::Contact => Some(run.context.contact.clone().ok_or(state::StateError::NoContact)?),
        state::Scope::Tenant => None,
    };
    let request = ReadRequest::State {
        plugin: run.context.plugin.as_str().to_owned(),
        schema: run.context.state_schema,
        contact,
        key: key.to_owned(),
    };
    if !run.context.grants.contains(request.capability()) {
        return Err(state::StateError::Denied(request.capability().to_owned()));
    }
    if key.len() > STATE_KEY_BYTES {
        return Err(state::StateError::TooLarge(format!("a key may have {STATE_KEY_BYTES} bytes")));
    }
    Ok(request)
}

fn one(store: StoreContextMut<'_, RunState>, request: ReadRequest) -> Reading<Option<types::Object>> {
    look_up(store, request, |answer| match answer {
        ReadAnswer::Objects(found) => Some(found.first().map(object_to_wit)),
        _ => None,
    })
}

fn all(store: StoreContextMut<'_, RunState>, request: ReadRequest) -> Reading<Vec<types::Object>> {
    look_up(store, request, |answer| match answer {
        ReadAnswer::Objects(found) => Some(found.iter().map(object_to_wit).collect()),
        _ => None,
    })
}

fn id_of(answer: &ReadAnswer) -> Option<Option<String>> {
    match answer {
        ReadAnswer::Id(found) => Some(found.clone()),
        _ => None,
    }
}

fn look_up<T>(
    mut store: StoreContextMut<'_, RunState>,
    request: ReadRequest,
    take: impl FnOnce(&ReadAnswer) -> Option<T>,
) -> Reading<T> {
    charge(&mut store)?;
    if !store.data().context.grants.contains(request.capability()) {
        return Ok((Err(types::ReadError::Denied(request.capability().to_owned())),));
    }
    match answer(&mut store, request)? {
        ReadAnswer::Refused(why) => Ok((Err(types::ReadError::Refused(why)),)),
        found => take(&found).map(|found| (Ok(found),)).ok_or_else(odd_answer),
    }
}

/// The recorded answer; without one the run ends here and is begun again when it is there.
fn answer(store: &mut StoreContextMut<'_, RunState>, request: ReadRequest) -> wasmtime::Result<ReadAnswer> {
    let run = store.data_mut();
    run.reads += 1;
    if run.reads > run.limits.reads {
        return Err(wasmtime::Error::msg("too many reads"));
    }
    let Some(answer) = run.context.answers.get(&request) else {
        run.wanted.push(request);
        return Err(wasmtime::Error::msg("a read has no answer yet"));
    };
    let Some(left) = run.read_bytes_left.checked_sub(answer_bytes(answer)) else {
        run.read_bytes_left = 0;
        run.growth.reads_refused = true;
        return Err(wasmtime::Error::msg("the answers to its reads are too large"));
    };
    run.read_bytes_left = left;
    Ok(answer.clone())
}

/// About the bytes an answer takes in the guest.
fn answer_bytes(answer: &ReadAnswer) -> usize {
    let of_fields = |fields: &Fields| -> usize {
        fields.iter().map(|(name, value)| name.len() + value_bytes(value)).sum()
    };
    match answer {
        ReadAnswer::Objects(objects) => {
            objects.iter().map(|object| object.id.as_str().len() + of_fields(&object.fields)).sum()
        }
        ReadAnswer::Record(fields) => fields.as_ref().map_or(0, of_fields),
        ReadAnswer::Id(id) => id.as_ref().map_or(0, String::len),
        ReadAnswer::Texts(texts) => texts.iter().map(|text| text.len() + 8).sum(),
        ReadAnswer::State { value, .. } => value.as_ref().map_or(0, Vec::len),
        ReadAnswer::Refused(why) => why.len(),
    }
}

fn odd_answer() -> wasmtime::Error {
    wasmtime::Error::msg("a read was answered with something else than was asked for")
}

fn object_to_wit(object: &ReadObject) -> types::Object {
    types::Object {
        kind: kind_to_wit(object.kind),
        id: object.id.as_str().to_owned(),
        deleted: false,
        fields: fields_to_wit(&object.fields),
        changed: Vec::new(),
        previous: Vec::new(),
        echo: Vec::new(),
    }
}

/// Takes a host call's price; a guest that calls forever ends by fuel like one that spins.
pub(super) fn charge(store: &mut StoreContextMut<'_, RunState>) -> wasmtime::Result<()> {
    let price = store.data().limits.host_call_fuel;
    match store.get_fuel()?.checked_sub(price) {
        Some(left) => store.set_fuel(left),
        None => {
            store.set_fuel(0)?;
            Err(Trap::OutOfFuel.into())
        }
    }
}
