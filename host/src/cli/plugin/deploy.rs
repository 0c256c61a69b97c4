//! `mapwright plugin deploy`, `list`, `show`, `folder`: what the host has, and giving it more.

use crate::cli::client::{Body, HostArgs, HostClient, Shown, segment, with_host};
use crate::cli::output::{self, Columns};
use crate::outbound::Method;
use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;

/// What is deployed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mapwright plugin deploy target/plugins/contact-profile.wasm --config host.toml
  MAPWRIGHT_KEY=… mapwright plugin deploy --host https://mapwright.example.com my-plugin.wasm

A deployed version does nothing by itself; `mapwright plugin activate` has a tenant's events meet it.")]
pub(crate) struct DeployArgs {
    /// The .wasm files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    host: HostArgs,
}

/// What is listed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mapwright plugin list                what is deployed
  mapwright plugin list --tenant acme  what a tenant uses")]
pub(crate) struct ListArgs {
    /// List what this tenant uses instead of what is deployed.
    #[arg(long)]
    tenant: Option<String>,
    #[command(flatten)]
    host: HostArgs,
}

/// What is shown.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mapwright plugin show contact-profile                its versions
  mapwright plugin show sha256:4f0c…                   one version: what it asks for and imports
  mapwright plugin show contact-profile --tenant acme  a tenant's use of it, with its history")]
pub(crate) struct ShowArgs {
    /// A plugin's name, or a version's id.
    what: String,
    /// Show this tenant's use of the plugin.
    #[arg(long)]
    tenant: Option<String>,
    #[command(flatten)]
    host: HostArgs,
}

/// The watched folder.
#[derive(Debug, Args)]
#[command(after_help = "Example: mapwright plugin folder --config host.toml")]
pub(crate) struct FolderArgs {
    #[command(flatten)]
    host: HostArgs,
}

const VERSIONS: Columns =
    &[("PLUGIN", "plugin"), ("VERSION", "semver"), ("DEPLOYED", "deployed_at"), ("ID", "id")];
const PLUGINS: Columns = &[
    ("PLUGIN", "name"),
    ("NEWEST", "newest/semver"),
    ("VERSIONS", "versions"),
    ("IN USE", "active_assignments"),
    ("WHAT IT DOES", "newest/description/summary"),
];
pub(super) const ASSIGNMENTS: Columns = &[
    ("PLUGIN", "plugin"),
    ("VERSION", "current/semver"),
    ("STATE", "state"),
    ("BREAKER", "breaker/state"),
    ("HELD", "held"),
    ("SINCE", "current/activated_at"),
    ("ASSIGNMENT", "id"),
];
const ACTIVATIONS: Columns = &[
    ("MODE", "mode"),
    ("VERSION", "semver"),
    ("ACTIVATED", "activated_at"),
    ("BY", "source"),
    ("ON FAILURE", "on_failure"),
    ("GRANTS", "grants"),
    ("CONFIGURATION", "config"),
];
const FILES: Columns = &[("FILE", "file"), ("STATE", "state"), ("VERSION", "semver"), ("PROBLEM", "problem")];

pub(crate) async fn deploy(args: &DeployArgs) -> anyhow::Result<()> {
    with_host(&args.host, async |host| {
        let mut versions = Vec::new();
        for file in &args.files {
            let bytes = std::fs::read(file).with_context(|| format!("{} can't be read", file.display()))?;
            let body = Body::Bytes { content_type: "application/wasm", bytes };
            let version = host.send(Method::POST, "/v1/plugins", body).await;
            versions.push(version.with_context(|| file.display().to_string())?);
        }
        Ok(Shown::Table(page(versions), VERSIONS))
    })
    .await
}

pub(crate) async fn list(args: &ListArgs) -> anyhow::Result<()> {
    with_host(&args.host, async |host| {
        Ok(match &args.tenant {
            Some(tenant) => {
                let query = [("tenant", Some(tenant.as_str()))];
                Shown::Table(host.pages("/v1/assignments", &query, None).await?, ASSIGNMENTS)
            }
            None => Shown::Table(host.pages("/v1/plugins", &[], None).await?, PLUGINS),
        })
    })
    .await
}

