//! A plugin's description, checked: names, versions, event types and capabilities are what they should be.

use super::bindings::descriptor;
use serde::{Deserialize, Serialize};

/// What a plugin says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Description {
    /// Its name.
    pub name: String,
    /// Its version, SemVer.
    pub version: String,
    /// One sentence for the person who chooses plugins.
    pub summary: String,
    /// JSON Schema of its configuration.
    pub config_schema: String,
    /// Event types it wants; `*` is every type.
    pub events: Vec<String>,
    /// Reads it always needs.
    pub reads: Vec<String>,
    /// Capabilities it asks for.
    pub capabilities: Vec<CapabilityRequest>,
    /// The number of its state's layout.
    pub state_schema: u32,
    /// What it exports besides: `mapping`, `reaction`. Found by the host, not said by the plugin.
    #[serde(default)]
    pub interfaces: Vec<String>,
}

/// A capability a plugin asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CapabilityRequest {
    /// The capability's name.
    pub name: String,
    /// Why it is needed.
    pub reason: String,
    /// Whether the plugin does without it when it is not granted.
    #[serde(default)]
    pub optional: bool,
}

/// Texts of a description may have this many bytes; people read them.
const TEXT_BYTES: usize = 4096;
/// A configuration's schema may have this many bytes.
const SCHEMA_BYTES: usize = 256 * 1024;
/// Event types, reads and capabilities may have this many entries each.
const ENTRIES: usize = 200;

/// Reads that can be declared.
const DECLARABLE: &[&str] =
    &["crm.contact", "crm.tasks", "crm.notes", "crm.appointments", "crm.business-contacts"];

