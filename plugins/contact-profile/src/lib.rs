//! Maps GHL contacts to Rankr contact records: 22 fields, and custom fields by their ids.
//!
//! A field that GHL is known to have emptied is cleared; a field the host does not know is left alone.

use mapwright_sdk::{Event, Mapped, Mapping, Object, Plugin, Record, RunError, Value, export_plugin};
use std::collections::BTreeMap;

/// What the person who activates the plugin chooses.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Custom fields to take over: GHL's id of the custom field to the record's field name.
    #[serde(default)]
    pub custom_fields: BTreeMap<String, String>,
}

/// The plugin.
pub struct ContactProfile;

/// Record fields that are GHL fields under another name.
const RENAMED: &[(&str, &str)] = &[
    ("first_name", "firstName"),
    ("last_name", "lastName"),
    ("address_line1", "address1"),
    ("city", "city"),
    ("state", "state"),
    ("postal_code", "postalCode"),
    ("country", "country"),
    ("company_name", "companyName"),
    ("website", "website"),
    ("source", "source"),
    ("time_zone", "timezone"),
    ("tags", "tags"),
    ("do_not_disturb", "dnd"),
    ("assigned_to", "assignedTo"),
    ("created_at", "dateAdded"),
    ("gender", "gender"),
    ("phone_label", "phoneLabel"),
];

impl Plugin for ContactProfile {
    type Config = Config;
    const NAME: &'static str = "contact-profile";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Keeps a Rankr contact record in step with its GHL contact.";
    const EVENTS: &'static [&'static str] =
        &["ContactCreate", "ContactUpdate", "ContactDelete", "ContactTagUpdate", "ContactDndUpdate"];

    fn check(config: &Config) -> Vec<mapwright_sdk::ConfigError> {
        let taken = |name: &str| RENAMED.iter().any(|(field, _)| *field == name);
        config
            .custom_fields
            .iter()
            .filter(|(_, name)| name.is_empty() || taken(name))
            .map(|(id, name)| {
                let message =
                    format!("{name:?} is empty or a field this plugin fills itself; choose another name");
                mapwright_sdk::ConfigError::new(format!("/custom_fields/{id}"), message)
            })
            .collect()
    }
}

impl Mapping for ContactProfile {
    fn map(event: &Event, _current: Option<&Record>, config: &Config) -> Result<Mapped, RunError> {
        let contact = event.contact().ok_or_else(|| RunError::unmappable("the event is about no contact"))?;
        let mut mapped = Mapped::contact();
        for (field, source) in RENAMED {
            if let Some(value) = contact.get(source) {
                mapped.add(*field, trimmed(value));
            }
        }
        if let Some(name) = full_name(contact) {
            mapped.add("full_name", name);
        }
        if let Some(email) = contact.get("email") {
            mapped.add("email", email.as_text().map(|text| text.trim().to_lowercase()));
        }
        if let Some(phone) = contact.get("phone") {
            mapped.add("phone", phone.as_text().map(plain_phone));
        }
        if let Some(date) = contact.get("dateOfBirth") {
            mapped.add("date_of_birth", date.as_text().map(date_only));
        }
        for (id, field) in &config.custom_fields {
            if let Some(value) = contact.custom(id) {
                mapped.add(field.as_str(), value.clone());
            }
        }
        Ok(mapped)
    }
}

export_plugin!(ContactProfile: mapping);

/// The same value without blanks around it; a text of blanks only is none.
fn trimmed(value: &Value) -> Value {
    match value.as_text() {
        Some(text) if text.trim().is_empty() => Value::Null,
        Some(text) if text.trim().len() != text.len() => Value::from(text.trim()),
        _ => value.clone(),
    }
}

/// GHL's own full name, else first and last; `None` while neither is known.
fn full_name(contact: &Object) -> Option<Value> {
    if let Some(name) = contact.text("name").map(str::trim).filter(|name| !name.is_empty()) {
        return Some(Value::from(name));
    }
    if contact.get("firstName").is_none() && contact.get("lastName").is_none() {
        return None;
    }
    let parts: Vec<&str> = ["firstName", "lastName"]
        .iter()
        .filter_map(|part| contact.text(part))
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect();
    Some(if parts.is_empty() { Value::Null } else { Value::from(parts.join(" ")) })
}

/// Digits and a leading plus, as GHL stores phones (E.164); anything else in it was decoration.
fn plain_phone(text: &str) -> String {
    let plus = text.trim_start().starts_with('+');
    let digits = text.chars().filter(char::is_ascii_digit);
    plus.then_some('+').into_iter().chain(digits).collect()
}

/// The date of `1990-09-25T00:00:00.000Z`; GHL writes a birthday both ways.
fn date_only(text: &str) -> String {
    text.split('T').next().unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mapwright_sdk::testing::{contact_event, prepared};

    fn map(event: &Event) -> Mapped {
        ContactProfile::map(event, None, &Config::default()).unwrap()
    }

    #[test]
    fn fields_are_renamed_and_tidied() {
        let event = contact_event("ContactUpdate")
            .with("firstName", " Ada ")
            .with("lastName", "Example")
            .with("email", "Ada@Example.COM ")
            .with("phone", "+1 555-0100")
            .with("dateOfBirth", "1990-09-25T00:00:00.000Z")
            .with("dnd", false)
            .with("tags", vec!["vip".to_owned()]);
        let mapped = map(&event);
        assert_eq!(mapped.text("first_name"), Some("Ada"));
        assert_eq!(mapped.text("full_name"), Some("Ada Example"));
        assert_eq!(mapped.text("email"), Some("ada@example.com"));
        assert_eq!(mapped.text("phone"), Some("+15550100"));
        assert_eq!(mapped.text("date_of_birth"), Some("1990-09-25"));
        assert_eq!(mapped.get("do_not_disturb"), Some(&Value::Boolean(false)));
        assert_eq!(mapped.get("tags"), Some(&Value::Texts(vec!["vip".into()])));
        assert_eq!(mapped.get("city"), None);
    }

    #[test]
    fn what_is_known_to_be_empty_is_cleared() {
        let mapped = map(&contact_event("ContactUpdate").with("city", Value::Null).with("website", "  "));
        assert_eq!(mapped.get("city"), Some(&Value::Null));
        assert_eq!(mapped.get("website"), Some(&Value::Null));
    }

    #[test]
    fn custom_fields_are_found_by_id() {
        let config = prepared::<ContactProfile>(r#"{"custom_fields":{"cf1":"shoe_size"}}"#).unwrap();
        let event = contact_event("ContactUpdate").with("customFields.cf1", 42_i64);
        let mapped = ContactProfile::map(&event, None, &config).unwrap();
        assert_eq!(mapped.get("shoe_size"), Some(&Value::Integer(42)));
    }

    #[test]
    fn a_name_the_plugin_fills_itself_is_refused() {
        let faults = prepared::<ContactProfile>(r#"{"custom_fields":{"cf1":"city"}}"#).unwrap_err();
        assert_eq!(faults[0].path, "/custom_fields/cf1");
    }

    #[test]
    fn an_event_about_something_else_is_unmappable() {
        let event = mapwright_sdk::testing::event("TaskCreate", mapwright_sdk::ObjectKind::Task);
        assert!(matches!(
            ContactProfile::map(&event, None, &Config::default()),
            Err(RunError::Unmappable(_))
        ));
    }
}
