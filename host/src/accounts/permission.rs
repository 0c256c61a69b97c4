//! What one may be allowed to do, and which role is.

use super::actor::Role;

macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $reach:ident, [$($role:ident),*];)*) => {
        /// One thing that one may be allowed to do. Owners may do everything.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Permission {
            $($(#[$doc])* $name,)*
        }

        impl Permission {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its word, as problem documents and the documentation name it.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// Whether it is about the whole host, so that an actor of one tenant never has it.
            #[must_use]
            pub const fn is_host_wide(self) -> bool {
                match self { $(Self::$name => matches!(Reach::$reach, Reach::Host),)* }
            }

            /// Whether a role has it.
            #[must_use]
            pub fn is_held_by(self, role: Role) -> bool {
                role == Role::Owner || match self { $(Self::$name => [$(Role::$role),*].contains(&role),)* }
            }
        }
    };
}

/// How far a permission goes.
enum Reach {
    /// One tenant's things.
    Tenant,
    /// The host's own, or all tenants'.
    Host,
}

permissions! {
    /// See events and what became of them.
    EventsRead = "events.read", Tenant, [Operator, Rankr, Viewer];
    /// See an event's payload, what was read for it and what became of it: personal data.
    EventsPayload = "events.payload", Tenant, [Operator];
    /// Tell of events, as Rankr does.
    EventsSend = "events.send", Tenant, [Operator, Rankr];
    /// Retry and reprocess events, and settle their dead letters.
    EventsReplay = "events.replay", Tenant, [Operator];
    /// See records and links.
    RecordsRead = "records.read", Tenant, [Operator, Rankr, Viewer];
    /// See timelines.
    TimelineRead = "timeline.read", Tenant, [Operator, Rankr, Viewer];
    /// See runs, their logs and dead letters.
    RunsRead = "runs.read", Tenant, [Operator, Viewer];
    /// See effects, and what plugins tell Rankr.
    EffectsRead = "effects.read", Tenant, [Operator, Rankr, Viewer];
    /// Decide, retry or cancel effects.
    EffectsDecide = "effects.decide", Tenant, [Operator];
    /// See tenants.
    TenantsRead = "tenants.read", Tenant, [Operator, Rankr, Viewer];
    /// Pause and resume tenants.
    TenantsManage = "tenants.manage", Tenant, [Operator];
    /// Make tenants.
    TenantsCreate = "tenants.create", Host, [Operator];
    /// See connections, never their tokens.
    ConnectionsRead = "connections.read", Tenant, [Operator, Viewer];
    /// Make, reconnect and close connections.
    ConnectionsManage = "connections.manage", Tenant, [Operator];
    /// See plugins and their versions.
    PluginsRead = "plugins.read", Tenant, [Operator, Viewer];
    /// Deploy plugins.
    PluginsDeploy = "plugins.deploy", Host, [Operator];
    /// See assignments and activations.
    AssignmentsRead = "assignments.read", Tenant, [Operator, Viewer];
    /// Activate, roll back and switch off.
    AssignmentsManage = "assignments.manage", Tenant, [Operator];
    /// See timing rules.
    TimingRead = "timing.read", Tenant, [Operator, Viewer];
    /// Make and change timing rules.
    TimingManage = "timing.manage", Tenant, [Operator];
    /// See the catalogue of GHL's operations.
    OperationsRead = "operations.read", Tenant, [Operator, Rankr, Viewer];
    /// See how the host itself is.
    HostRead = "host.read", Host, [Operator, Viewer];
    /// Back the host up and the like.
    HostManage = "host.manage", Host, [Operator];
    /// See, make and revoke keys.
    KeysManage = "keys.manage", Host, [];
    /// See who changed what.
    AuditRead = "audit.read", Tenant, [Operator];
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held_by(role: Role) -> Vec<&'static str> {
        Permission::ALL.iter().filter(|one| one.is_held_by(role)).map(|one| one.word()).collect()
    }

    #[test]
    fn owners_may_do_everything_and_operators_all_but_keys() {
        assert_eq!(held_by(Role::Owner).len(), Permission::ALL.len());
        let lacking: Vec<_> = Permission::ALL
            .iter()
            .filter(|one| !one.is_held_by(Role::Operator))
            .map(|one| one.word())
            .collect();
        assert_eq!(lacking, ["keys.manage"]);
    }

    #[test]
    fn rankr_tells_events_and_reads_what_is_its_own() {
        assert_eq!(
            held_by(Role::Rankr),
            [
                "events.read",
                "events.send",
                "records.read",
                "timeline.read",
                "effects.read",
                "tenants.read",
                "operations.read"
            ]
        );
    }

    #[test]
    fn viewers_change_nothing() {
        assert!(held_by(Role::Viewer).iter().all(|word| word.ends_with(".read")));
    }

    #[test]
    fn words_are_unique() {
        let words: std::collections::HashSet<_> = Permission::ALL.iter().map(|one| one.word()).collect();
        assert_eq!(words.len(), Permission::ALL.len());
    }

    #[test]
    fn the_documentation_shows_this_table() {
        let page = include_str!("../../docs/access.md");
        for permission in Permission::ALL {
            let held = |role| if permission.is_held_by(role) { "yes" } else { "no" };
            let reach = if permission.is_host_wide() { "host" } else { "tenant" };
            let roles = Role::ALL.map(held).join(" | ");
            let row = format!("| `{}` | {roles} | {reach} |", permission.word());
            assert!(page.contains(&row), "host/docs/access.md lacks: {row}");
        }
    }
}