/// Everything that can be granted.
pub const CAPABILITIES: &[&str] = &[
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

impl Description {
    /// The capabilities a function of the contract's imports needs; none for what everyone may call.
    #[must_use]
    pub fn capability_of_import(function: &str) -> Option<&'static [&'static str]> {
        Some(match function {
            "crm.contact" | "crm.find-contacts" | "crm.business-contacts" => &["crm.contacts.read"],
            "crm.tasks" | "crm.task" => &["crm.tasks.read"],
            "crm.notes" | "crm.note" => &["crm.notes.read"],
            "crm.appointments" => &["crm.appointments.read"],
            "rankr.record-of" | "rankr.rankr-id" | "rankr.ghl-id" | "rankr.timeline" => &["rankr.read"],
            "state.get" | "state.set" => &["state.contact", "state.tenant"],
            _ => return None,
        })
    }

    pub(super) fn from_wit(said: descriptor::Description) -> Self {
        Self {
            name: said.name,
            version: said.version,
            summary: said.summary,
            config_schema: said.config_schema,
            events: said.events,
            reads: said.reads,
            capabilities: said
                .capabilities
                .into_iter()
                .map(|asked| CapabilityRequest {
                    name: asked.name,
                    reason: asked.reason,
                    optional: asked.optional,
                })
                .collect(),
            state_schema: said.state_schema,
            interfaces: Vec::new(),
        }
    }

    /// What it imports without asking for it: the person who activates it would not know.
    pub(super) fn undeclared(&self, imports: &[String]) -> Option<String> {
        imports.iter().find_map(|function| {
            let needed = Self::capability_of_import(function)?;
            let asked = self.capabilities.iter().any(|asked| needed.contains(&asked.name.as_str()));
            (!asked).then(|| {
                format!(
                    "it imports {function} and does not ask for {}: name it in its capabilities, as optional if it does without",
                    needed.join(" or ")
                )
            })
        })
    }

    /// The first thing that is not sound, with its mend.
    pub(super) fn fault(&self) -> Option<String> {
        if !is_name(&self.name) {
            return Some("its name must have 1 to 64 lower-case letters, digits and hyphens".to_owned());
        }
        if !is_semver(&self.version) {
            return Some(format!(
                "its version {:?} is no semantic version such as 1.2.3",
                short(&self.version)
            ));
        }
        if self.summary.is_empty() || self.summary.len() > TEXT_BYTES {
            return Some(format!("its summary must have 1 to {TEXT_BYTES} bytes"));
        }
        if self.config_schema.len() > SCHEMA_BYTES {
            return Some(format!("its configuration schema has more than {SCHEMA_BYTES} bytes"));
        }
        if !serde_json::from_str::<serde_json::Value>(&self.config_schema)
            .is_ok_and(|schema| schema.is_object())
        {
            return Some("its configuration schema is no JSON object".to_owned());
        }
        if self.events.is_empty() {
            return Some("it wants no event types: name some, or `*` for all".to_owned());
        }
        if self.events.len() > ENTRIES || self.reads.len() > ENTRIES || self.capabilities.len() > ENTRIES {
            return Some(format!("it names more than {ENTRIES} event types, reads or capabilities"));
        }
        if let Some(wrong) = self.events.iter().find(|name| !is_event_type(name)) {
            return Some(format!("{:?} is no event type", short(wrong)));
        }
        if let Some(wrong) = self.reads.iter().find(|name| !DECLARABLE.contains(&name.as_str())) {
            return Some(format!(
                "it declares the read {:?}; there are {}",
                short(wrong),
                DECLARABLE.join(", ")
            ));
        }
        if let Some(wrong) =
            self.capabilities.iter().find(|asked| !CAPABILITIES.contains(&asked.name.as_str()))
        {
            return Some(format!(
                "it asks for the capability {:?}; there are {}",
                short(&wrong.name),
                CAPABILITIES.join(", ")
            ));
        }
        if let Some(asked) = self.capabilities.iter().find(|asked| asked.reason.trim().is_empty()) {
            return Some(format!(
                "the capability {:?} has no reason for the person who grants it",
                short(&asked.name)
            ));
        }
        None
    }
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_event_type(name: &str) -> bool {
    name == "*"
        || (1..=128).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn is_semver(version: &str) -> bool {
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let parts: Vec<&str> = core.split('.').collect();
    version.len() <= 64
        && parts.len() == 3
        && parts.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

fn short(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> Description {
        Description {
            name: "a-plugin".into(),
            version: "1.2.3".into(),
            summary: "Does something.".into(),
            config_schema: "{}".into(),
            events: vec!["ContactUpdate".into(), "rankr.race-finished".into()],
            reads: vec![],
            capabilities: vec![],
            state_schema: 1,
            interfaces: vec![],
        }
    }

    #[test]
    fn what_is_imported_must_be_asked_for() {
        let imports = ["log.write".to_owned(), "crm.tasks".to_owned()];
        let mut description = sound();
        assert_eq!(description.undeclared(&imports[..1]), None);
        let fault = description.undeclared(&imports).unwrap();
        assert!(fault.contains("crm.tasks") && fault.contains("crm.tasks.read"), "{fault}");
        description.capabilities =
            vec![CapabilityRequest { name: "crm.tasks.read".into(), reason: "x".into(), optional: true }];
        assert_eq!(description.undeclared(&imports), None);
    }

    #[test]
    fn each_lie_is_named() {
        assert_eq!(sound().fault(), None);
        let fault = |change: fn(&mut Description)| {
            let mut description = sound();
            change(&mut description);
            description.fault().unwrap()
        };
        assert!(fault(|it| it.name = "A B".into()).contains("name"));
        assert!(fault(|it| it.version = "1.2".into()).contains("semantic version"));
        assert!(fault(|it| it.summary = String::new()).contains("summary"));
        assert!(fault(|it| it.config_schema = "x".into()).contains("schema"));
        assert!(fault(|it| it.events.clear()).contains("event types"));
        assert!(fault(|it| it.events = vec!["; DROP".into()]).contains("no event type"));
        assert!(fault(|it| it.events = vec!["X".into(); 201]).contains("more than 200"));
        assert!(fault(|it| it.reads = vec!["crm.secrets".into()]).contains("crm.secrets"));
        let asking =
            |name: &str| CapabilityRequest { name: name.into(), reason: "x".into(), optional: false };
        let mut unknown = sound();
        unknown.capabilities = vec![asking("crm.everything")];
        assert!(unknown.fault().unwrap().contains("crm.everything"));
        let unreasoned = |it: &mut Description| {
            it.capabilities =
                vec![CapabilityRequest { name: "crm.call".into(), reason: " ".into(), optional: false }];
        };
        assert!(fault(unreasoned).contains("no reason"));
    }
}
