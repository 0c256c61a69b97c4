//! Reruns: events that people have run again.

/// Why an event is run again; also the type of the event that asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RerunKind {
    /// An assignment failed for good; it is tried with its present active version.
    Retry,
    /// The plan is made anew and compared with what was done; what differs is performed.
    Reprocess,
    /// The plan is made anew and compared with what was done; nothing is performed.
    Compare,
}

impl RerunKind {
    /// The word used in storage, in the API and as event type.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Reprocess => "reprocess",
            Self::Compare => "compare",
        }
    }

    /// The kind for a stored word; none for the types of all other events.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Retry, Self::Reprocess, Self::Compare].into_iter().find(|kind| kind.as_str() == word)
    }
}
