//! The one writer: takes what has arrived, writes it in one transaction, then tells everyone.
//!
//! While one commit syncs the next batch gathers, so the batch grows with the load and nobody waits
//! for a timer. Small writes can't fail on constraints; a failing batch is the database's own fault.

use super::commit::{self, EventCommit};
use super::inbox::{self, Appended, InboxRow};
use super::{Connection, StoreError};
use crate::domain::Clock;
use sqlx::Connection as _;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// Jobs that wait for the writer before those who send them have to wait; bounds memory.
const QUEUE: usize = 8192;
/// Jobs in one commit; beyond it a commit takes longer than those behind it should wait.
const BATCH: usize = 1024;

type Boxed<'c> = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 'c>>;
type Work = Box<dyn for<'c> FnOnce(&'c mut Connection) -> Boxed<'c> + Send>;

enum Job {
    Append { row: InboxRow, reply: oneshot::Sender<Result<Appended, StoreError>> },
    Commit { commit: Box<EventCommit>, reply: oneshot::Sender<Result<(), StoreError>> },
    Work { work: Work, reply: oneshot::Sender<Result<(), StoreError>> },
    Close { reply: oneshot::Sender<()> },
}

/// The way to the writer task.
#[derive(Clone)]
pub(super) struct WriterHandle {
    jobs: mpsc::Sender<Job>,
    appended: watch::Receiver<i64>,
}

impl WriterHandle {
    pub(super) async fn append(&self, row: InboxRow) -> Result<Appended, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Append { row, reply }).await?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    pub(super) async fn commit(&self, commit: EventCommit) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Commit { commit: Box::new(commit), reply }).await?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Runs `work` in a transaction of its own and gives back what it made.
    pub(super) async fn work<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(
                &'c mut Connection,
            ) -> Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'c>>
            + Send
            + 'static,
    {
        let (value_sender, value) = oneshot::channel();
        let (reply, answer) = oneshot::channel();
        let work: Work = Box::new(move |connection| {
            Box::pin(async move {
                let made = work(connection).await?;
                // The caller may have gone; the work is committed all the same.
                drop(value_sender.send(made));
                Ok(())
            })
        });
        self.send(Job::Work { work, reply }).await?;
        answer.await.unwrap_or(Err(StoreError::Closed))?;
        value.await.map_err(|_gone| StoreError::Closed)
    }

    /// Follows the greatest sequence that is committed.
    pub(super) fn appended(&self) -> watch::Receiver<i64> {
        self.appended.clone()
    }

    pub(super) async fn close(&self) {
        let (reply, answer) = oneshot::channel();
        if self.send(Job::Close { reply }).await.is_ok() {
            drop(answer.await);
        }
    }

    async fn send(&self, job: Job) -> Result<(), StoreError> {
        self.jobs.send(job).await.map_err(|_stopped| StoreError::Closed)
    }
}

/// The task's own state.
pub(super) struct Writer {
    connection: Connection,
    appended: watch::Sender<i64>,
}

impl Writer {
    /// Starts the task; it ends when it is closed or its last handle is dropped.
    pub(super) fn start(connection: Connection, _clock: Clock) -> WriterHandle {
        let (jobs, mut queue) = mpsc::channel(QUEUE);
        let (appended, following) = watch::channel(0);
        let mut writer = Self { connection, appended };
        tokio::spawn(async move {
            let mut batch = Vec::with_capacity(BATCH);
            while queue.recv_many(&mut batch, BATCH).await > 0 {
                if let Some(closed) = writer.write(std::mem::take(&mut batch)).await {
                    drop(writer.connection.close().await);
                    let _sent = closed.send(());
                    return;
                }
            }
        });
        WriterHandle { jobs, appended: following }
    }

    async fn write(&mut self, batch: Vec<Job>) -> Option<oneshot::Sender<()>> {
        let mut rows = Vec::new();
        let mut row_replies = Vec::new();
        let mut commits = Vec::new();
        let mut commit_replies = Vec::new();
        let mut works = Vec::new();
        let mut close = None;
        for job in batch {
            match job {
                Job::Append { row, reply } => {
                    rows.push(row);
                    row_replies.push(reply);
                }
                Job::Commit { commit, reply } => {
                    commits.push(*commit);
                    commit_replies.push(reply);
                }
                Job::Work { work, reply } => works.push((work, reply)),
                Job::Close { reply } => close = Some(reply),
            }
        }
        if !rows.is_empty() || !commits.is_empty() {
            match self.write_group(&rows, &commits).await {
                Ok(appended) => {
                    if let Some(last) = appended.iter().map(Appended::sequence).max() {
                        self.appended.send_if_modified(|current| {
                            let more = last > *current;
                            *current = last.max(*current);
                            more
                        });
                    }
                    for (reply, appended) in row_replies.into_iter().zip(appended) {
                        drop(reply.send(Ok(appended)));
                    }
                    for reply in commit_replies {
                        drop(reply.send(Ok(())));
                    }
                }
                Err(error) => Self::fail(error, row_replies, commit_replies),
            }
        }
        for (work, reply) in works {
            let done = self.write_one(work).await;
            drop(reply.send(done));
        }
        close
    }

    fn fail(
        error: StoreError,
        rows: Vec<oneshot::Sender<Result<Appended, StoreError>>>,
        commits: Vec<oneshot::Sender<Result<(), StoreError>>>,
    ) {
        let shared = Arc::new(error);
        let copy = || StoreError::Group(Arc::clone(&shared));
        for reply in rows {
            drop(reply.send(Err(copy())));
        }
        for reply in commits {
            drop(reply.send(Err(copy())));
        }
    }

    async fn write_group(
        &mut self,
        rows: &[InboxRow],
        commits: &[EventCommit],
    ) -> Result<Vec<Appended>, StoreError> {
        let mut transaction = self.connection.begin().await?;
        let appended = inbox::append_all(&mut transaction, rows).await?;
        commit::write_all(&mut transaction, commits).await?;
        crate::config::failpoint("inside-commit");
        transaction.commit().await?;
        Ok(appended)
    }

    async fn write_one(&mut self, work: Work) -> Result<(), StoreError> {
        let mut transaction = self.connection.begin().await?;
        work(&mut transaction).await?;
        transaction.commit().await?;
        Ok(())
    }
}
