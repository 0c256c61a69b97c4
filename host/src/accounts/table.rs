//! The one table of what each route needs and which trace it leaves, and the one function that decides.
//!
//! A route that has no row is closed; tests hold the table against the router and the `OpenAPI` document.

use super::actor::{Actor, Denied};
use super::permission::Permission::{self, *};
use crate::domain::TenantId;
use std::collections::HashMap;
use std::sync::LazyLock;

/// What a route needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// An actor with this permission.
    Needs(Permission),
    /// Nobody in particular, because of this.
    Open(&'static str),
}

/// Which trace a route leaves in the audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trace {
    /// It changes nothing.
    Reads,
    /// A row with this verb.
    Audited(&'static str),
    /// None, because of this.
    Exempt(&'static str),
}

/// One route.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The method, upper case.
    pub method: &'static str,
    /// The path's template, as the router has it.
    pub path: &'static str,
    /// What it needs.
    pub decision: Decision,
    /// Which trace it leaves.
    pub trace: Trace,
}

const fn open(method: &'static str, path: &'static str, reason: &'static str) -> Rule {
    let trace = match method.as_bytes() {
        b"GET" => Trace::Reads,
        _ => Trace::Exempt(reason),
    };
    Rule { method, path, decision: Decision::Open(reason), trace }
}

const fn read(path: &'static str, needs: Permission) -> Rule {
    Rule { method: "GET", path, decision: Decision::Needs(needs), trace: Trace::Reads }
}

const fn change(method: &'static str, path: &'static str, needs: Permission, verb: &'static str) -> Rule {
    Rule { method, path, decision: Decision::Needs(needs), trace: Trace::Audited(verb) }
}

const fn unaudited(method: &'static str, path: &'static str, needs: Permission, why: &'static str) -> Rule {
    Rule { method, path, decision: Decision::Needs(needs), trace: Trace::Exempt(why) }
}

/// Every route, in the order of paths.
pub const RULES: &[Rule] = &[
    open("GET", "/healthz", "whoever runs the process asks whether it lives; no secrets, no personal data"),
    open(
        "GET",
        "/metrics",
        "Prometheus scrapes it; numbers only; close it at the proxy where it shall not be seen",
    ),
    open(
        "GET",
        "/oauth/callback/{app}",
        "GHL sends people back here; the link's single-use state is the authority",
    ),
    open(
        "GET",
        "/oauth/reconnect/{ticket}",
        "the sealed ticket is the authority; it leads to GHL's own page only",
    ),
    open(
        "GET",
        "/openapi.json",
        "programs read it before they have a key; it describes what is public knowledge",
    ),
    open("GET", "/readyz", "load balancers ask whether to send requests here"),
    read("/v1/assignments", AssignmentsRead),
    change("POST", "/v1/assignments", AssignmentsManage, "assignment.activate"),
    read("/v1/assignments/{id}", AssignmentsRead),
    change("POST", "/v1/assignments/{id}/off", AssignmentsManage, "assignment.off"),
    change("POST", "/v1/assignments/{id}/on", AssignmentsManage, "assignment.on"),
    change("POST", "/v1/assignments/{id}/resume", AssignmentsManage, "assignment.resume"),
    change("POST", "/v1/assignments/{id}/rollback", AssignmentsManage, "assignment.rollback"),
    read("/v1/audit", AuditRead),
    read("/v1/backups", HostRead),
    change("POST", "/v1/backups", HostManage, "backup.create"),
    read("/v1/conflicting-deliveries", EventsRead),
    read("/v1/connection-attempts", ConnectionsRead),
    read("/v1/connections", ConnectionsRead),
    change("POST", "/v1/connections/api-key", ConnectionsManage, "connection.add-key"),
    change("POST", "/v1/connections/authorize", ConnectionsManage, "connection.authorize"),
    read("/v1/connections/{id}", ConnectionsRead),
    change("PUT", "/v1/connections/{id}/api-key", ConnectionsManage, "connection.replace-key"),
    change("POST", "/v1/connections/{id}/close", ConnectionsManage, "connection.close"),
    read("/v1/connections/{id}/polling", ConnectionsRead),
    change("POST", "/v1/connections/{id}/reconnect", ConnectionsManage, "connection.reconnect"),
    read("/v1/dead-letters", RunsRead),
    change("POST", "/v1/dead-letters/retry", EventsReplay, "dead-letter.retry"),
    read("/v1/dead-letters/{sequence}/{assignment}", RunsRead),
    change("POST", "/v1/dead-letters/{sequence}/{assignment}/dismiss", EventsReplay, "dead-letter.dismiss"),
    change("POST", "/v1/dead-letters/{sequence}/{assignment}/retry", EventsReplay, "dead-letter.retry"),
    read("/v1/effects", EffectsRead),
    read("/v1/effects/{id}", EffectsRead),
    change("POST", "/v1/effects/{id}/cancel", EffectsDecide, "effect.cancel"),
    change("POST", "/v1/effects/{id}/decide", EffectsDecide, "effect.decide"),
    change("POST", "/v1/effects/{id}/retry", EffectsDecide, "effect.retry"),
    read("/v1/events", EventsRead),
    unaudited("POST", "/v1/events", EventsSend, "the event is stored itself, with its sender's key and time"),
    read("/v1/events/{sequence}", EventsPayload),
    change("POST", "/v1/events/{sequence}/reprocess", EventsReplay, "event.reprocess"),
    read("/v1/keys", KeysManage),
    change("POST", "/v1/keys", KeysManage, "key.create"),
    change("DELETE", "/v1/keys/{id}", KeysManage, "key.revoke"),
    read("/v1/operations", OperationsRead),
    read("/v1/operations/{id}", OperationsRead),
    read("/v1/plugins", PluginsRead),
    change("POST", "/v1/plugins", PluginsDeploy, "plugin.deploy"),
    read("/v1/plugins/folder", HostRead),
    read("/v1/plugins/versions/{id}", PluginsRead),
    read("/v1/plugins/{plugin}", PluginsRead),
    read("/v1/rankr-events", EffectsRead),
    read("/v1/records", RecordsRead),
    read("/v1/records/{kind}/{id}", RecordsRead),
    read("/v1/reruns/{id}", RunsRead),
    read("/v1/runs", RunsRead),
    read("/v1/runs/{id}", RunsRead),
    read("/v1/tenants", TenantsRead),
    change("POST", "/v1/tenants", TenantsCreate, "tenant.create"),
    read("/v1/tenants/{tenant}", TenantsRead),
    change("POST", "/v1/tenants/{tenant}/pause", TenantsManage, "tenant.pause"),
    change("POST", "/v1/tenants/{tenant}/resume", TenantsManage, "tenant.resume"),
    read("/v1/timeline", TimelineRead),
    read("/v1/timing-rules", TimingRead),
    change("POST", "/v1/timing-rules", TimingManage, "timing-rule.create"),
    change("DELETE", "/v1/timing-rules/{id}", TimingManage, "timing-rule.remove"),
    read("/v1/timing-rules/{id}", TimingRead),
    change("PUT", "/v1/timing-rules/{id}", TimingManage, "timing-rule.change"),
    read("/v1/timing-rules/{id}/preview", TimingRead),
    open("POST", "/webhooks/ghl/{app}", "GHL signs it; the signature is the authority, the inbox the trace"),
];

