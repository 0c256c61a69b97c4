//! Where strangers' bytes are parsed and compiled: one thread at a time, of low priority, and not longer than a limit.

use crate::domain::Clock;
use std::sync::Arc;
use std::time::Duration;
use thread_priority::{ThreadPriority, ThreadPriorityValue, set_current_thread_priority};
use tokio::sync::{Semaphore, oneshot};

/// The compiler's priority of 0 to 99; a run has about 50. On Linux it is a niceness of 5: while anything else wants the
/// processor the compiler gets about a quarter of it.
const PRIORITY: u8 = 35;

/// Why work did not come to an end.
#[derive(Debug)]
pub(super) enum Unfinished {
    /// It took longer than it may, its wait for its turn included.
    TooSlow(Duration),
    /// It panicked: the bytes made no sense to the parser.
    Panicked,
    /// The machine gave no thread.
    NoThread(String),
}

/// The one who compiles.
pub(super) struct Compiler {
    turn: Arc<Semaphore>,
    clock: Clock,
    limit: Duration,
}

impl Compiler {
    pub(super) fn new(clock: Clock, limit: Duration) -> Self {
        Self { turn: Arc::new(Semaphore::new(1)), clock, limit }
    }

    /// Does work off the hot path. A compiler can't be interrupted: work over the limit is given up by the one who
    /// waits, and keeps its turn until it ends, so that no more than one core is ever lost to it.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Unfinished> {
        let waiting = async {
            let turn = Arc::clone(&self.turn).acquire_owned().await;
            let (send, receive) = oneshot::channel();
            let thread = std::thread::Builder::new().name("plugin-compiler".to_owned()).spawn(move || {
                let _turn = turn;
                // Refused, the work is merely less polite.
                if let Err(error) = lower_priority() {
                    tracing::debug!(?error, "the compiler's thread keeps its priority");
                }
                let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
                // Nobody waits any more when the limit has passed.
                let _given_up = send.send(done);
            });
            match thread {
                Err(error) => Err(Unfinished::NoThread(error.to_string())),
                Ok(_detached) => match receive.await {
                    Ok(Ok(done)) => Ok(done),
                    Ok(Err(_)) | Err(_) => Err(Unfinished::Panicked),
                },
            }
        };
        self.clock.within(self.limit, waiting).await.unwrap_or(Err(Unfinished::TooSlow(self.limit)))
    }
}

fn lower_priority() -> Result<(), thread_priority::Error> {
    let priority = ThreadPriorityValue::try_from(PRIORITY)
        .map_err(|_out_of_range| thread_priority::Error::Priority("it is not between 0 and 99"))?;
    set_current_thread_priority(ThreadPriority::Crossplatform(priority))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_the_works_own() {
        let compiler = Compiler::new(Clock::system(), Duration::from_secs(5));
        assert!(matches!(compiler.work(|| panic!("on purpose")).await, Err::<(), _>(Unfinished::Panicked)));
        assert!(matches!(compiler.work(|| 7).await, Ok(7)));
    }

    #[tokio::test]
    async fn slow_work_is_given_up_and_keeps_its_turn() {
        let compiler = Compiler::new(Clock::system(), Duration::from_millis(50));
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let slow = compiler.work(move || ended.recv().is_ok()).await;
        assert!(matches!(slow, Err(Unfinished::TooSlow(_))));
        assert!(matches!(compiler.work(|| ()).await, Err(Unfinished::TooSlow(_))), "its turn was given away");
        end.send(()).unwrap();
        let mut tries = 0;
        while compiler.work(|| ()).await.is_err() {
            tries += 1;
            assert!(tries < 100, "the turn never came back");
        }
    }

    #[tokio::test]
    async fn the_compiler_is_nicer_than_the_rest_of_the_process() {
        let compiler = Compiler::new(Clock::system(), Duration::from_secs(5));
        let niceness = || -> i32 {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            let (_, after_name) = stat.rsplit_once(')').unwrap();
            after_name.split_whitespace().nth(16).unwrap().parse().unwrap()
        };
        let own = niceness();
        let its = compiler.work(niceness).await.unwrap();
        assert_eq!(its, 5.max(own));
        assert_eq!(niceness(), own);
    }
}
