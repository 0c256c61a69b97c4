//! What is not as it should be, for whoever runs the host: noted by the part that met it, shown by `/readyz`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The notes, one for each thing. Cheap to clone. No secrets and no personal data: everyone may read them.
#[derive(Clone, Debug, Default)]
pub struct HealthNotes(Arc<Mutex<BTreeMap<String, String>>>);

impl HealthNotes {
    fn notes(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what is wrong with a thing (a table or key of the configuration, a file, a part of the host), and how to
    /// mend it. It takes the place of what was noted about this thing before.
    pub fn note(&self, about: &str, detail: impl Into<String>) {
        self.notes().insert(about.to_owned(), detail.into());
    }

    /// The thing is as it should be again.
    pub fn clear(&self, about: &str) {
        self.notes().remove(about);
    }

    /// All notes, in the order of what they are about.
    #[must_use]
    pub fn all(&self) -> Vec<(String, String)> {
        self.notes().iter().map(|(about, detail)| (about.clone(), detail.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_has_one_note_until_it_is_mended() {
        let notes = HealthNotes::default();
        notes.note("plugins.folder", "can't be read");
        notes.clone().note("plugins.folder", "is empty");
        notes.note("assignment", "names no plugin");
        let about: Vec<_> = notes.all().into_iter().map(|(about, _)| about).collect();
        assert_eq!(about, ["assignment", "plugins.folder"]);
        notes.clear("assignment");
        assert_eq!(notes.all(), [("plugins.folder".to_owned(), "is empty".to_owned())]);
    }
}