pub(crate) async fn show(args: &ShowArgs) -> anyhow::Result<()> {
    with_host(&args.host, async |host| {
        let what = segment(&args.what);
        if let Some(tenant) = &args.tenant {
            let assignment = assignment(host, tenant, &args.what).await?;
            let path = format!("/v1/assignments/{}", segment(&text(&assignment, "id")));
            let detail = host.get(&path, &[]).await?;
            if args.host.json() {
                return Ok(Shown::Thing(detail));
            }
            return Ok(Shown::Table(page(items(&detail, "activations")), ACTIVATIONS));
        }
        if args.what.starts_with("sha256:") {
            let version = host.get(&format!("/v1/plugins/versions/{what}"), &[]).await?;
            if args.host.json() {
                return Ok(Shown::Thing(version));
            }
            say_version(&version);
            return Ok(Shown::Nothing);
        }
        let plugin = host.get(&format!("/v1/plugins/{what}"), &[]).await?;
        Ok(Shown::Table(page(items(&plugin, "versions")), VERSIONS))
    })
    .await
}

pub(crate) async fn folder(args: &FolderArgs) -> anyhow::Result<()> {
    with_host(&args.host, async |host| {
        let report = host.get("/v1/plugins/folder", &[]).await?;
        if args.host.json() {
            return Ok(Shown::Thing(report));
        }
        let folder = text(&report, "folder");
        if folder.is_empty() {
            output::complain("No folder is watched (plugins.folder).");
        } else {
            output::complain(&format!("{folder} {}", text(&report, "problem")));
        }
        for one in items(&report, "not_in_force") {
            output::complain(&format!("not in force: {}", one.as_str().unwrap_or_default()));
        }
        Ok(Shown::Table(page(items(&report, "files")), FILES))
    })
    .await
}

fn say_version(version: &Value) {
    let described = |name: &str| version.pointer(&format!("/description/{name}"));
    let summary = described("summary").and_then(Value::as_str).unwrap_or_default();
    output::say(&format!("{} {}: {summary}", text(version, "plugin"), text(version, "semver")));
    output::say(&format!("id       {}", text(version, "id")));
    output::say(&format!("deployed {}", text(version, "deployed_at")));
    output::say(&format!("events   {}", words(described("events"))));
    output::say(&format!("imports  {}", words(version.get("imports"))));
    for asked in described("capabilities").and_then(Value::as_array).into_iter().flatten() {
        let without = asked.get("optional").and_then(Value::as_bool) == Some(true);
        let may = if without { " (can do without)" } else { "" };
        output::say(&format!("asks for {}{may}: {}", text(asked, "name"), text(asked, "reason")));
    }
}

/// A tenant's assignment of a plugin.
pub(super) async fn assignment(host: &HostClient, tenant: &str, plugin: &str) -> anyhow::Result<Value> {
    let query = [("tenant", Some(tenant)), ("plugin", Some(plugin)), ("limit", Some("1"))];
    let page = host.get("/v1/assignments", &query).await?;
    page.pointer("/items/0").cloned().with_context(|| {
        format!("tenant {tenant} does not use {plugin}; `mapwright plugin list --tenant {tenant}` lists what it uses")
    })
}

/// The version that is meant: by id, by semantic version, or the one deployed last.
pub(super) async fn version(host: &HostClient, plugin: &str, version: Option<&str>) -> anyhow::Result<Value> {
    if let Some(id) = version.filter(|version| version.starts_with("sha256:")) {
        return host.get(&format!("/v1/plugins/versions/{}", segment(id)), &[]).await;
    }
    let known = host.get(&format!("/v1/plugins/{}", segment(plugin)), &[]).await?;
    let fits = |one: &Value| version.is_none_or(|wanted| text(one, "semver") == wanted);
    items(&known, "versions")
        .into_iter()
        .find(fits)
        .with_context(|| format!("{plugin} is not deployed in version {}", version.unwrap_or("any")))
}

pub(super) fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn words(list: Option<&Value>) -> String {
    let words = list.and_then(Value::as_array).into_iter().flatten();
    words.filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

fn items(value: &Value, name: &str) -> Vec<Value> {
    value.get(name).and_then(Value::as_array).cloned().unwrap_or_default()
}

pub(super) fn page(items: Vec<Value>) -> Value {
    json!({"items": items, "next": null})
}
