//! Mapwright's host: one process that owns GHL credentials, HTTP, webhooks and storage, and runs each
//! customer's mappings and reactions as sandboxed WebAssembly components.
//!
//! A room is a folder and its `mod.rs` the only door; imports go down this list:
//!
//! - [`cli`], [`app`]: commands and the composition root
//! - [`api`], [`sandbox`]: the door for programs; the imitation GHL
//! - [`pipeline`]: one event's journey
//! - [`webhooks`]: what comes in
//! - [`tenants`]: whose it is
//! - [`plugins`]: the WebAssembly runtime
//! - [`outbound`], [`store`]: every HTTP request, all SQL
//! - [`config`], [`telemetry`]: settings, log and metrics
//! - [`domain`]: the words of the product as types

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
pub mod sandbox;
pub mod schedule;
pub mod store;
pub mod telemetry;
pub mod tenants;
pub mod vault;
pub mod webhooks;
