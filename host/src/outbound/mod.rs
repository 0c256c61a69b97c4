//! Every HTTP request we make, with a deadline. The only room that knows the HTTP client.
//!
//! Bodies are read up to a cap, redirects are never followed, and nothing of a request is logged here.

mod client;

pub use client::{Client, ClientSettings, OutboundError, Reply, Request};
pub use reqwest::Method;
