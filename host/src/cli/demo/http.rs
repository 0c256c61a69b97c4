//! JSON over HTTP for the demo and its checker; they reach host and sandbox as anyone would.

use crate::outbound::{Client, ClientSettings, Method, Request};
use anyhow::{Context as _, bail};
use serde_json::Value;

/// A JSON client.
pub(super) struct Http(Client);

impl Http {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self(Client::new(ClientSettings::default())?))
    }

    pub(super) async fn get(&self, url: &str, key: Option<&str>) -> anyhow::Result<Value> {
        self.send(Method::GET, url, key, None).await
    }

    pub(super) async fn post(&self, url: &str, body: &Value) -> anyhow::Result<Value> {
        self.send(Method::POST, url, None, Some(body)).await
    }

    pub(super) async fn put(&self, url: &str, body: &Value) -> anyhow::Result<Value> {
        self.send(Method::PUT, url, None, Some(body)).await
    }

    pub(super) async fn delete(&self, url: &str) -> anyhow::Result<Value> {
        self.send(Method::DELETE, url, None, None).await
    }

    async fn send(
        &self,
        method: Method,
        url: &str,
        key: Option<&str>,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        if let Some(key) = key {
            headers.push(("authorization".to_owned(), format!("Bearer {key}")));
        }
        let body = body.map(|body| body.to_string().into_bytes());
        let request = Request { method: method.clone(), url: url.to_owned(), headers, body };
        let reply = self.0.send(request).await.with_context(|| format!("{method} {url}"))?;
        if !(200..300).contains(&reply.status) {
            bail!("{method} {url} answered {}: {}", reply.status, String::from_utf8_lossy(&reply.body));
        }
        if reply.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&reply.body).with_context(|| format!("{method} {url} answered no JSON"))
    }
}
