//! Timing rules over a real database, under a clock that moves when it is told to.

mod calendar;
mod objects;

use super::TimingRules;
use super::timing::{Running, TimingParts};
use crate::domain::{
    AppId, Clock, ConnectionId, GhlId, LocationId, ObjectKind, RankrId, TenantId, Timestamp, TimingSpec,
};
use crate::store::{
    ConnectionRow, EventCommit, EventFilter, EventListing, LinkRow, MirrorRow, MomentRow, RecordRow, Store,
    StoreSettings, TenantRow,
};
use crate::tenants::{DirectoryCell, TimingNeedsCell};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

struct World {
    folder: tempfile::TempDir,
    store: Store,
    clock: Clock,
    directory: DirectoryCell,
    rules: TimingRules,
    running: Running,
}

fn tenant() -> TenantId {
    TenantId::from("t")
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn spec(json: Value) -> TimingSpec {
    let mut json = json;
    json["name"] = json!("rule");
    serde_json::from_value(json).unwrap()
}

impl World {
    async fn new(now: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreSettings::in_folder(folder.path())).await.unwrap();
        let clock = Clock::manual(at(now));
        let world = Self::over(folder, store, clock).await;
        let row = TenantRow {
            id: "t".to_owned(),
            name: "T".to_owned(),
            state: "active".to_owned(),
            created_at: at(now).millis(),
        };
        world.store.put_tenant(row).await.unwrap();
        let connection = ConnectionRow {
            id: ConnectionId::from("c"),
            tenant: tenant(),
            app: Some(AppId::from("demo")),
            environment: "sandbox".to_owned(),
            location: LocationId::from("l"),
            company: None,
            kind: "fixed".to_owned(),
            state: "active".to_owned(),
            scopes: "contacts.readonly".to_owned(),
            created_at: at(now),
        };
        world.store.put_connection(connection).await.unwrap();
        world.directory.refresh(&world.store).await.unwrap();
        world
    }

    async fn over(folder: tempfile::TempDir, store: Store, clock: Clock) -> Self {
        let directory = DirectoryCell::default();
        let wake = Arc::new(Notify::new());
        let needs = TimingNeedsCell::default();
        let rules =
            TimingRules::new(store.clone(), clock.clone(), directory.clone(), needs, Arc::clone(&wake));
        let parts = TimingParts {
            store: store.clone(),
            clock: clock.clone(),
            directory: directory.clone(),
            wake,
            late: Duration::from_secs(600),
        };
        let running = Running::new(parts);
        directory.refresh(&store).await.unwrap();
        Self { folder, store, clock, directory, rules, running }
    }

    /// The same data under a process that starts anew.
    async fn restarted(self) -> Self {
        self.running.note_seen().await.unwrap();
        self.crashed().await
    }

    /// The same data after a process that ended without a word.
    async fn crashed(self) -> Self {
        self.store.close().await;
        drop((self.running, self.rules, self.store));
        let store = Store::open(&StoreSettings::in_folder(self.folder.path())).await.unwrap();
        Self::over(self.folder, store, self.clock).await
    }

    async fn tenant_is(&self, state: &'static str) {
        let now = self.clock.now();
        self.store.set_tenant_state(&tenant(), state, now, None).await.unwrap();
    }

    async fn rule(&self, json: Value) -> String {
        self.rules.create(&tenant(), &spec(json)).await.unwrap().id
    }

    /// Lets timing look until it finds nothing more.
    async fn look(&mut self) {
        while self.running.look().await.unwrap() {}
    }

    async fn pass(&mut self, span: Duration) {
        self.clock.advance(span);
        self.look().await;
    }

    async fn active(&self, contact: &str, when: Timestamp) {
        let moment = MomentRow {
            tenant: tenant(),
            connection: ConnectionId::from("c"),
            kind: ObjectKind::Contact,
            ghl_id: GhlId::from(contact),
            contact: Some(GhlId::from(contact)),
            at: Some(when),
        };
        self.moments(vec![moment]).await;
    }

    async fn moments(&self, moments: Vec<MomentRow>) {
        self.store.commit_event(EventCommit { moments, ..EventCommit::default() }).await.unwrap();
    }

    async fn contact(&self, contact: &str, record: Value) {
        self.contacts(&[contact.to_owned()], &record).await;
    }

    async fn contacts(&self, contacts: &[String], record: &Value) {
        let mut commit = EventCommit::default();
        let now = self.clock.now();
        for contact in contacts {
            let rankr_id = RankrId::new(format!("rk-{contact}"));
            let ghl_id = GhlId::from(contact.as_str());
            commit.links.push(LinkRow {
                tenant: tenant(),
                kind: ObjectKind::Contact,
                connection: ConnectionId::from("c"),
                ghl_id: ghl_id.clone(),
                rankr_id: rankr_id.clone(),
                at: now,
            });
            commit.records.push(RecordRow {
                tenant: tenant(),
                kind: ObjectKind::Contact,
                id: rankr_id,
                fields: record.to_string(),
                provenance: r#"{"origins":[],"fields":{}}"#.to_owned(),
                at: now,
                deleted_at: None,
            });
            commit.moments.push(MomentRow {
                tenant: tenant(),
                connection: ConnectionId::from("c"),
                kind: ObjectKind::Contact,
                ghl_id: ghl_id.clone(),
                contact: Some(ghl_id),
                at: Some(now),
            });
        }
        self.store.commit_event(commit).await.unwrap();
    }

    async fn task(&self, id: &str, contact: Option<&str>, due: Option<Timestamp>) {
        let row = MomentRow {
            tenant: tenant(),
            connection: ConnectionId::from("c"),
            kind: ObjectKind::Task,
            ghl_id: GhlId::from(id),
            contact: contact.map(GhlId::from),
            at: due,
        };
        let mirror = MirrorRow {
            tenant: tenant(),
            connection: ConnectionId::from("c"),
            kind: ObjectKind::Task,
            ghl_id: GhlId::from(id),
            contact: contact.map(GhlId::from),
            fields: json!({"title": [format!("Task {id}"), 1, 1]}).to_string(),
            deleted_at: None,
        };
        let commit = EventCommit { moments: vec![row], mirror: vec![mirror], ..EventCommit::default() };
        self.store.commit_event(commit).await.unwrap();
    }

    async fn events(&self) -> Vec<EventListing> {
        self.store.list_events(&EventFilter::default(), 1000).await.unwrap()
    }

    /// Slots told so far, in the order of telling.
    async fn slots(&self) -> Vec<String> {
        self.events().await.into_iter().map(|event| event.source_time).collect()
    }

    async fn bodies(&self) -> Vec<Value> {
        let sequences: Vec<i64> = self.events().await.iter().map(|event| event.sequence).collect();
        let bodies = self.store.bodies(&sequences).await.unwrap();
        sequences.iter().map(|sequence| serde_json::from_str(&bodies[sequence].body).unwrap()).collect()
    }
}
