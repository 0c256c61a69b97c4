//! Reads: from GHL, from Rankr's side of the host, and from the plugin's own memory.
//!
//! In a plugin they call the host; natively they give what the test said they answer.

use crate::Object;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
struct Fake {
    objects: BTreeMap<String, Vec<Object>>,
    ids: BTreeMap<String, String>,
    denied: BTreeSet<String>,
    #[cfg(not(target_family = "wasm"))]
    state: BTreeMap<String, Vec<u8>>,
}

thread_local! {
    static FAKE: RefCell<Fake> = RefCell::default();
}

pub(crate) fn answer(key: &str, objects: Vec<Object>) {
    FAKE.with_borrow_mut(|fake| fake.objects.insert(key.to_owned(), objects));
}

pub(crate) fn answer_id(key: &str, id: &str) {
    FAKE.with_borrow_mut(|fake| fake.ids.insert(key.to_owned(), id.to_owned()));
}

pub(crate) fn deny(capability: &str) {
    FAKE.with_borrow_mut(|fake| fake.denied.insert(capability.to_owned()));
}

#[cfg(not(target_family = "wasm"))]
fn granted(capability: &str) -> Result<(), crate::ReadError> {
    FAKE.with_borrow(|fake| match fake.denied.get(capability) {
        Some(denied) => Err(crate::ReadError::Denied(denied.clone())),
        None => Ok(()),
    })
}

#[cfg(not(target_family = "wasm"))]
fn known(capability: &str, parts: &[&str]) -> Result<Vec<Object>, crate::ReadError> {
    granted(capability)?;
    Ok(FAKE.with_borrow(|fake| fake.objects.get(&parts.join(" ")).cloned().unwrap_or_default()))
}

/// Reads from GHL.
pub mod crm {
    use crate::{Object, ReadError};

    #[cfg(target_family = "wasm")]
    use crate::__bindings::imports::mapwright::plugin::crm as host;

