//! The HTTP door for programs: webhooks in, `/v1` for Rankr and operators, health for whoever runs the process.
//!
//! Handlers translate; what is decided is decided below. Statuses and problem documents are made in `problem`
//! and nowhere else.

mod api_keys;
mod assignments;
mod attempts;
mod audit;
mod auth;
mod backups;
mod bare;
mod connections;
mod dead_letters;
mod effects;
mod envelope;
mod event_story;
mod events;
mod health;
mod keys;
mod listen;
mod oauth;
mod openapi;
mod operations;
mod page;
mod plugins;
mod problem;
mod query;
mod records;
mod refusals;
mod reruns;
mod runs;
mod serve;
mod state;
mod tenants;
mod timeline;
mod timing_rules;
mod trail;
mod webhooks;

pub use attempts::WrongKeys;
pub use openapi::openapi;
pub use serve::Door;
pub use state::{ApiParts, ApiState, DoorSettings};
