//! Onboarding as an operator does it, over the host's API alone: plugins deployed, tenants made, plugins assigned,
//! locations connected (one as people do, over GHL's consent page, one with an API key), timing rules set.

use super::cast::{APP, Connected, SCOPES, Tenant};
use super::http::Http;
use crate::cli::output::complain;
use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use std::path::Path;

/// What each tenant uses: plugin, configuration, grants.
fn assignments() -> [(&'static str, Value, Value); 3] {
    let reactions = json!({
        "tag_tasks": {"vip": "Welcome the new VIP"}, "due_days": 2, "noted_fields": ["phone"], "note_overdue": true,
    });
    let writes = json!([
        "crm.tasks.write",
        "crm.notes.write",
        "crm.tasks.read",
        "rankr.read",
        "rankr.write",
        "rankr.timeline",
        "rankr.events",
        "schedule",
        "state.contact",
    ]);
    let reads = json!(["crm.contacts.read", "crm.tasks.read", "crm.notes.read", "crm.appointments.read"]);
    [
        ("contact-profile", json!({}), reads),
        ("task-reactions", reactions, writes),
        ("crash-drill", json!({"tag": "drill"}), json!([])),
    ]
}

/// Who onboards: over the host's API, and at GHL's pages as the customer's owner.
pub(super) struct Onboarding<'a> {
    pub(super) http: &'a Http,
    pub(super) sandbox: &'a str,
    pub(super) host: &'a str,
    pub(super) key: &'a str,
}

impl Onboarding<'_> {
    /// Onboards all tenants.
    pub(super) async fn run(&self, plugins: &Path, tenants: &[Tenant]) -> anyhow::Result<()> {
        self.deploy(plugins).await?;
        for tenant in tenants {
            let new = json!({"id": tenant.id, "name": tenant.name});
            self.post("/v1/tenants", &new).await?;
            for (plugin, config, grants) in assignments() {
                let asked =
                    json!({"tenant": tenant.id, "plugin": plugin, "config": config, "grants": grants});
                self.post("/v1/assignments", &asked).await?;
            }
            let connection = match tenant.connected {
                Connected::ByConsent => self.authorise(tenant).await?,
                Connected::ByKey => self.connect_by_key(tenant).await?,
            };
            self.set_timing_rules(tenant).await?;
            complain(&format!("{}: connected {} as {connection}", tenant.name, tenant.connected.how()));
        }
        Ok(())
    }

    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.http.post(&format!("{}{path}", self.host), Some(self.key), body).await
    }

    /// Deploys each .wasm file of a folder.
    async fn deploy(&self, folder: &Path) -> anyhow::Result<()> {
        let wanted = assignments().map(|(plugin, _, _)| format!("{plugin}.wasm"));
        for name in &wanted {
            let path = folder.join(name);
            let bytes = std::fs::read(&path).with_context(|| format!("{} can't be read", path.display()))?;
            let url = format!("{}/v1/plugins", self.host);
            let version = self.http.upload(&url, self.key, bytes).await?;
            let (plugin, semver) = (&version["description"]["name"], &version["description"]["version"]);
            complain(&format!("deployed {plugin} {semver}"));
        }
        Ok(())
    }

    /// The way of a person: the host's link, GHL's consent page, back to the host.
    async fn authorise(&self, tenant: &Tenant) -> anyhow::Result<String> {
        let asked = json!({"tenant": tenant.id, "app": APP, "scopes": SCOPES});
        let link = self.post("/v1/connections/authorize", &asked).await?;
        let url = link["url"].as_str().context("the host gave no link")?;
        let back = self.http.follow(&format!("{url}&approve={}", tenant.location)).await?;
        let Some(back) = back.location else { bail!("GHL's page led nowhere: {}", back.page) };
        let end = self.http.follow(&back).await?;
        ensure!(end.status == 200, "the host did not connect: {} {}", end.status, end.page);
        self.connection_of(tenant).await
    }

    async fn connect_by_key(&self, tenant: &Tenant) -> anyhow::Result<String> {
        let asked = json!({"location_id": tenant.location, "scopes": SCOPES});
        let made = self.http.post(&format!("{}/_sandbox/api-keys", self.sandbox), None, &asked).await?;
        let new = json!({
            "tenant": tenant.id, "environment": "sandbox", "location": tenant.location, "api_key": made["api_key"],
            "scopes": SCOPES,
        });
        self.post("/v1/connections/api-key", &new).await?;
        self.connection_of(tenant).await
    }

    async fn connection_of(&self, tenant: &Tenant) -> anyhow::Result<String> {
        let url = format!("{}/v1/connections?tenant={}", self.host, tenant.id);
        let page = self.http.get(&url, Some(self.key)).await?;
        let connection = &page["items"][0];
        ensure!(connection["state"] == "active", "the connection is not active: {connection}");
        Ok(connection["id"].as_str().context("the connection has no id")?.to_owned())
    }

    async fn set_timing_rules(&self, tenant: &Tenant) -> anyhow::Result<()> {
        let overdue = json!({"name": "Tasks a minute late", "kind": "task-overdue", "after": "1m"});
        let upcoming =
            json!({"name": "An hour before a visit", "kind": "appointment-upcoming", "before": "1h"});
        for rule in [overdue, upcoming] {
            self.post("/v1/timing-rules", &json!({"tenant": tenant.id, "rule": rule})).await?;
        }
        Ok(())
    }
}
