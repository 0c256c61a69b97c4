//! Opening the database: the lock, the pragmas, the migrations, the writer and the readers.

use super::Connection;
use super::error::StoreError;
use super::writer::{Writer, WriterHandle};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection as _, SqlitePool};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How far a commit goes before it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Synchronous {
    /// Synced to the disk before anyone is told. The only setting a product runs with.
    Full,
    /// Not synced; for showing that the tests notice.
    Off,
}

/// How the store is opened.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// The folder that holds the database and its lock.
    pub folder: PathBuf,
    /// Reading connections.
    pub readers: u32,
    /// How far a commit goes.
    pub synchronous: Synchronous,
}

impl StoreSettings {
    /// The defaults over that folder.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), readers: 4, synchronous: Synchronous::Full }
    }
}

/// The open database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pub(super) writer: WriterHandle,
    pub(super) readers: SqlitePool,
    path: Arc<Path>,
    /// How the writer's connection was opened.
    options: Arc<SqliteConnectOptions>,
    _lock: Arc<File>,
}

/// Pages of the write-ahead log between automatic checkpoints: 32,000 pages are 128 MiB, which keeps a
/// checkpoint's random writes out of nearly every commit (measured: twice the rows a second of the default).
const CHECKPOINT_PAGES: &str = "32000";

/// Rows that a connection's thread reads ahead, so that a batch's rows are one wait and not one each.
const ROW_BUFFER: usize = 512;

impl Store {
    /// Opens the database in its folder, alone: makes it if needed, brings its tables up to date.
    ///
    /// # Errors
    /// When another process holds it, or it can't be opened or migrated.
    pub async fn open(settings: &StoreSettings) -> Result<Self, StoreError> {
        std::fs::create_dir_all(&settings.folder)
            .map_err(|cause| StoreError::File { path: settings.folder.clone(), cause })?;
        let lock = lock(&settings.folder.join("mapwright.lock"))?;
        let path = settings.folder.join("mapwright.db");
        let synchronous = match settings.synchronous {
            Synchronous::Full => SqliteSynchronous::Full,
            Synchronous::Off => SqliteSynchronous::Off,
        };
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(synchronous)
            .busy_timeout(Duration::from_secs(10))
            .foreign_keys(true)
            .statement_cache_capacity(512)
            .row_buffer_size(ROW_BUFFER)
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
            .pragma("cache_size", "-65536")
            .pragma("temp_store", "memory")
            .pragma("mmap_size", "268435456")
            .disable_statement_logging();
        let mut connection = options.clone().connect().await?;
        sqlx::migrate!("migrations/sqlite").run(&mut connection).await?;
        connection.ping().await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(settings.readers.max(1))
            // A file does not hang up; to ask whether it did costs a way to the connection's thread and back.
            .test_before_acquire(false)
            .connect_with(options.clone().read_only(true).create_if_missing(false))
            .await?;
        let writer = Writer::start(connection);
        Ok(Self { writer, readers, path: Arc::from(path), options: Arc::new(options), _lock: Arc::new(lock) })
    }

    /// Writes out what is still queued and closes the database.
    pub async fn close(&self) {
        self.writer.close().await;
        self.readers.close().await;
    }

    /// The database's file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Another connection as the writer's is, for measuring beside it; a host has one that writes.
    pub(super) async fn bare_connection(&self) -> Result<Connection, StoreError> {
        Ok(SqliteConnectOptions::clone(&self.options).connect().await?)
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// When it doesn't.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.readers).await?;
        Ok(())
    }
}

/// Takes the operating system's lock, which is gone when the process is, however it ends.
fn lock(path: &Path) -> Result<File, StoreError> {
    let file_error = |cause| StoreError::File { path: path.to_owned(), cause };
    let file = File::options().create(true).truncate(false).write(true).open(path).map_err(file_error)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::InUse { path: path.to_owned() }),
        Err(std::fs::TryLockError::Error(cause)) => Err(file_error(cause)),
    }
}
