//! What a store holds during a run, and the host's side of the imports.

use super::bindings::log;
use super::limits::{Growth, Limits};
use super::run::LogLine;
use wasmtime::component::Linker;
use wasmtime::{StoreContextMut, Trap};

/// A store's data.
pub(super) struct RunState {
    pub(super) growth: Growth,
    limits: Limits,
    pub(super) lines: Vec<LogLine>,
    pub(super) dropped: u32,
}

impl RunState {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { growth: Growth::new(limits), limits: *limits, lines: Vec::new(), dropped: 0 }
    }
}

/// Links the host's side of the imports. By hand, because a host function that charges fuel needs the store.
pub(super) fn link(linker: &mut Linker<RunState>) -> wasmtime::Result<()> {
    linker.instance("mapwright:plugin/types@0.1.0")?;
    linker.instance("mapwright:plugin/log@0.1.0")?.func_wrap(
        "write",
        |mut store: StoreContextMut<'_, RunState>, (level, message): (log::Level, String)| {
            charge(&mut store)?;
            store.data_mut().write(level, message);
            Ok(())
        },
    )
}

/// Takes a host call's price; a guest that calls forever ends by fuel like one that spins.
fn charge(store: &mut StoreContextMut<'_, RunState>) -> wasmtime::Result<()> {
    let price = store.data().limits.host_call_fuel;
    match store.get_fuel()?.checked_sub(price) {
        Some(left) => store.set_fuel(left),
        None => {
            store.set_fuel(0)?;
            Err(Trap::OutOfFuel.into())
        }
    }
}

impl RunState {
    fn write(&mut self, level: log::Level, mut message: String) {
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
