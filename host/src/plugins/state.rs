//! What a store holds during a run, and the host's side of the imports.

use super::bindings::{log, types};
use super::limits::{Growth, Limits};
use super::run::LogLine;

/// A store's data.
pub(super) struct RunState {
    pub(super) growth: Growth,
    limits: Limits,
    pub(super) lines: Vec<LogLine>,
    pub(super) dropped: u32,
    pub(super) host_calls: u64,
}

impl RunState {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            growth: Growth::new(limits),
            limits: *limits,
            lines: Vec::new(),
            dropped: 0,
            host_calls: 0,
        }
    }
}

impl types::Host for RunState {}

impl log::Host for RunState {
    fn write(&mut self, level: log::Level, mut message: String) {
        self.host_calls += 1;
        if self.lines.len() >= self.limits.log_lines {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        if message.len() > self.limits.log_line_bytes {
            let end = (0..=self.limits.log_line_bytes)
                .rev()
                .find(|at| message.is_char_boundary(*at))
                .unwrap_or(0);
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
