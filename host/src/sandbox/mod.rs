//! The imitation GHL, a process of its own.
//!
//! It has contacts, signed webhooks with retries and faults, and a journal on disk of everything that changed and was
//! sent. It shares nothing with the host but the clock's origin.

mod contacts;
mod control;
mod delivery;
mod journal;
mod refusal;
mod server;
mod sign;
mod state;

pub use server::{Sandbox, SandboxSettings};
