//! What a store holds during a run.

use super::bindings::log;
use super::limits::{Growth, Limits};
use super::run::{LogLine, RunContext};
use crate::domain::{ReadRequest, StateWrite};

/// A store's data.
pub(super) struct RunState {
    pub(super) growth: Growth,
    pub(super) limits: Limits,
    pub(super) context: RunContext,
    pub(super) lines: Vec<LogLine>,
    pub(super) dropped: u32,
    /// Look-ups made.
    pub(super) reads: usize,
    /// Look-ups without an answer; the run ends at the first.
    pub(super) wanted: Vec<ReadRequest>,
    /// State values set.
    pub(super) writes: Vec<StateWrite>,
}

impl RunState {
    pub(super) fn new(limits: &Limits, context: RunContext) -> Self {
        Self {
            growth: Growth::new(limits),
            limits: *limits,
            context,
            lines: Vec::new(),
            dropped: 0,
            reads: 0,
            wanted: Vec::new(),
            writes: Vec::new(),
        }
    }

    pub(super) fn write(&mut self, level: log::Level, mut message: String) {
        if self.lines.len() >= self.limits.log_lines {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        if message.len() > self.limits.log_line_bytes {
            let end =
                (0..=self.limits.log_line_bytes).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
            message.truncate(end);
        }
        let level = match level {
            log::Level::Debug => "debug",
            log::Level::Info => "info",
            log::Level::Warn => "warn",
            log::Level::Error => "error",
        };
        self.lines.push(LogLine { level, message });
    }
}
