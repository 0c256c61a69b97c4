//! The journal: JSON Lines on disk, written before anyone is answered, read back at a start. Described in
//! `docs/sandbox-journal.md`; the checker reads it.

use super::installs::InstallEntry;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;

/// One line of the journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Entry {
    /// An object was created, changed or deleted.
    Object(ObjectEntry),
    /// A webhook message was made; it may be sent several times.
    Delivery(DeliveryEntry),
    /// One sending of a message and how it was answered.
    Attempt(AttemptEntry),
    /// A program's write that was done.
    Write(WriteEntry),
    /// A change of apps, agencies, installs or tokens.
    Install(InstallEntry),
}

/// A change of an object.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ObjectEntry {
    /// When, product time, RFC 3339.
    pub(super) at: String,
    /// `contact`, `task`, `note` or `appointment`.
    pub(super) object: String,
    /// GHL's id.
    pub(super) id: String,
    /// The contact it belongs to; none for contacts.
    pub(super) contact_id: Option<String>,
    /// The location.
    pub(super) location_id: String,
    /// `create`, `update`, `tags`, `complete` or `delete`.
    pub(super) op: String,
    /// `user`, or `api` for a call with a token.
    pub(super) by: String,
    /// The object after the change, as GET answers it.
    pub(super) after: serde_json::Map<String, serde_json::Value>,
}

/// A webhook message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct DeliveryEntry {
    /// When it was made, product time, RFC 3339.
    pub(super) at: String,
    /// Its id.
    pub(super) webhook_id: String,
    /// The event type.
    #[serde(rename = "type")]
    pub(super) event_type: String,
    /// The app it is sent to.
    pub(super) app_id: String,
    /// The location.
    pub(super) location_id: String,
    /// The object.
    pub(super) object_id: String,
    /// The body, verbatim.
    pub(super) body: String,
}

/// A program's write.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct WriteEntry {
    /// When it was done, product time, RFC 3339.
    pub(super) at: String,
    /// The operation's id in GHL's catalogue.
    pub(super) operation: String,
    /// What it wrote.
    pub(super) id: String,
    /// What the caller named its request.
    pub(super) request_id: Option<String>,
}

/// One sending of a message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct AttemptEntry {
    /// When it ended, product time, RFC 3339.
    pub(super) at: String,
    /// Which message.
    pub(super) webhook_id: String,
    /// The HTTP status, or none when there was no answer.
    pub(super) status: Option<u16>,
}

/// The open journal.
pub(super) struct Journal {
    file: File,
}

impl Journal {
    /// Opens the journal and reads what is there; a torn last line, from a kill in mid-write, is cut off.
    pub(super) fn open(path: &Path) -> std::io::Result<(Self, Vec<Entry>)> {
        let mut entries = Vec::new();
        let mut whole = 0;
        if path.exists() {
            let mut reader = BufReader::new(File::open(path)?);
            let mut line = String::new();
            while reader.read_line(&mut line)? > 0 && line.ends_with('\n') {
                let Ok(entry) = serde_json::from_str(&line) else {
                    break;
                };
                entries.push(entry);
                whole += u64::try_from(line.len()).unwrap_or(0);
                line.clear();
            }
        }
        let file = File::options().create(true).append(true).open(path)?;
        file.set_len(whole)?;
        Ok((Self { file }, entries))
    }

    /// Appends entries, handed to the operating system when it returns.
    pub(super) fn append(&mut self, entries: &[Entry]) -> std::io::Result<()> {
        let mut text = Vec::new();
        for entry in entries {
            serde_json::to_writer(&mut text, entry)?;
            text.push(b'\n');
        }
        self.file.write_all(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_last_line_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let attempt = |id: &str| {
            Entry::Attempt(AttemptEntry { at: String::new(), webhook_id: id.into(), status: Some(200) })
        };
        let (mut journal, before) = Journal::open(&path).unwrap();
        assert!(before.is_empty());
        journal.append(&[attempt("a"), attempt("b")]).unwrap();
        journal.file.write_all(b"{\"kind\":\"att").unwrap();
        let (mut journal, found) = Journal::open(&path).unwrap();
        assert_eq!(found.len(), 2);
        journal.append(&[attempt("c")]).unwrap();
        assert_eq!(Journal::open(&path).unwrap().1.len(), 3);
    }
}
