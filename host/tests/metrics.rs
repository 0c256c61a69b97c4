//! The metrics' page against the code: each name that is recorded is documented, each documented one recorded, and
//! labels are of kinds that name no person.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::string_slice,
    reason = "a test reads its own source tree, at places it found"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Labels that are in use; one that is added is looked at by a person first.
const LABELS: &[&str] = &[
    "act",
    "cause",
    "decision",
    "end",
    "interface",
    "kind",
    "op",
    "operation",
    "outcome",
    "scope",
    "state",
    "step",
    "type",
    "version",
];

/// Names and labels that the code records.
fn recorded(folder: &Path, names: &mut BTreeSet<String>, labels: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            recorded(&path, names, labels);
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for kind in ["counter!(", "gauge!(", "histogram!("] {
            for (at, _) in text.match_indices(kind) {
                let rest = &text[at + kind.len()..];
                // Up to the end of the call: label values hold no closing bracket before a semicolon.
                let call = &rest[..rest.find(';').unwrap()];
                let mut quoted = call.split('"').skip(1).step_by(2);
                let Some(name) = quoted.next().filter(|name| name.starts_with("mapwright_")) else {
                    panic!("{}: a metric without a plain name: {call}", path.display());
                };
                names.insert(name.to_owned());
                for (at, _) in call.match_indices("\" =>") {
                    labels.insert(call[..at].rsplit('"').next().unwrap().to_owned());
                }
            }
        }
    }
}

#[test]
fn every_metric_is_documented_and_no_label_is_a_persons() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut names, mut labels) = (BTreeSet::new(), BTreeSet::new());
    recorded(&root.join("src"), &mut names, &mut labels);
    assert!(names.len() > 10, "{names:?}");
    let page = fs::read_to_string(root.join("docs/metrics.md")).unwrap();
    let documented: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .map(str::to_owned)
        .collect();
    assert_eq!(names, documented, "left: recorded in the code; right: rows of host/docs/metrics.md");
    let known: BTreeSet<String> = LABELS.iter().map(|label| (*label).to_owned()).collect();
    assert!(labels.is_subset(&known), "a label nobody has looked at: {labels:?}");
}
