//! GHL's API: one transport for every call, with its quota, its errors and its log; reads for runs, writes for effects.
//!
//! It knows GHL's shapes and no tenant's business. Tokens come through a port and leave with the request.

mod catalogue;
mod client;
mod error;
mod limiter;
mod oauth;
mod operations;
mod polls;
mod reads;
mod redact;
mod snapshots;
mod writes;

pub use catalogue::{OperationListing, operations};
pub use client::{Access, Accessing, Ghl, GhlReply, GhlRequest, Ready, Tokens};
pub use error::GhlError;
pub use limiter::Quota;
pub use oauth::{Oauth, OauthApp, OauthError, TokenClass, TokenPair};
pub use operations::{Operation, class_of, operation};
pub use polls::{
    ContactOrder, Snapshots, poll_appointments, poll_calendars, poll_contacts, poll_of_contact, poll_one,
    poll_tasks,
};
pub use reads::answer;
pub use snapshots::Snapshot;
pub use writes::{Found, ResolvedEffect, WrittenObject, find, request_of, written};
