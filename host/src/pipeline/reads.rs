//! What a run has to be answered: reads declared by plugins, one GET where a snapshot left out what we know, the look
//! for a task's contact, and the look-ups that the database answers.

use super::arrived::Arrived;
use super::journey::Journey;
use super::mirror::Mirror;
use super::payload::Payload;
use crate::domain::{
    Answers, EventKind, Fields, GhlId, ObjectKind, RankrId, ReadAnswer, ReadRequest, Timestamp, Value,
};
use crate::store::StoreError;
use crate::tenants::ActiveVersion;

/// The reads an activation declares and was granted, for this contact.
pub(super) fn declared(active: &ActiveVersion, contact: Option<&GhlId>, known: &Fields) -> Vec<ReadRequest> {
    let Some(contact) = contact else { return Vec::new() };
    let business = known.get("businessId").and_then(Value::as_text).filter(|id| !id.is_empty());
    active
        .reads
        .iter()
        .filter_map(|name| {
            let contact = contact.clone();
            Some(match name.as_str() {
                "crm.contact" => ReadRequest::Contact { contact },
                "crm.tasks" => ReadRequest::Tasks { contact },
                "crm.notes" => ReadRequest::Notes { contact },
                "crm.appointments" => ReadRequest::Appointments { contact },
                "crm.business-contacts" => ReadRequest::BusinessContacts { business: GhlId::from(business?) },
                _ => return None,
            })
        })
        .filter(|request| active.grants.contains(request.capability()))
        .collect()
}

/// The GET that confirms what a contact's snapshot left out: asked only if the mirror holds a value for it.
pub(super) fn confirming(events: &[Arrived], mirror: &Mirror) -> Option<ReadRequest> {
    let newest = events.iter().max_by_key(|it| (it.event.source_time, it.event.sequence))?;
    let object = newest.payload.object.as_ref().filter(|object| object.kind == ObjectKind::Contact)?;
    if newest.payload.shape.change != EventKind::Snapshot || newest.payload.fields.is_empty() {
        return None;
    }
    let left_out = mirror.values_before(newest.event.source_time).any(|name| {
        !newest.payload.fields.contains_key(name) && name != "dateUpdated" && name != "lastActivity"
    });
    left_out.then(|| ReadRequest::Contact { contact: object.id.clone() })
}

/// What the confirming GET says of the fields we know: their values, null for those it lacks. Its time is GHL's own for
/// the contact's last change. Fields that no event ever brought are left out, or each later event would be confirmed for
/// their sake.
pub(super) fn confirmed(answer: &ReadAnswer, mirror: &Mirror) -> Option<(Fields, Option<Timestamp>)> {
    let ReadAnswer::Objects(found) = answer else { return None };
    let object = found.first()?;
    let fields = mirror
        .fields()
        .into_keys()
        .map(|name| {
            let value = object.fields.get(&name).cloned().unwrap_or(Value::Null);
            (name, value)
        })
        .collect();
    let at = object.fields.get("dateUpdated").and_then(Value::as_text).and_then(Timestamp::parse);
    Some((fields, at))
}

/// The search that finds the contact of a task whose event names none; none if there is nothing to search for.
pub(super) fn contact_search(payload: &Payload) -> Option<ReadRequest> {
    let task = payload.object.as_ref().filter(|object| object.kind == ObjectKind::Task);
    if payload.contact.is_some() || task.is_none() {
        return None;
    }
    let title = payload.fields.get("title").and_then(Value::as_text).filter(|title| !title.is_empty())?;
    Some(ReadRequest::FindTasks { query: title.to_owned() })
}

/// The contact the search found for the task.
pub(super) fn found_contact(payload: &Payload, answers: &Answers) -> Option<GhlId> {
    let answer = answers.get(&contact_search(payload)?)?;
    let ReadAnswer::Objects(rows) = answer else { return None };
    let task = payload.object.as_ref()?;
    let row = rows.iter().find(|row| row.id == task.id)?;
    row.fields.get("contactId").and_then(Value::as_text).map(GhlId::from)
}

impl Journey<'_> {
    /// The answer that the database gives.
    pub(super) async fn local_answer(
        &self,
        newest: &Arrived,
        contact: Option<&RankrId>,
        request: &ReadRequest,
    ) -> Result<ReadAnswer, StoreError> {
        let (tenant, connection) = (&newest.event.tenant, &newest.event.connection);
        Ok(match request {
            ReadRequest::Record { kind, id } => {
                let found = self.store.record_fields(tenant, *kind, id).await?;
                let fields = found.map(|(fields, _, _)| serde_json::from_str(&fields)).transpose();
                ReadAnswer::Record(fields.map_err(|error| StoreError::corrupt("record", &error))?)
            }
            ReadRequest::RankrIdOf { kind, id } => {
                let found = self.store.rankr_id_of(tenant, connection, *kind, id).await?;
                ReadAnswer::Id(found.map(|id| id.as_str().to_owned()))
            }
            ReadRequest::GhlIdOf { kind, id } => {
                let found = self.store.linked(tenant, *kind, id).await?;
                let here = found.into_iter().find(|(through, _)| through == connection);
                ReadAnswer::Id(here.map(|(_, id)| id.as_str().to_owned()))
            }
            ReadRequest::Timeline { limit } => match contact {
                Some(contact) => {
                    ReadAnswer::Texts(self.store.newest_timeline(tenant, contact, *limit).await?)
                }
                None => ReadAnswer::Texts(Vec::new()),
            },
            ReadRequest::State { plugin, schema, contact, key } => {
                let (value, version) =
                    self.store.plugin_state(tenant, plugin, *schema, contact.as_ref(), key).await?;
                ReadAnswer::State { value, version }
            }
            _ => ReadAnswer::Refused("the database does not know it".to_owned()),
        })
    }
}
