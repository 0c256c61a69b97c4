//! Mapwright's host: one process that owns GHL credentials, HTTP, webhooks and storage, and runs each
//! customer's mappings and reactions as sandboxed WebAssembly components.
//!
//! A room is a folder and its `mod.rs` the only door; imports go down this list:
//!
//! - [`cli`], [`app`]: commands and the composition root
//! - [`api`], [`sandbox`]: the door for programs; the imitation GHL
//! - [`pipeline`], [`schedule`]: one event's journey; what comes due
//! - [`webhooks`], [`effects`]: what comes in; what goes out
//! - [`tenants`], [`accounts`]: whose it is; who may do what
//! - [`ghl`], [`plugins`], [`timeline`]: the CRM's client; the WebAssembly runtime; what happened, in sentences
//! - [`backup`]: one file with everything, verified and restored
//! - [`outbound`], [`store`]: every HTTP request, all SQL
//! - [`config`], [`telemetry`], [`vault`]: settings, log and metrics, sealed secrets
//! - [`domain`]: the words of the product as types

pub mod accounts;
pub mod api;
pub mod app;
pub mod backup;
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
pub mod sync;
pub mod telemetry;
pub mod tenants;
pub mod timeline;
pub mod vault;
pub mod webhooks;
