//! The trace that a change leaves in the audit: one row, whoever writes it.

use super::envelope::{self, ClientAddress};
use crate::accounts::Actor;
use crate::domain::{TenantId, Timestamp};
use crate::store::AuditRow;
use axum::http::StatusCode;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One call's trace.
pub(super) struct Trail(Mutex<State>);

struct State {
    row: AuditRow,
    /// Whether the handler writes the row in the commit of the change.
    taken: bool,
}

impl Trail {
    /// The trace of a call that does `verb`.
    pub(super) fn new(verb: &str, actor: &Actor, at: Timestamp, from: Option<ClientAddress>) -> Self {
        let row = AuditRow {
            at,
            actor: actor.name(),
            address: from.map(|ClientAddress(address)| address.to_string()),
            action: verb.to_owned(),
            object: String::new(),
            tenant: actor.tenant().cloned(),
            result: "done",
            status: None,
            request: envelope::request_id(),
        };
        Self(Mutex::new(State { row, taken: false }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what the change is about.
    pub(super) fn about(&self, object: &str, tenant: Option<&TenantId>) {
        let mut state = self.state();
        object.clone_into(&mut state.row.object);
        if let Some(tenant) = tenant {
            state.row.tenant = Some(tenant.clone());
        }
    }

    /// Gives the row to whoever writes it in the commit of the change.
    pub(super) fn take(&self, object: &str, tenant: Option<&TenantId>) -> AuditRow {
        self.about(object, tenant);
        let mut state = self.state();
        state.taken = true;
        state.row.clone()
    }

    /// The row that is left to write once the answer is known; none where the change has written it.
    pub(super) fn left(&self, status: StatusCode) -> Option<AuditRow> {
        let state = self.state();
        if status.is_success() && state.taken {
            return None;
        }
        let (result, shown) = match status {
            status if status.is_success() || status.is_redirection() => ("done", None),
            status if status.is_client_error() => ("refused", Some(status.as_u16())),
            status => ("failed", Some(status.as_u16())),
        };
        Some(AuditRow { result, status: shown, ..state.row.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trail() -> Trail {
        Trail::new("thing.make", &Actor::host_key(), Timestamp::from_millis(0), None)
    }

    #[test]
    fn a_row_that_nobody_took_is_left_to_write() {
        let row = trail().left(StatusCode::CREATED).unwrap();
        assert_eq!((row.action.as_str(), row.result, row.status), ("thing.make", "done", None));
    }

    #[test]
    fn a_row_that_the_change_wrote_is_not_written_again() {
        let trail = trail();
        let row = trail.take("x", Some(&"t".into()));
        assert_eq!((row.object.as_str(), row.tenant), ("x", Some("t".into())));
        assert_eq!(trail.left(StatusCode::OK), None);
    }

    #[test]
    fn what_was_refused_or_failed_is_written_in_any_case() {
        let trail = trail();
        drop(trail.take("x", None));
        let refused = trail.left(StatusCode::FORBIDDEN).unwrap();
        assert_eq!((refused.result, refused.status), ("refused", Some(403)));
        let failed = trail.left(StatusCode::INTERNAL_SERVER_ERROR).unwrap();
        assert_eq!((failed.result, failed.status), ("failed", Some(500)));
    }
}
