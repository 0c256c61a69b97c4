//! What we know of GHL's event types against the reference data, where it is: `GHL_REFERENCE_DIR` names its folder.
#![expect(clippy::disallowed_methods, reason = "a test asks its environment where the data is")]

use mapwright::domain::Envelope;
use serde_json::Value;

/// The value at a path such as `appointment.contactId`; the first of several separated by ` / `.
fn at<'a>(body: &'a Value, paths: &str) -> Option<&'a str> {
    paths
        .split(" / ")
        .find_map(|path| {
            path.split('.').try_fold(body, |value, name| value.get(name)).and_then(Value::as_str)
        })
        .filter(|id| !id.is_empty())
}

#[test]
fn every_example_event_is_addressed_as_the_reference_says() {
    let Ok(folder) = std::env::var("GHL_REFERENCE_DIR") else {
        eprintln!("not run: GHL_REFERENCE_DIR is unset");
        return;
    };
    let mut checked = 0;
    for file in std::fs::read_dir(format!("{folder}/webhooks")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|end| end != "json") || path.file_stem().unwrap() == "index" {
            continue;
        }
        let page: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        for example in
            page["examples"].as_array().into_iter().flatten().filter(|example| example["type"].is_string())
        {
            let envelope: Envelope = serde_json::from_value(example.clone())
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let contact = at(example, page["contact_id_at"].as_str().unwrap_or_default());
            let found = envelope.contact();
            assert_eq!(found.as_ref().map(|id| id.as_str()), contact, "contact of {}", path.display());
            let location = at(example, page["location_id_at"].as_str().unwrap_or_default());
            assert_eq!(
                envelope.location(),
                location.or(envelope.location()),
                "location of {}",
                path.display()
            );
            checked += 1;
        }
    }
    eprintln!("{checked} example events checked");
    assert!(checked > 50, "only {checked} example events were found in {folder}");
}

#[test]
fn every_documented_event_type_has_a_sentence() {
    let Ok(folder) = std::env::var("GHL_REFERENCE_DIR") else {
        eprintln!("not run: GHL_REFERENCE_DIR is unset");
        return;
    };
    let index = std::fs::read_to_string(format!("{folder}/webhooks/index.json")).unwrap();
    let pages: Vec<Value> = serde_json::from_str(&index).unwrap();
    let mut missing = Vec::new();
    for page in &pages {
        for value in page["type_values"].as_array().unwrap() {
            // The index says in brackets what is only presumed.
            let event_type = value.as_str().unwrap().split(' ').next().unwrap();
            if mapwright::timeline::phrase_of(event_type).is_none() {
                missing.push(event_type.to_owned());
            }
        }
    }
    assert!(missing.is_empty(), "no sentence for {missing:?}");
    assert_eq!(pages.len(), 77);
}
