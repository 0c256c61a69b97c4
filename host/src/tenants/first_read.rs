//! The first real read of a new connection: tokens that open nothing are found out at once, not at the first event.

use super::connect_error::ConnectError;
use super::connections::Connections;
use super::credentials::FirstRead;
use crate::domain::ConnectionId;
use crate::ghl::{GhlError, GhlRequest, operation};
use std::sync::Arc;

/// Reads that cost little, each with its scope, the usual first.
const READS: &[(&str, &str)] = &[
    ("contacts.readonly", "get_contacts"),
    ("locations/customFields.readonly", "location_get_custom_fields"),
];

impl Connections {
    /// Reads once through a connection; from then on it counts as connected.
    pub(super) async fn first_read(&self, id: &ConnectionId) -> Result<(), ConnectError> {
        let connection = self.find(id).await?;
        let allowed = |scope: &str| connection.scopes.split_whitespace().any(|known| known == scope);
        let read = READS.iter().find(|(scope, _)| allowed(scope));
        let Some(operation) = read.and_then(|(_, id)| operation(id)) else {
            return self.noted(id, None, &Ok(())).await;
        };
        let mut request = GhlRequest::new(operation, &[]);
        if operation.id == "get_contacts" {
            request = request.query("locationId", "{locationId}").query("limit", "1");
        }
        let tokens = Arc::new(FirstRead(Arc::clone(&self.parts.credentials)));
        let done = self.parts.ghl.with_tokens(tokens).read(id, &request).await.map(|_rows| ());
        self.noted(id, Some(operation.id), &done).await?;
        done.map_err(|error| ConnectError::FirstRead(error.to_string()))
    }

    async fn noted(
        &self,
        id: &ConnectionId,
        operation: Option<&str>,
        done: &Result<(), GhlError>,
    ) -> Result<(), ConnectError> {
        let (outcome, detail) = match (operation, done) {
            (None, _) => ("untested", Some("no granted scope has a read to test it by".to_owned())),
            (Some(_), Ok(())) => ("passed", None),
            (Some(_), Err(error)) => ("failed", Some(error.to_string())),
        };
        let status = match done {
            Err(GhlError::Refused { status, .. } | GhlError::Failed { status, .. }) => Some(*status),
            _ => None,
        };
        let test = serde_json::json!({
            "at": self.parts.clock.now().to_rfc3339(), "operation": operation, "outcome": outcome, "status": status,
            "detail": detail,
        });
        if let Some(detail) = detail.filter(|_| done.is_err()) {
            tracing::warn!(connection = id.as_str(), "the first read of connection {id} failed: {detail}");
        }
        self.parts.store.note_test(id, test.to_string(), done.is_ok()).await?;
        Ok(())
    }
}
