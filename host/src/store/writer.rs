//! The one writer: takes what has arrived, writes it in one transaction, then tells everyone.
//!
//! While one commit syncs the next batch gathers, so the batch grows with the load and nobody waits
//! for a timer. Small writes can't fail on constraints; a failing batch is the database's own fault.

use super::commit::{self, EventCommit};
use super::inbox::{self, Appended, InboxRow};
use super::memory::Versions;
use super::outbox::Steps;
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

/// The way to the writer.
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

/// What a group came to.
struct Written {
    appended: Vec<Appended>,
    /// For each commit whether it was written, or what it stands on was changed meanwhile.
    admitted: Vec<bool>,
    /// The greatest sequence the inbox has now.
    last: Option<i64>,
}

/// Counts a commit and what shared it.
fn count_group(appends: usize, ends: usize, took: std::time::Duration) {
    let number = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    metrics::histogram!("mapwright_commit_seconds").record(took);
    if appends > 0 {
        metrics::histogram!("mapwright_commit_inbox_rows").record(number(appends));
    }
    if ends > 0 {
        metrics::counter!("mapwright_event_commits_total").increment(1);
        metrics::histogram!("mapwright_commit_event_runs").record(number(ends));
    }
}

/// The writer's own state.
pub(super) struct Writer {
    connection: Connection,
    appended: watch::Sender<i64>,
    clock: Clock,
}

impl Writer {
    /// Starts it; it ends when it is closed or its last handle is dropped.
    pub(super) fn start(connection: Connection) -> WriterHandle {
        let (jobs, mut queue) = mpsc::channel(QUEUE);
        let (appended, following) = watch::channel(0);
        let mut writer = Self { connection, appended, clock: Clock::system() };
        let writing = async move {
            let mut batch = Vec::with_capacity(BATCH);
            while queue.recv_many(&mut batch, BATCH).await > 0 {
                if let Some(closed) = writer.write(std::mem::take(&mut batch)).await {
                    drop(writer.connection.close().await);
                    let _sent = closed.send(());
                    return;
                }
            }
        };
        // A thread of its own: a commit is some dozen statements, and on the workers' threads each of them would wait
        // until a run gives its thread back.
        let runtime = tokio::runtime::Handle::current();
        tokio::task::spawn_blocking(move || runtime.block_on(writing));
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
            let began = self.clock.machine_now();
            let (appends, ends) = (rows.len(), commits.len());
            match self.write_group(&rows, commits).await {
                Ok(written) => {
                    count_group(appends, ends, began.elapsed());
                    self.tell(written.last);
                    for (reply, appended) in row_replies.into_iter().zip(written.appended) {
                        drop(reply.send(Ok(appended)));
                    }
                    for (reply, admitted) in commit_replies.into_iter().zip(written.admitted) {
                        drop(reply.send(if admitted { Ok(()) } else { Err(StoreError::Conflict) }));
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

    /// Tells those who follow the inbox how far it goes now.
    fn tell(&self, last: Option<i64>) {
        let Some(last) = last else { return };
        self.appended.send_if_modified(|current| {
            let more = last > *current;
            *current = last.max(*current);
            more
        });
    }

    async fn write_group(
        &mut self,
        rows: &[InboxRow],
        commits: Vec<EventCommit>,
    ) -> Result<Written, StoreError> {
        let mut transaction = self.connection.begin().await?;
        let appended = inbox::append_all(&mut transaction, rows).await?;
        let mut versions = Versions::default();
        let mut steps = Steps::default();
        let mut admitted = Vec::with_capacity(commits.len());
        let mut to_write = Vec::with_capacity(commits.len());
        for commit in commits {
            let admit = (commit.state.is_empty() || versions.admit(&mut transaction, &commit.state).await?)
                && (commit.marks.is_empty() || steps.admit(&mut transaction, &commit.marks).await?);
            admitted.push(admit);
            if admit {
                to_write.push(commit);
            }
        }
        let caused = commit::write_all(&mut transaction, &to_write).await?;
        crate::config::failpoint("inside-commit");
        transaction.commit().await?;
        let last = appended.iter().map(Appended::sequence).chain(caused).max();
        Ok(Written { appended, admitted, last })
    }

    async fn write_one(&mut self, work: Work) -> Result<(), StoreError> {
        let mut transaction = self.connection.begin().await?;
        work(&mut transaction).await?;
        transaction.commit().await?;
        Ok(())
    }
}
