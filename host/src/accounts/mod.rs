//! Who may do what: keys, roles, and the one table of what each route needs.
//!
//! A route is reached only if the table has a row for it, and only by an actor whose role has the permission that
//! the row names; what belongs to a tenant only by an actor that reaches this tenant.

mod actor;
mod keys;
mod permission;
mod table;

pub use actor::{Actor, Denied, Role};
pub use keys::{AccountError, Accounts, NewKey, NewSecret};
pub use permission::Permission;
pub use table::{Decision, RULES, Rule, Trace, decide, rule};
