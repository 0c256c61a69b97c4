//! Visits: what belongs to a contact is read contact by contact, those that changed first, then the longest unvisited.

use super::finds::compare;
use super::listings::Batch;
use super::pass::{Pass, Stop, TASKS};
use crate::domain::{GhlId, ObjectKind, Timestamp};
use crate::ghl::{GhlError, Snapshot, poll_of_contact};
use crate::store::PolledRow;
use futures_util::future::{join_all, try_join_all};
use std::collections::{HashMap, HashSet};

/// Contacts that are read at once.
const AT_ONCE: usize = 4;

/// What a contact's lists gave; none where GHL does not know the contact.
type Lists = Vec<(ObjectKind, Option<Vec<Snapshot>>)>;

impl Pass<'_> {
    /// As many visits as the pass may make, each contact at most once.
    pub(super) async fn visits(&mut self) -> Result<(), Stop> {
        let (tenant, connection) = (self.due.tenant.clone(), self.due.connection.clone());
        loop {
            let kinds = self.visited_kinds();
            let each = u64::try_from(kinds.len()).unwrap_or(1).max(1);
            let most = usize::try_from(self.calls_left() / each).unwrap_or(usize::MAX).min(AT_ONCE);
            if most == 0 {
                return Ok(());
            }
            let limit = i64::try_from(most).unwrap_or(1);
            let due = self.shared.parts.store.polled_due(&tenant, &connection, self.began, limit).await?;
            if due.is_empty() {
                return Ok(());
            }
            self.spend(each * u64::try_from(due.len()).unwrap_or(0))?;
            let asked_at = self.shared.parts.clock.now();
            let read = join_all(due.iter().map(|contact| self.read(&contact.ghl_id, &kinds))).await;
            for (contact, lists) in due.iter().zip(read) {
                match lists {
                    Ok(lists) => self.visit(contact, lists, asked_at).await?,
                    Err(GhlError::MissingScope { scope, operation }) => {
                        let lacking = Err(Stop::Ghl(GhlError::MissingScope { scope, operation }));
                        self.without_scope(lacking).await?;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }

    /// Kinds that have to be read contact by contact: notes have no other list, appointments may lie outside the window.
    fn visited_kinds(&self) -> Vec<ObjectKind> {
        let mut kinds = vec![ObjectKind::Note, ObjectKind::Appointment];
        if !self.has(TASKS) {
            kinds.push(ObjectKind::Task);
        }
        kinds
    }

    async fn read(&self, contact: &GhlId, kinds: &[ObjectKind]) -> Result<Lists, GhlError> {
        let (ghl, connection) = (&self.shared.parts.ghl, &self.due.connection);
        try_join_all(kinds.iter().map(async |kind| {
            poll_of_contact(ghl, connection, *kind, contact).await.map(|rows| (*kind, rows))
        }))
        .await
    }

    async fn visit(&mut self, contact: &PolledRow, lists: Lists, asked_at: Timestamp) -> Result<(), Stop> {
        if lists.iter().any(|(_, rows)| rows.is_none()) {
            self.look_for(contact, self.progress.contacts.number()).await?;
            return Ok(());
        }
        // Before the first complete pass everything is found for the first time; a contact found later was made since.
        let first_look = contact.visited_at.is_none() && !self.is_backfilled();
        let before = contact.visited_at.or((!first_look).then_some(contact.source_time));
        let known = self.known_of(&contact.ghl_id).await?;
        let mut batch = Batch::default();
        let mut missing = Vec::new();
        for (kind, rows) in lists {
            let rows = rows.unwrap_or_default();
            let listed: HashSet<&GhlId> = rows.iter().map(|row| &row.id).collect();
            missing.extend(
                known.values().filter(|row| row.kind == kind && !listed.contains(&row.ghl_id)).cloned(),
            );
            for snapshot in &rows {
                if kind == ObjectKind::Appointment && self.is_listed(snapshot) {
                    continue;
                }
                let (finds, seen) = self.compare_child(&known, snapshot, (asked_at, before)).await?;
                if known.get(&(kind, snapshot.id.clone())) == Some(&seen) {
                    continue;
                }
                let about = (kind, &snapshot.id, snapshot.contact.as_ref());
                let events = self.events(about, &seen, finds, first_look);
                batch.add(events, seen);
            }
        }
        batch.seen.push(PolledRow {
            visited_at: Some(asked_at),
            due_at: asked_at.millis(),
            ..contact.clone()
        });
        self.commit(batch.events, batch.seen, false).await?;
        for row in missing {
            self.look_for_child(&row, asked_at).await?;
        }
        Ok(())
    }

    async fn known_of(&self, contact: &GhlId) -> Result<HashMap<(ObjectKind, GhlId), PolledRow>, Stop> {
        let (tenant, connection) = (&self.due.tenant, &self.due.connection);
        let rows = self.shared.parts.store.polled_of_contact(tenant, connection, contact).await?;
        Ok(rows.into_iter().map(|row| ((row.kind, row.ghl_id.clone()), row)).collect())
    }

    /// A child beside what was last seen of it, also if that was its deletion or on another contact.
    async fn compare_child(
        &self,
        known: &HashMap<(ObjectKind, GhlId), PolledRow>,
        snapshot: &Snapshot,
        (asked_at, before): (Timestamp, Option<Timestamp>),
    ) -> Result<(Vec<super::finds::Find>, PolledRow), Stop> {
        let kind = snapshot.kind;
        let round = match kind {
            ObjectKind::Task => self.progress.tasks.number(),
            ObjectKind::Appointment => self.progress.appointments.number(),
            _ => 0,
        };
        let look = self.look(asked_at, before, round);
        if let Some(row) = known.get(&(kind, snapshot.id.clone())) {
            return Ok(compare(Some(row), snapshot, look));
        }
        let (tenant, connection) = (&self.due.tenant, &self.due.connection);
        let elsewhere =
            self.shared.parts.store.polled(tenant, connection, kind, &[snapshot.id.as_str()]).await?;
        Ok(compare(elsewhere.get(&snapshot.id), snapshot, look))
    }

    /// A contact's list did not show it; one GET decides, where the key may make it.
    async fn look_for_child(&mut self, known: &PolledRow, asked_at: Timestamp) -> Result<(), Stop> {
        if known.kind != ObjectKind::Appointment || self.reads_appointments() {
            let looked = self.look_for(known, known.round).await;
            let lacks_scope = matches!(looked, Err(Stop::Ghl(GhlError::MissingScope { .. })));
            self.without_scope(looked).await?;
            if !lacks_scope {
                return Ok(());
            }
        }
        // The contact's own list is the only word of it that this key may have.
        let mut batch = Batch::default();
        self.bury(known, asked_at, &mut batch);
        self.commit(batch.events, batch.seen, false).await?;
        Ok(())
    }
}
