//! Who asks: by which key, in which role, for which tenant.

use super::permission::Permission;
use crate::domain::{KeyId, TenantId};

/// What a key may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Everything.
    Owner,
    /// Everything but keys.
    Operator,
    /// The program Rankr: tells of events; reads records, timelines and effects.
    Rankr,
    /// Sees, and changes nothing.
    Viewer,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Owner, Self::Operator, Self::Rankr, Self::Viewer];

    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Operator => "operator",
            Self::Rankr => "rankr",
            Self::Viewer => "viewer",
        }
    }

    /// The role of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.word() == word)
    }
}

/// How an actor showed who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Shown {
    HostKey,
    Local,
    Key(KeyId),
}

/// Someone who asks for something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    shown: Shown,
    role: Role,
    tenant: Option<TenantId>,
}

/// Why an actor may not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Its role does not have the permission.
    #[error("the role {} does not have the permission {}; use a key whose role has it", role.word(), needed.word())]
    Permission {
        /// What is needed.
        needed: Permission,
        /// What it is.
        role: Role,
    },
    /// The permission is about the whole host, the key of one tenant.
    #[error("{} is about the whole host, and this key reaches the tenant {tenant} only", needed.word())]
    HostWide {
        /// What is needed.
        needed: Permission,
        /// The only tenant it reaches.
        tenant: TenantId,
    },
    /// It is another tenant's.
    #[error("this key reaches the tenant {own} only; the tenant that is asked for needs another key")]
    OtherTenant {
        /// The only tenant it reaches.
        own: TenantId,
    },
}

impl Actor {
    /// Whoever has the host key of the configuration: an owner.
    #[must_use]
    pub const fn host_key() -> Self {
        Self { shown: Shown::HostKey, role: Role::Owner, tenant: None }
    }

    /// Whoever has the database itself under its hands, through the command line: an owner.
    #[must_use]
    pub const fn local() -> Self {
        Self { shown: Shown::Local, role: Role::Owner, tenant: None }
    }

    /// Whoever has that key.
    #[must_use]
    pub const fn key(id: KeyId, role: Role, tenant: Option<TenantId>) -> Self {
        Self { shown: Shown::Key(id), role, tenant }
    }

    /// Its role.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The only tenant it reaches; none: all.
    #[must_use]
    pub const fn tenant(&self) -> Option<&TenantId> {
        self.tenant.as_ref()
    }

    /// Its name in the audit and in the log.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.shown {
            Shown::HostKey => "host-key".to_owned(),
            Shown::Local => "local".to_owned(),
            Shown::Key(id) => format!("key:{id}"),
        }
    }

    /// Lets it on to what belongs to that tenant.
    ///
    /// # Errors
    /// [`Denied::OtherTenant`] when it reaches another one only.
    pub fn of(&self, tenant: &TenantId) -> Result<(), Denied> {
        match &self.tenant {
            Some(own) if own != tenant => Err(Denied::OtherTenant { own: own.clone() }),
            _ => Ok(()),
        }
    }

    /// Whether it sees what belongs to that tenant; what it does not see is not there for it.
    #[must_use]
    pub fn sees(&self, tenant: &TenantId) -> bool {
        self.of(tenant).is_ok()
    }

    /// Narrows a listing to what it reaches: the tenant asked for, else its own, else all.
    ///
    /// # Errors
    /// [`Denied::OtherTenant`] when it asks for one it does not reach.
    pub fn narrow(&self, asked: Option<TenantId>) -> Result<Option<TenantId>, Denied> {
        match asked {
            Some(tenant) => self.of(&tenant).map(|()| Some(tenant)),
            None => Ok(self.tenant.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scoped() -> Actor {
        Actor::key(KeyId::from("ky_1"), Role::Operator, Some(TenantId::from("a")))
    }

    #[test]
    fn a_key_of_one_tenant_reaches_no_other() {
        assert!(scoped().of(&TenantId::from("a")).is_ok());
        assert!(matches!(scoped().of(&TenantId::from("b")), Err(Denied::OtherTenant { .. })));
        assert!(Actor::host_key().of(&TenantId::from("b")).is_ok());
    }

    #[test]
    fn a_listing_is_narrowed_to_what_its_asker_reaches() {
        assert_eq!(scoped().narrow(None), Ok(Some(TenantId::from("a"))));
        assert!(scoped().narrow(Some(TenantId::from("b"))).is_err());
        assert_eq!(Actor::local().narrow(None), Ok(None));
    }

    #[test]
    fn a_refusal_does_not_name_the_tenant_that_was_asked_for() {
        let refusal = scoped().of(&TenantId::from("secret-customer")).unwrap_err().to_string();
        assert!(!refusal.contains("secret-customer"), "{refusal}");
    }

    #[test]
    fn role_words_read_back() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.word()), Some(role));
        }
        assert_eq!(Role::parse("root"), None);
    }
}
