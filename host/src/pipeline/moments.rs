//! What timing rules count from, kept with the mirror: when a task is due, when an appointment starts, when something
//! last happened with a contact.

use super::arrived::Arrived;
use super::journey::Journey;
use super::merged::MergedObject;
use crate::domain::{
    Cause, ConnectionId, Fields, GhlId, ObjectKind, TenantId, Timestamp, Value, value_as_moment,
};
use crate::store::MomentRow;

/// Appointments with these states don't take place.
const NOT_STANDING: &[&str] = &["cancelled", "canceled", "invalid"];

impl Journey<'_> {
    /// The moments that this run's events change.
    pub(super) fn moments(
        &self,
        events: &[Arrived],
        newest: &Arrived,
        merged: &MergedObject<'_>,
    ) -> Vec<MomentRow> {
        let (tenant, connection) = (&newest.event.tenant, &newest.event.connection);
        let mut rows = Vec::new();
        if let Some(object) = merged.object
            && matches!(object.kind, ObjectKind::Task | ObjectKind::Appointment)
        {
            let gone = merged.mirror.deleted_at().is_some();
            rows.push(MomentRow {
                tenant: tenant.clone(),
                connection: connection.clone(),
                kind: object.kind,
                ghl_id: object.id.clone(),
                contact: merged.contact.clone(),
                at: if gone { None } else { moment_of(object.kind, &merged.fields) },
            });
        }
        if let Some(contact) = &merged.contact {
            rows.extend(self.activity(events, (tenant, connection, contact), newest, merged));
        }
        rows
    }

    /// What these events say of a contact's last activity; nothing where they are our own doing or known already.
    fn activity(
        &self,
        events: &[Arrived],
        (tenant, connection, contact): (&TenantId, &ConnectionId, &GhlId),
        newest: &Arrived,
        merged: &MergedObject<'_>,
    ) -> Option<MomentRow> {
        let row = |at| MomentRow {
            tenant: tenant.clone(),
            connection: connection.clone(),
            kind: ObjectKind::Contact,
            ghl_id: contact.clone(),
            contact: Some(contact.clone()),
            at,
        };
        let own = merged.object.is_some_and(|object| object.kind == ObjectKind::Contact);
        if own && merged.mirror.deleted_at().is_some() {
            return Some(row(None));
        }
        let deleted = !own
            && self
                .context(&newest.event, ObjectKind::Contact, contact)
                .and_then(|context| context.mirror.as_ref())
                .is_some_and(|(_, deleted_at)| deleted_at.is_some());
        let is_activity = match newest.event.cause {
            Cause::Live | Cause::Rankr | Cause::Backfill | Cause::Reconcile => !newest.payload.is_own,
            Cause::Timing | Cause::Schedule | Cause::Test => false,
        };
        if deleted || !is_activity || !merged.is_news() {
            return None;
        }
        let at = events.iter().map(|arrived| arrived.event.source_time).max()?;
        // A sender's clock that runs ahead must not make a contact active in times to come.
        Some(row(Some(at.min(self.now))))
    }
}

/// The moment of a task or an appointment; none when it does not count any more.
fn moment_of(kind: ObjectKind, fields: &Fields) -> Option<Timestamp> {
    let name = match kind {
        ObjectKind::Task => {
            if fields.get("completed") == Some(&Value::Boolean(true)) {
                return None;
            }
            "dueDate"
        }
        _ => {
            let state = fields.get("appointmentStatus").or_else(|| fields.get("status"));
            let state = state.and_then(Value::as_text).unwrap_or_default();
            if NOT_STANDING.contains(&state) {
                return None;
            }
            "startTime"
        }
    };
    value_as_moment(fields.get(name)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(json: &str) -> Fields {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_task_counts_until_it_is_done_and_an_appointment_while_it_stands() {
        let at = Timestamp::parse("2026-03-01T09:00:00Z");
        let of = |kind, json: &str| moment_of(kind, &fields(json));
        assert_eq!(of(ObjectKind::Task, r#"{"dueDate":"2026-03-01T10:00:00+01:00"}"#), at);
        assert_eq!(of(ObjectKind::Task, r#"{"dueDate":1772355600000,"completed":false}"#), at);
        assert_eq!(of(ObjectKind::Task, r#"{"dueDate":"2026-03-01T09:00:00Z","completed":true}"#), None);
        assert_eq!(of(ObjectKind::Task, r#"{"title":"Call"}"#), None);
        let start = r#"{"startTime":"2026-03-01T14:30:00+05:30","appointmentStatus":"confirmed"}"#;
        assert_eq!(of(ObjectKind::Appointment, start), at);
        let cancelled = r#"{"startTime":"2026-03-01T14:30:00+05:30","appointmentStatus":"cancelled"}"#;
        assert_eq!(of(ObjectKind::Appointment, cancelled), None);
        assert_eq!(of(ObjectKind::Appointment, r#"{"startTime":"2026-03-01 09:00:00"}"#), at);
    }
}
