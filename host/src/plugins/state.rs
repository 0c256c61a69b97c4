//! What a store holds during a run.

use super::bindings::log;
use super::limits::{Growth, Limits};
use super::run::{LogLine, RunContext};
use crate::domain::{ReadRequest, StateWrite, Timestamp};

/// A store's data.
pub(super) struct RunState {
    pub(super) growth: Growth,
    pub(super) limits: Limits,
    pub(super) context: RunContext,
    pub(super) moment: Moment,
    pub(super) lines: Vec<LogLine>,
    pub(super) dropped: u32,
    /// Bytes the run may still log.
    log_left: usize,
    /// What was printed since the last line's end, of each stream.
    printed: [(&'static str, Vec<u8>); 2],
    /// Look-ups made.
    pub(super) reads: usize,
    /// Bytes of answers it may still be handed.
    pub(super) read_bytes_left: usize,
    /// Look-ups without an answer; the run ends at the first.
    pub(super) wanted: Vec<ReadRequest>,
    /// State values set.
    pub(super) writes: Vec<StateWrite>,
}

/// The run's time, and what chance it has: both the event's.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moment {
    pub(super) now: Timestamp,
    seed: u64,
}

impl Moment {
    pub(super) fn new(now: Timestamp, seed: u64) -> Self {
        Self { now, seed }
    }

    /// The next number of the seed's sequence (SplitMix64).
    pub(super) fn random(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl RunState {
    pub(super) fn new(limits: &Limits, context: RunContext, moment: Moment) -> Self {
        Self {
            growth: Growth::new(limits),
            limits: *limits,
            context,
            moment,
            lines: Vec::new(),
            dropped: 0,
            log_left: limits.log_bytes,
            printed: [("info", Vec::new()), ("error", Vec::new())],
            reads: 0,
            read_bytes_left: limits.read_bytes,
            wanted: Vec::new(),
            writes: Vec::new(),
        }
    }

    pub(super) fn write(&mut self, level: log::Level, message: String) {
        let level = match level {
            log::Level::Debug => "debug",
            log::Level::Info => "info",
            log::Level::Warn => "warn",
            log::Level::Error => "error",
        };
        self.line(level, message);
    }

    /// Keeps a line, cut at its limit, or counts it as dropped.
    pub(super) fn line(&mut self, level: &'static str, mut message: String) {
        let longest = self.limits.log_line_bytes.min(self.log_left);
        if self.lines.len() >= self.limits.log_lines || longest == 0 {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        if message.len() > longest {
            let end = (0..=longest).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
            message.truncate(end);
        }
        self.log_left = self.log_left.saturating_sub(message.len());
        self.lines.push(LogLine { level, message });
    }

    /// Takes what a guest prints; each line that ends becomes one of the log.
    pub(super) fn print(&mut self, level: &'static str, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let Some((_, line)) = self.printed.iter_mut().find(|(of, _)| *of == level) else { return };
            let room = self.limits.log_line_bytes.saturating_sub(line.len());
            line.extend(piece.iter().take(room));
            if piece.ends_with(b"\n") {
                let whole = std::mem::take(line);
                self.print_line(level, &whole);
            }
        }
    }

    fn print_line(&mut self, level: &'static str, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end();
        if !text.is_empty() {
            self.line(level, text.to_owned());
        }
    }

    /// Takes over what was printed without a line's end.
    pub(super) fn end_lines(&mut self) {
        for (level, line) in std::mem::take(&mut self.printed) {
            self.print_line(level, &line);
        }
    }

    /// What the guest said when it panicked, if it did: through the logger, or on its standard error.
    pub(super) fn panic_message(&self) -> Option<String> {
        let errors = || self.lines.iter().filter(|line| line.level == "error");
        let at = errors().position(|line| line.message.contains("panicked at"))?;
        let said: Vec<&str> = errors().skip(at).take(2).map(|line| line.message.as_str()).collect();
        Some(said.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(limits: Limits) -> RunState {
        RunState::new(&limits, RunContext::default(), Moment::default())
    }

    fn messages(state: &RunState) -> Vec<&str> {
        state.lines.iter().map(|line| line.message.as_str()).collect()
    }

    #[test]
    fn lines_are_cut_and_dropped_at_their_limits() {
        let mut run = state(Limits { log_lines: 2, log_line_bytes: 4, ..Limits::default() });
        for text in ["abcdef", "üüü", "x"] {
            run.line("info", text.to_owned());
        }
        assert_eq!(messages(&run), ["abcd", "üü"]);
        assert_eq!(run.dropped, 1);
    }

    #[test]
    fn all_lines_together_have_a_limit() {
        let mut run = state(Limits { log_bytes: 5, ..Limits::default() });
        for text in ["abc", "defg", "h"] {
            run.line("info", text.to_owned());
        }
        assert_eq!(messages(&run), ["abc", "de"]);
        assert_eq!(run.dropped, 1);
    }

    #[test]
    fn printed_bytes_become_lines_of_their_stream() {
        let mut run = state(Limits::default());
        run.print("info", b"one\ntw");
        run.print("error", b"bad\n\n");
        run.print("info", b"o\nthree");
        run.end_lines();
        assert_eq!(messages(&run), ["one", "bad", "two", "three"]);
        assert_eq!(run.lines[1].level, "error");
    }

    #[test]
    fn a_panic_on_standard_error_is_found() {
        let mut run = state(Limits::default());
        run.print(
            "error",
            b"\nthread '<unnamed>' panicked at src/lib.rs:6:42:\non purpose\nnote: run with\n",
        );
        assert_eq!(
            run.panic_message().as_deref(),
            Some("thread '<unnamed>' panicked at src/lib.rs:6:42:\non purpose")
        );
    }

    #[test]
    fn chance_is_the_seeds() {
        let numbers = |seed| {
            let mut moment = Moment::new(Timestamp::from_millis(0), seed);
            [moment.random(), moment.random()]
        };
        assert_eq!(numbers(7), numbers(7));
        assert_ne!(numbers(7), numbers(8));
        assert_ne!(numbers(7)[0], numbers(7)[1]);
    }
}
