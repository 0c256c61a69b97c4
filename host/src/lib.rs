//! Mapwright's host: one process that owns GHL credentials, HTTP, webhooks and storage, and runs each
//! customer's mappings and reactions as sandboxed WebAssembly components.
//!
//! A room is a folder and its `mod.rs` the only door; imports go down this list:
//!
//! - [`cli`], [`app`]: commands and the composition root
//! - `api`, `sandbox`: doors for programs; the imitation GHL
//! - `pipeline`: one event's journey
//! - `webhooks`, `effects`: what comes in, what goes out
//! - `tenants`, `accounts`: whose it is, who may do what
//! - `ghl`, `rankr`, `plugins`, `timeline`: siblings that never import each other
//! - `outbound`, `store`: every HTTP request, all SQL
//! - `vault`, `config`, `telemetry`: secrets, settings, log and metric names
//! - [`domain`]: the words of the product as types

pub mod accounts;
pub mod api;
pub mod app;
pub mod cli;
pub mod config;
pub mod domain;
pub mod effects;
pub mod ghl;
pub mod outbound;
pub mod pipeline;
pub mod plugins;
pub mod rankr;
pub mod sandbox;
pub mod store;
pub mod telemetry;
pub mod tenants;
pub mod timeline;
pub mod vault;
pub mod webhooks;
