//! Why the store could not do what was asked.

/// A failure of storage; the variant tells what the caller can do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused or failed; the cause is for the log.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// The database could not be brought to this version's tables.
    #[error("the database's tables could not be brought up to date")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// Another process has this database open.
    #[error("{path} is in use by another mapwright process; stop it, or give this one another data folder")]
    InUse {
        /// The lock file.
        path: std::path::PathBuf,
    },
    /// A file of the data folder could not be made or opened.
    #[error("{path} could not be opened")]
    File {
        /// Which file.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// A stored value is not what this version writes.
    #[error("a stored {what} can't be read: {detail}")]
    Corrupt {
        /// What was being read.
        what: &'static str,
        /// What is wrong with it, without its content.
        detail: String,
    },
    /// A rule of the data was broken, by the name of its constraint.
    #[error("{what} exists already")]
    Exists {
        /// What exists.
        what: &'static str,
    },
    /// What a commit stands on was changed meanwhile: a plugin's state that its run had read, or how an effect stands.
    /// Nothing of it is stored.
    #[error("what it stands on was changed meanwhile")]
    Conflict,
    /// The commit this write was grouped into failed; nothing of it is stored.
    #[error("the commit failed")]
    Group(#[source] std::sync::Arc<StoreError>),
    /// The writer has stopped.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// A stored JSON text that does not parse.
    pub(crate) fn corrupt(what: &'static str, error: &impl std::fmt::Display) -> Self {
        Self::Corrupt { what, detail: error.to_string() }
    }
}