    macro_rules! reads {
        ($($(#[$doc:meta])* $name:ident($($argument:ident),+) -> one if $capability:literal;)*) => {$(
            $(#[$doc])*
            ///
            /// # Errors
            /// Not granted, or refused by GHL for good.
            pub fn $name($($argument: &str),+) -> Result<Option<Object>, ReadError> {
                #[cfg(target_family = "wasm")]
                return host::$name($($argument),+);
                #[cfg(not(target_family = "wasm"))]
                Ok(super::known($capability, &[stringify!($name), $($argument),+])?.into_iter().next())
            }
        )*};
        ($($(#[$doc:meta])* $name:ident($($argument:ident),+) -> all if $capability:literal;)*) => {$(
            $(#[$doc])*
            ///
            /// # Errors
            /// Not granted, or refused by GHL for good.
            pub fn $name($($argument: &str),+) -> Result<Vec<Object>, ReadError> {
                #[cfg(target_family = "wasm")]
                return host::$name($($argument),+);
                #[cfg(not(target_family = "wasm"))]
                super::known($capability, &[stringify!($name), $($argument),+])
            }
        )*};
    }

    reads! {
        /// A contact.
        contact(id) -> one if "crm.contacts.read";
        /// One task of a contact.
        task(contact, id) -> one if "crm.tasks.read";
        /// One note of a contact.
        note(contact, id) -> one if "crm.notes.read";
    }
    reads! {
        /// The contacts of a business.
        business_contacts(business) -> all if "crm.contacts.read";
        /// A contact's tasks.
        tasks(contact) -> all if "crm.tasks.read";
        /// A contact's notes.
        notes(contact) -> all if "crm.notes.read";
        /// A contact's appointments as GHL lists them, past and cancelled ones too; when one was booked is its `dateAdded`.
        appointments(contact) -> all if "crm.appointments.read";
    }

    /// Contacts whose e-mail or else phone is this.
    ///
    /// # Errors
    /// Not granted, or refused by GHL for good.
    pub fn find_contacts(email: Option<&str>, phone: Option<&str>) -> Result<Vec<Object>, ReadError> {
        #[cfg(target_family = "wasm")]
        return host::find_contacts(email, phone);
        #[cfg(not(target_family = "wasm"))]
        super::known("crm.contacts.read", &["find_contacts", email.unwrap_or("-"), phone.unwrap_or("-")])
    }
}

/// Reads from Rankr's side of the host.
pub mod rankr {
    #[cfg(target_family = "wasm")]
    use crate::__bindings::imports::mapwright::plugin::rankr as host;
    use crate::{ObjectKind, ReadError, Record};

    /// A record, by Rankr's id.
    ///
    /// # Errors
    /// Not granted.
    pub fn record(kind: ObjectKind, id: &str) -> Result<Option<Record>, ReadError> {
        #[cfg(target_family = "wasm")]
        return host::record_of(kind, id);
        #[cfg(not(target_family = "wasm"))]
        Ok(super::known("rankr.read", &["record", word(kind), id])?.into_iter().next().map(|object| Record {
            kind,
            id: id.to_owned(),
            fields: object.fields,
        }))
    }

    /// Rankr's id of what GHL calls by that id.
    ///
    /// # Errors
    /// Not granted.
    pub fn rankr_id(kind: ObjectKind, ghl_id: &str) -> Result<Option<String>, ReadError> {
        #[cfg(target_family = "wasm")]
        return host::rankr_id(kind, ghl_id);
        #[cfg(not(target_family = "wasm"))]
        id(&["rankr-id", word(kind), ghl_id])
    }

    /// GHL's id of what Rankr calls by that id.
    ///
    /// # Errors
    /// Not granted.
    pub fn ghl_id(kind: ObjectKind, rankr_id: &str) -> Result<Option<String>, ReadError> {
        #[cfg(target_family = "wasm")]
        return host::ghl_id(kind, rankr_id);
        #[cfg(not(target_family = "wasm"))]
        id(&["ghl-id", word(kind), rankr_id])
    }

    /// The newest timeline entries of the event's contact, newest first, as JSON texts; at most 100.
    ///
    /// # Errors
    /// Not granted.
    pub fn timeline(limit: u32) -> Result<Vec<String>, ReadError> {
        #[cfg(target_family = "wasm")]
        return host::timeline(limit);
        #[cfg(not(target_family = "wasm"))]
        {
            let _no_timeline_natively = limit;
            super::granted("rankr.read").map(|()| Vec::new())
        }
    }

    #[cfg(not(target_family = "wasm"))]
    fn id(parts: &[&str]) -> Result<Option<String>, ReadError> {
        super::granted("rankr.read")?;
        Ok(super::FAKE.with_borrow(|fake| fake.ids.get(&parts.join(" ")).cloned()))
    }

    #[cfg(not(target_family = "wasm"))]
    fn word(kind: ObjectKind) -> &'static str {
        match kind {
            ObjectKind::Contact => "contact",
            ObjectKind::Task => "task",
            ObjectKind::Note => "note",
            ObjectKind::Appointment => "appointment",
            ObjectKind::Opportunity => "opportunity",
            ObjectKind::Message => "message",
            ObjectKind::Other => "other",
        }
    }
}

/// What the plugin remembers from run to run; written with the event, or not at all.
pub mod state {
    #[cfg(target_family = "wasm")]
    use crate::__bindings::imports::mapwright::plugin::state as host;
    use crate::{Scope, StateError};

    /// The value of a key.
    ///
    /// # Errors
    /// Not granted, or the event has no contact.
    pub fn get(scope: Scope, key: &str) -> Result<Option<Vec<u8>>, StateError> {
        #[cfg(target_family = "wasm")]
        return host::get(scope, key);
        #[cfg(not(target_family = "wasm"))]
        granted(scope).map(|()| super::FAKE.with_borrow(|fake| fake.state.get(&place(scope, key)).cloned()))
    }

    /// Sets a key's value (at most 64 KiB), or removes it.
    ///
    /// # Errors
    /// Not granted, the event has no contact, or the value is too large.
    pub fn set(scope: Scope, key: &str, value: Option<&[u8]>) -> Result<(), StateError> {
        #[cfg(target_family = "wasm")]
        return host::set(scope, key, value);
        #[cfg(not(target_family = "wasm"))]
        granted(scope).map(|()| {
            super::FAKE.with_borrow_mut(|fake| match value {
                Some(value) => drop(fake.state.insert(place(scope, key), value.to_vec())),
                None => drop(fake.state.remove(&place(scope, key))),
            });
        })
    }

    #[cfg(not(target_family = "wasm"))]
    fn granted(scope: Scope) -> Result<(), StateError> {
        let capability = match scope {
            Scope::Contact => "state.contact",
            Scope::Tenant => "state.tenant",
        };
        super::granted(capability).map_err(|_denied| StateError::Denied(capability.to_owned()))
    }

    #[cfg(not(target_family = "wasm"))]
    fn place(scope: Scope, key: &str) -> String {
        format!("{scope:?} {key}")
    }
}
