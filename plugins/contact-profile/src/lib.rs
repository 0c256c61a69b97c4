//! Maps GHL contacts to Rankr contact records: 22 fields, custom fields by their ids, and, where it may read them, the
//! contact's business, open tasks, last note and next appointment.
//!
//! A field that GHL is known to have emptied is cleared; a field the host does not know is left alone.

use mapwright_sdk::{
    Capability, Event, Mapped, Mapping, Object, Plugin, Record, RunError, Value, crm, export_plugin,
};
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
    const EVENTS: &'static [&'static str] = &[
        "ContactCreate",
        "ContactUpdate",
        "ContactDelete",
        "ContactTagUpdate",
        "ContactDndUpdate",
        "TaskCreate",
        "TaskUpdate",
        "TaskComplete",
        "TaskDelete",
        "NoteCreate",
        "NoteUpdate",
        "NoteDelete",
        "AppointmentCreate",
        "AppointmentUpdate",
        "AppointmentDelete",
    ];
    const READS: &'static [&'static str] = &["crm.contact", "crm.tasks", "crm.notes", "crm.appointments"];
    const CAPABILITIES: &'static [Capability] = &[
        Capability::optional("crm.contacts.read", "Fills business_name."),
        Capability::optional("crm.tasks.read", "Fills open_tasks, the number of tasks to do."),
        Capability::optional("crm.notes.read", "Fills last_note_at."),
        Capability::optional("crm.appointments.read", "Fills next_appointment_at."),
    ];

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
        let mut mapped = Mapped::contact();
        if let Some(contact) = event.contact() {
            map_contact(contact, config, &mut mapped);
        }
        if let Some(contact) = &event.contact_id
            && !event.contact().is_some_and(|object| object.deleted)
        {
            enrich(contact, event, &mut mapped);
        }
        Ok(mapped)
    }
}

/// The contact's own fields.
fn map_contact(contact: &Object, config: &Config, mapped: &mut Mapped) {
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
}

/// What belongs to the contact elsewhere in GHL; what may not be read is left alone.
fn enrich(contact: &str, event: &Event, mapped: &mut Mapped) {
    if let Ok(Some(known)) = crm::contact(contact) {
        match known.text("businessId") {
            None => mapped.add("business_name", Value::Null),
            Some(business) => {
                if let Ok(members) = crm::business_contacts(business) {
                    let name = members.iter().find_map(|member| member.text("businessName"));
                    mapped.add("business_name", name.map(str::to_owned));
                }
            }
        }
    }
    if let Ok(tasks) = crm::tasks(contact) {
        let open = tasks
            .iter()
            .filter(|task| task.get("completed").and_then(Value::as_boolean) != Some(true))
            .count();
        mapped.add("open_tasks", i64::try_from(open).unwrap_or(i64::MAX));
    }
    if let Ok(notes) = crm::notes(contact) {
        mapped.add(
            "last_note_at",
            notes.iter().filter_map(|note| note.text("dateAdded")).max().map(str::to_owned),
        );
    }
    if let Ok(appointments) = crm::appointments(contact) {
        let now = utc_text(event.now);
        let next = appointments
            .iter()
            .filter(|it| !matches!(it.text("appointmentStatus"), Some("cancelled" | "invalid")))
            .filter_map(|it| it.text("startTime"))
            .filter(|start| comparable(start) > now)
            .min_by_key(|start| comparable(start));
        mapped.add("next_appointment_at", next.map(str::to_owned));
    }
}

/// `2026-01-02 11:00:00` and `2026-01-02T11:00:00Z` alike, as `2026-01-02T11:00:00`; GHL lists appointments both ways.
fn comparable(time: &str) -> String {
    time.replace(' ', "T").chars().take(19).collect()
}

/// The run's time as the same text.
fn utc_text(millis: i64) -> String {
    let (days, seconds) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000) / 1000);
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// The date of so many days after 1970-01-01, in the proleptic Gregorian calendar.
fn civil(days: i64) -> (i64, i64, i64) {
    // Years that begin in March put the leap day at their end; 400 of them have 146,097 days.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
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
    use mapwright_sdk::ObjectKind;
    use mapwright_sdk::testing::{answer_objects, contact_event, deny, event, prepared};

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
    fn what_may_not_be_read_is_left_alone() {
        deny("crm.tasks.read");
        let mapped = map(&contact_event("ContactUpdate").with("city", "Springfield"));
        assert_eq!(mapped.get("open_tasks"), None);
        assert_eq!(mapped.get("last_note_at"), Some(&Value::Null));
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
    fn what_belongs_to_the_contact_is_read() {
        let id = "contact0000000000001";
        let object = |event: Event| event.object.unwrap();
        answer_objects(&format!("contact {id}"), vec![object(contact_event("x").with("businessId", "b1"))]);
        answer_objects(
            "business_contacts b1",
            vec![object(contact_event("x").with("businessName", "Example Works"))],
        );
        let task = |done: bool| object(event("x", ObjectKind::Task).with("completed", done));
        answer_objects(&format!("tasks {id}"), vec![task(true), task(false), task(false)]);
        let note = |at: &str| object(event("x", ObjectKind::Note).with("dateAdded", at));
        answer_objects(
            &format!("notes {id}"),
            vec![note("2026-01-01T00:00:00.000Z"), note("2025-12-01T00:00:00.000Z")],
        );
        let visit = |at: &str, status: &str| {
            object(
                event("x", ObjectKind::Appointment).with("startTime", at).with("appointmentStatus", status),
            )
        };
        let visits = vec![
            visit("2025-12-31T10:00:00Z", "showed"),
            visit("2026-03-02 10:00:00", "confirmed"),
            visit("2026-02-02T10:00:00Z", "cancelled"),
            visit("2026-04-02T10:00:00Z", "confirmed"),
        ];
        answer_objects(&format!("appointments {id}"), visits);
        let mapped = map(&event("TaskComplete", ObjectKind::Task));
        assert_eq!(mapped.text("business_name"), Some("Example Works"));
        assert_eq!(mapped.get("open_tasks"), Some(&Value::Integer(2)));
        assert_eq!(mapped.text("last_note_at"), Some("2026-01-01T00:00:00.000Z"));
        assert_eq!(mapped.text("next_appointment_at"), Some("2026-03-02 10:00:00"));
        assert_eq!(mapped.get("city"), None);
    }

    #[test]
    fn days_become_dates() {
        assert_eq!(utc_text(0), "1970-01-01T00:00:00");
        assert_eq!(utc_text(951_782_400_000), "2000-02-29T00:00:00");
        assert_eq!(utc_text(1_767_225_601_000), "2026-01-01T00:00:01");
    }

    #[test]
    fn an_event_about_nobody_changes_nothing() {
        let mut event = event("TaskCreate", ObjectKind::Task);
        event.contact_id = None;
        assert!(map(&event).fields().is_empty());
    }
}