type ByRoute = HashMap<(&'static str, &'static str), &'static Rule>;

/// The row of a route; none: it is closed.
#[must_use]
pub fn rule(method: &str, path: &str) -> Option<&'static Rule> {
    static BY_ROUTE: LazyLock<ByRoute> =
        LazyLock::new(|| RULES.iter().map(|rule| ((rule.method, rule.path), rule)).collect());
    // A HEAD is a GET whose body is left out.
    let method = if method == "HEAD" { "GET" } else { method };
    BY_ROUTE.get(&(method, path)).copied()
}

/// Whether an actor may do that, to things of that tenant if one is named.
///
/// # Errors
/// [`Denied`], saying what is missing.
pub fn decide(actor: &Actor, needed: Permission, tenant: Option<&TenantId>) -> Result<(), Denied> {
    if !needed.is_held_by(actor.role()) {
        return Err(Denied::Permission { needed, role: actor.role() });
    }
    if let Some(own) = actor.tenant()
        && needed.is_host_wide()
    {
        return Err(Denied::HostWide { needed, tenant: own.clone() });
    }
    tenant.map_or(Ok(()), |tenant| actor.of(tenant))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::Role;
    use crate::domain::KeyId;

    #[test]
    fn rows_are_in_order_and_unique() {
        let keys: Vec<_> = RULES.iter().map(|rule| (rule.path, rule.method)).collect();
        let mut sorted = keys.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(keys, sorted);
    }

    #[test]
    fn every_change_leaves_a_trace_or_says_why_not() {
        for rule in RULES {
            match (rule.method, rule.trace) {
                ("GET", trace) => assert_eq!(trace, Trace::Reads, "{}", rule.path),
                (_, Trace::Audited(verb)) => assert!(verb.contains('.'), "{verb}"),
                (_, Trace::Exempt(why)) => assert!(why.len() > 20, "{}: say why", rule.path),
                (method, Trace::Reads) => panic!("{method} {} changes something", rule.path),
            }
        }
    }

    #[test]
    fn what_is_open_says_why() {
        for rule in RULES {
            if let Decision::Open(reason) = rule.decision {
                assert!(reason.len() > 20, "{}: say why", rule.path);
            }
        }
    }

    #[test]
    fn head_is_decided_as_get() {
        assert_eq!(rule("HEAD", "/v1/events").map(|rule| rule.method), Some("GET"));
        assert!(rule("PATCH", "/v1/events").is_none());
    }

    #[test]
    fn role_then_reach_then_tenant_decide() {
        let tenant = TenantId::from("a");
        let viewer = Actor::key(KeyId::from("ky_1"), Role::Viewer, None);
        assert!(decide(&viewer, EventsRead, Some(&tenant)).is_ok());
        let refused = decide(&viewer, EventsSend, Some(&tenant)).unwrap_err();
        assert!(refused.to_string().contains("events.send"), "{refused}");
        let scoped = Actor::key(KeyId::from("ky_2"), Role::Operator, Some(tenant.clone()));
        assert!(decide(&scoped, TenantsManage, Some(&tenant)).is_ok());
        assert!(matches!(decide(&scoped, TenantsManage, Some(&"b".into())), Err(Denied::OtherTenant { .. })));
        assert!(matches!(decide(&scoped, PluginsDeploy, None), Err(Denied::HostWide { .. })));
        assert!(decide(&Actor::host_key(), KeysManage, None).is_ok());
    }
}
