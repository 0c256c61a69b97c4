//! The imitation GHL, a process of its own.
//!
//! It has agencies with locations, OAuth with its consent page, contacts with their tasks, notes and appointments, signed
//! webhooks with retries, quotas and faults, and a journal on disk of everything that changed and was sent. It shares
//! nothing with the host but the clock's origin.

mod calendars;
mod caller;
mod children;
mod consent;
mod contacts;
mod control;
mod delivery;
mod index;
mod install_control;
mod installs;
mod journal;
mod keeping;
mod keys;
mod limits;
mod oauth;
mod refusal;
mod search;
mod server;
mod shape;
mod sign;
mod state;

pub use server::{Sandbox, SandboxSettings};
