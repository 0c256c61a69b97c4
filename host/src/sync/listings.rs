//! Listings of a whole location: contacts that changed, all contacts, tasks, appointments; and the look for what a complete
//! listing did not show.

use super::finds::{compare, gone};
use super::pass::{APPOINTMENTS, Pass, Stop, TASKS};
use crate::domain::{GhlId, ObjectKind, Timestamp};
use crate::ghl::{
    ContactOrder, Snapshot, poll_appointments, poll_calendars, poll_contacts, poll_one, poll_tasks,
};
use crate::store::{InboxRow, Missing, PolledRow, StoreError};
use serde_json::Value as Json;

/// Tasks in a page.
const TASK_ROWS: u32 = 100;
/// Objects that one pass looks for at the most, of each kind.
const LOOKED_FOR: i64 = 50;

/// Events and rows to be committed together.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) events: Vec<InboxRow>,
    pub(super) seen: Vec<PolledRow>,
}

impl Batch {
    pub(super) fn add(&mut self, events: Vec<InboxRow>, seen: PolledRow) {
        self.events.extend(events);
        self.seen.push(seen);
    }
}

impl Pass<'_> {
    /// Contacts that changed since the last complete listing, with an overlap, for the index is behind; all on the first.
    pub(super) async fn changed_contacts(&mut self) -> Result<(), Stop> {
        loop {
            let from = self.progress.changed.begin(self.began, self.shared.settings.overlap);
            let first = self.progress.changed.complete_at.is_none();
            let after = self.progress.changed.after.clone();
            let (asked_at, page) = self.contacts_page(ContactOrder::Changed(from), after.as_ref()).await?;
            let newest = page.rows.iter().filter_map(|row| row.updated).max();
            let before = self.progress.changed.complete_at;
            let round = self.progress.contacts.number();
            let batch = self.compare_all(&page.rows, (asked_at, before, round), first).await?;
            let last = self.progress.changed.take(newest, page.next);
            self.commit(batch.events, batch.seen, false).await?;
            if last {
                return Ok(());
            }
        }
    }

    /// The next pages of all contacts; it finds what the listing of changes missed, and tells what is gone.
    pub(super) async fn all_contacts(&mut self) -> Result<(), Stop> {
        let mut pages = if self.is_backfilled() { self.calls_left() / 4 } else { u64::MAX };
        if self.progress.contacts.is_unconfirmed() {
            return Ok(());
        }
        loop {
            self.progress.contacts.begin(self.began);
            let after = self.progress.contacts.after.clone();
            let (asked_at, page) = self.contacts_page(ContactOrder::Made, after.as_ref()).await?;
            let look = (asked_at, self.progress.contacts.complete_at, self.progress.contacts.number());
            let batch = self.compare_all(&page.rows, look, false).await?;
            let last = self.progress.contacts.take(page.next);
            self.commit(batch.events, batch.seen, false).await?;
            pages = pages.saturating_sub(1);
            if last || pages == 0 {
                return Ok(());
            }
        }
    }

    async fn contacts_page(
        &mut self,
        order: ContactOrder,
        after: Option<&Json>,
    ) -> Result<(Timestamp, crate::ghl::Snapshots), Stop> {
        self.spend(1)?;
        let asked_at = self.shared.parts.clock.now();
        let (ghl, rows) = (&self.shared.parts.ghl, self.shared.settings.page_rows);
        Ok((asked_at, poll_contacts(ghl, &self.due.connection, order, after, rows).await?))
    }

    /// The next pages of all tasks.
    pub(super) async fn tasks(&mut self) -> Result<(), Stop> {
        let mut pages = if self.is_backfilled() { (self.calls_left() / 3).max(1) } else { u64::MAX };
        if self.progress.tasks.is_unconfirmed() {
            return Ok(());
        }
        loop {
            self.progress.tasks.begin(self.began);
            self.spend(1)?;
            let skip = self.progress.tasks.after.as_ref().and_then(Json::as_u64).unwrap_or(0);
            let asked_at = self.shared.parts.clock.now();
            let page = poll_tasks(&self.shared.parts.ghl, &self.due.connection, skip, TASK_ROWS).await?;
            let before = self.progress.tasks.complete_at;
            let look = (asked_at, before, self.progress.tasks.number());
            let batch = self.compare_all(&page.rows, look, before.is_none()).await?;
            let last = self.progress.tasks.take(page.next);
            self.commit(batch.events, batch.seen, false).await?;
            pages = pages.saturating_sub(1);
            if last || pages == 0 {
                return Ok(());
            }
        }
    }

    /// All appointments of the window, calendar by calendar.
    pub(super) async fn appointments(&mut self) -> Result<(), Stop> {
        if self.progress.appointments.is_unconfirmed() {
            return Ok(());
        }
        let before = self.progress.appointments.complete_at;
        self.progress.appointments.begin(self.began);
        self.spend(1)?;
        let mut calendars = poll_calendars(&self.shared.parts.ghl, &self.due.connection).await?;
        calendars.sort_unstable();
        let done = self.progress.appointments.after.as_ref().and_then(Json::as_str).map(str::to_owned);
        for calendar in calendars {
            if done.as_ref().is_some_and(|done| calendar <= *done) {
                continue;
            }
            if self.calls_left() == 0 {
                // It goes on with the next calendar in the next pass.
                return Ok(());
            }
            self.spend(1)?;
            let asked_at = self.shared.parts.clock.now();
            let (ghl, connection) = (&self.shared.parts.ghl, &self.due.connection);
            let rows = poll_appointments(ghl, connection, &calendar, self.window()).await?;
            let look = (asked_at, before, self.progress.appointments.number());
            let batch = self.compare_all(&rows, look, before.is_none()).await?;
            self.progress.appointments.after = Some(Json::String(calendar));
            self.commit(batch.events, batch.seen, false).await?;
        }
        self.progress.appointments.take(None);
        self.commit(Vec::new(), Vec::new(), false).await?;
        Ok(())
    }

    /// Snapshots of one kind beside what was last seen.
    pub(super) async fn compare_all(
        &mut self,
        rows: &[Snapshot],
        (asked_at, before, round): (Timestamp, Option<Timestamp>, i64),
        first_look: bool,
    ) -> Result<Batch, StoreError> {
        let mut batch = Batch::default();
        let Some(kind) = rows.first().map(|row| row.kind) else { return Ok(batch) };
        let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        let (tenant, connection) = (&self.due.tenant, &self.due.connection);
        let mut known = self.shared.parts.store.polled(tenant, connection, kind, &ids).await?;
        for row in rows {
            let before_this = known.get(&row.id);
            let (finds, mut seen) = compare(before_this, row, self.look(asked_at, before, round));
            if kind == ObjectKind::Contact {
                place(&mut seen, before_this.is_some(), !finds.is_empty(), first_look);
            }
            if before_this.is_some_and(|known| *known == seen) {
                continue;
            }
            let about = (kind, &row.id, row.contact.as_ref());
            let events = self.events(about, &seen, finds, first_look && before_this.is_none());
            // Two rows of one object in a page: the second is held against the first.
            known.insert(row.id.clone(), seen.clone());
            batch.add(events, seen);
        }
        Ok(batch)
    }

    /// Looks for objects that the last complete listing did not show; those that are not there are gone.
    pub(super) async fn look_for_missing(&mut self, kind: ObjectKind) -> Result<(), Stop> {
        let round = match kind {
            ObjectKind::Contact => &self.progress.contacts,
            ObjectKind::Task if self.has(TASKS) => &self.progress.tasks,
            ObjectKind::Appointment if self.lists_appointments() => &self.progress.appointments,
            _ => return Ok(()),
        };
        if !round.is_unconfirmed() {
            return Ok(());
        }
        let window = (kind == ObjectKind::Appointment).then(|| self.window());
        let missing = Missing { kind, round: round.complete, window };
        let most = i64::try_from(self.calls_left() / 2).unwrap_or(i64::MAX).clamp(1, LOOKED_FOR);
        let (tenant, connection) = (self.due.tenant.clone(), self.due.connection.clone());
        let found = self.shared.parts.store.polled_missing(&tenant, &connection, missing, most).await?;
        let more = i64::try_from(found.len()).is_ok_and(|count| count >= most);
        for known in found {
            self.look_for(&known, missing.round).await?;
        }
        if !more {
            match kind {
                ObjectKind::Contact => self.progress.contacts.confirmed(),
                ObjectKind::Task => self.progress.tasks.confirmed(),
                _ => self.progress.appointments.confirmed(),
            }
            self.commit(Vec::new(), Vec::new(), false).await?;
        }
        Ok(())
    }

    /// One GET decides whether an object is gone; a contact takes along what belongs to it.
    pub(super) async fn look_for(&mut self, known: &PolledRow, round: i64) -> Result<(), Stop> {
        self.spend(1)?;
        let asked_at = self.shared.parts.clock.now();
        let (ghl, connection) = (&self.shared.parts.ghl, &self.due.connection);
        let there = poll_one(ghl, connection, known.kind, known.contact.as_ref(), &known.ghl_id).await?;
        let mut batch = Batch::default();
        match there {
            Some(snapshot) if known.kind == ObjectKind::Appointment => {
                // It may have been moved out of the window.
                let (finds, seen) = compare(Some(known), &snapshot, self.look(asked_at, None, round));
                let about = (known.kind, &known.ghl_id, seen.contact.clone());
                let events = self.events((about.0, about.1, about.2.as_ref()), &seen, finds, false);
                batch.add(events, seen);
            }
            Some(_) => batch.seen.push(PolledRow { round, ..known.clone() }),
            None => {
                if known.kind == ObjectKind::Contact {
                    self.take_along(&known.ghl_id, asked_at, &mut batch).await?;
                }
                self.bury(known, asked_at, &mut batch);
            }
        }
        self.commit(batch.events, batch.seen, false).await?;
        Ok(())
    }

    /// What belonged to a contact that is gone is gone too.
    async fn take_along(
        &mut self,
        contact: &GhlId,
        asked_at: Timestamp,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        let (tenant, connection) = (&self.due.tenant, &self.due.connection);
        let children = self.shared.parts.store.polled_of_contact(tenant, connection, contact).await?;
        for child in children {
            self.bury(&child, asked_at, batch);
        }
        Ok(())
    }

    /// The event of an object that is gone.
    pub(super) fn bury(&mut self, known: &PolledRow, asked_at: Timestamp, batch: &mut Batch) {
        let (find, row) = gone(known, self.look(asked_at, None, known.round));
        let events =
            self.events((known.kind, &known.ghl_id, known.contact.as_ref()), &row, vec![find], false);
        batch.add(events, row);
    }

    /// Whether the listing of appointments is what tells of this one.
    pub(super) fn is_listed(&self, snapshot: &Snapshot) -> bool {
        let (from, to) = self.window();
        self.lists_appointments() && snapshot.starts().is_some_and(|at| at >= from && at <= to)
    }

    /// Whether an appointment can be read by itself.
    pub(super) fn reads_appointments(&self) -> bool {
        self.has(APPOINTMENTS)
    }
}

/// When what belongs to a contact is read: soon if the contact changed, after those if it was only now found to be there,
/// else when its turn comes.
fn place(seen: &mut PolledRow, known: bool, changed: bool, first_look: bool) {
    if !known {
        seen.due_at = if first_look { 1 } else { 0 };
        if !first_look {
            // What belongs to it was made after it.
            seen.visited_at = None;
        }
    } else if changed {
        seen.due_at = 0;
    }
}
