//! The day: people at two customers' offices create, change and delete contacts, tag them, make tasks, notes and
//! appointments; Rankr tells of its own; GHL sends some messages twice and some late, answers some writes with errors,
//! takes a token back and refuses a while for the quota; one plugin fails.

use super::cast::{Connected, Star, Tenant};
use super::http::Http;
use crate::cli::output::complain;
use crate::domain::Timestamp;
use anyhow::Context as _;
use futures_util::future::try_join_all;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use std::time::Duration;

/// What was played.
#[derive(Debug)]
pub(super) struct Played {
    /// A contact of each customer.
    pub(super) stars: Vec<Star>,
    /// The keys under which Rankr told the host of events.
    pub(super) told: Vec<String>,
}

/// The day and who plays it.
pub(super) struct Day<'a> {
    pub(super) http: &'a Http,
    pub(super) sandbox: &'a str,
    /// Where the host is, and the key of its API.
    pub(super) host: (&'a str, &'a str),
    pub(super) tenants: &'a [Tenant],
    pub(super) contacts: usize,
}

/// One customer's office: people with the CRM open.
struct Office<'a> {
    day: &'a Day<'a>,
    tenant: &'a Tenant,
    /// A person's token.
    token: String,
    told: Vec<String>,
}

const DAY: Duration = Duration::from_secs(24 * 3600);
const FIRST: &[&str] = &["Ada", "Bela", "Cleo", "Dario", "Edda", "Femi", "Gwen", "Hugo", "Ines", "Jonas"];
const LAST: &[&str] = &["Archer", "Brook", "Carver", "Dale", "Elwood", "Ferris", "Grove", "Hart"];
const CITIES: &[&str] = &["Springfield", "Riverton", "Lakeside", "Hillview", "Marsh End", "Old Harbour"];

impl Day<'_> {
    /// Plays it, both offices at once; the same day each time, but for the ids.
    pub(super) async fn play(&self) -> anyhow::Result<Played> {
        let mut offices = Vec::new();
        for (number, tenant) in (0_u64..).zip(self.tenants) {
            let asked = json!({"location_id": tenant.location});
            let token = self.http.post(&format!("{}/_sandbox/tokens", self.sandbox), None, &asked).await?;
            let token = token["access_token"].as_str().context("the sandbox gave no token")?.to_owned();
            let office = Office { day: self, tenant, token, told: Vec::new() };
            offices.push(office.play(StdRng::seed_from_u64(2026 + number)));
        }
        let played = try_join_all(offices).await?;
        let told = played.iter().flat_map(|(_, told)| told.clone()).collect();
        let stars =
            self.tenants.iter().cloned().zip(played).map(|(tenant, (contact, _))| Star { tenant, contact });
        Ok(Played { stars: stars.collect(), told })
    }
}

impl Office<'_> {
    async fn play(mut self, mut random: StdRng) -> anyhow::Result<(String, Vec<String>)> {
        let random = &mut random;
        self.says(&format!("{} new contacts", self.day.contacts));
        let ids = self.create(random).await?;
        let first = ids.first().context("there are no contacts")?.clone();
        self.says("contacts change, some messages come twice or late");
        self.faults(&json!({"duplicate": 10, "hold_back": 10, "hold_back_seconds": 45})).await?;
        for _ in 0..self.day.contacts * 2 {
            let id = ids.choose(random).context("there are no contacts")?;
            self.update(id, &change(random)).await?;
        }
        self.overtake(&ids).await?;
        self.burst(&first).await?;
        self.says("tags, tasks, notes and appointments; GHL answers some writes with errors");
        self.faults(&json!({"duplicate": 5, "tasks_without_contact": 6, "fail_before": 2, "fail_after": 3}))
            .await?;
        self.work(&ids).await?;
        self.says("tasks and visits whose time comes while the day is played");
        self.come_due(&ids).await?;
        self.says("Rankr tells of tasks and activities");
        self.tell_of_work(&ids).await?;
        self.says("a plugin crashes on two contacts");
        for id in ids.iter().skip(2).step_by(11).take(2) {
            self.post(&self.contact(id, "/tags"), &json!({"tags": ["drill"]})).await?;
        }
        self.trouble(&ids).await?;
        self.says("some contacts are deleted");
        for id in ids.iter().skip(1).step_by(8) {
            self.day.http.delete(&self.contact(id, ""), Some(&self.token)).await?;
        }
        Ok((first, self.told))
    }

    fn says(&self, what: &str) {
        complain(&format!("{}: {what}", self.tenant.name));
    }

    /// GHL takes the host's token back, and refuses everything for a while.
    async fn trouble(&mut self, ids: &[String]) -> anyhow::Result<()> {
        if self.tenant.connected == Connected::ByConsent {
            self.says("GHL ends the host's access token");
            let asked = json!({"location_id": self.tenant.location});
            self.day.http.post(&format!("{}/_sandbox/oauth/revoke", self.day.sandbox), None, &asked).await?;
        }
        self.says("GHL refuses for the quota, again and again");
        self.faults(&json!({"too_many": 12})).await?;
        for id in ids.iter().skip(2).step_by(9) {
            self.tell("rankr.activity", id, &json!({"text": "Came by in the storm"})).await?;
        }
        Ok(())
    }

    /// Product time.
    async fn now(&self) -> anyhow::Result<Timestamp> {
        let health = self.day.http.get(&format!("{}/healthz", self.day.host.0), None).await?;
        health["now"].as_str().and_then(Timestamp::parse).context("the host does not tell the time")
    }

    /// Tasks that are overdue within minutes and visits within the hour, of product time.
    async fn come_due(&self, ids: &[String]) -> anyhow::Result<()> {
        let now = self.now().await?;
        let at = |minutes: u64| now.plus(Duration::from_secs(60 * minutes)).to_rfc3339();
        for (number, id) in (0_u64..).zip(ids.iter().skip(3).step_by(12)) {
            let task = json!({"title": format!("Call back {number}"), "dueDate": at(number + 1), "completed": false});
            self.post(&self.contact(id, "/tasks"), &task).await?;
            let visit = json!({
                "calendarId": "calFrontDesk000000001", "locationId": self.tenant.location, "contactId": id,
                "startTime": at(62 + number), "title": "Visit today",
            });
            self.post(&format!("{}/calendars/events/appointments", self.day.sandbox), &visit).await?;
        }
        Ok(())
    }

    fn contact(&self, id: &str, rest: &str) -> String {
        format!("{}/contacts/{id}{rest}", self.day.sandbox)
    }

    async fn post(&self, url: &str, body: &Value) -> anyhow::Result<Value> {
        self.day.http.post(url, Some(&self.token), body).await
    }

    async fn put(&self, url: &str, body: &Value) -> anyhow::Result<Value> {
        self.day.http.put(url, Some(&self.token), body).await
    }

    async fn create(&self, random: &mut StdRng) -> anyhow::Result<Vec<String>> {
        let mut ids = Vec::new();
        for number in 0..self.day.contacts {
            let (first, last) = (pick(FIRST, random), pick(LAST, random));
            let fields = json!({
                "locationId": self.tenant.location, "firstName": first, "lastName": last,
                "email": format!("{first}.{last}.{number}@{}.example.com", self.tenant.id),
                "phone": format!("+1555010{:04}", number), "city": pick(CITIES, random), "country": "US", "source": "front desk",
                "tags": ["new"], "dnd": false, "timezone": "America/New_York",
            });
            let made = self.post(&format!("{}/contacts/", self.day.sandbox), &fields).await?;
            ids.push(made["contact"]["id"].as_str().context("the sandbox gave no id")?.to_owned());
        }
        Ok(ids)
    }

    async fn update(&self, id: &str, fields: &Value) -> anyhow::Result<()> {
        self.put(&self.contact(id, ""), fields).await?;
        Ok(())
    }

    async fn faults(&self, faults: &Value) -> anyhow::Result<()> {
        self.day.http.put(&format!("{}/_sandbox/faults", self.day.sandbox), None, faults).await?;
        Ok(())
    }

    /// Changes a field twice, the first message held back so that the second passes it.
    async fn overtake(&self, ids: &[String]) -> anyhow::Result<()> {
        for id in ids.iter().step_by(2) {
            self.faults(&json!({"hold_back": 1, "hold_back_seconds": 45})).await?;
            self.update(id, &json!({"city": "Passed by"})).await?;
            self.update(id, &json!({"city": "Arrived first"})).await?;
        }
        Ok(())
    }

    /// Many changes of one contact at once, as an import makes them.
    async fn burst(&self, id: &str) -> anyhow::Result<()> {
        let changes: Vec<Value> =
            (0..40).map(|number| json!({"companyName": format!("Company {number}")})).collect();
        try_join_all(changes.iter().map(|change| self.update(id, change))).await?;
        self.update(id, &json!({"companyName": "Example Works"})).await
    }

    /// What people do besides: tags, tasks, notes, appointments, businesses, and emptying a field.
    async fn work(&self, ids: &[String]) -> anyhow::Result<()> {
        let now = self.now().await?;
        let due = |day: u32| now.plus(DAY * (day % 28 + 1)).to_rfc3339();
        for (number, id) in (0_u32..).zip(ids.iter().step_by(3)) {
            let task =
                json!({"title": format!("Send papers {number}"), "dueDate": due(number), "completed": false});
            let made = self.post(&self.contact(id, "/tasks"), &task).await?;
            if number % 2 == 0 {
                let task = made["task"]["id"].as_str().context("the task has no id")?;
                let url = self.contact(id, &format!("/tasks/{task}/completed"));
                self.put(&url, &json!({"completed": true})).await?;
            }
        }
        for (number, id) in (0_u32..).zip(ids.iter().step_by(4)) {
            self.post(&self.contact(id, "/tags"), &json!({"tags": ["vip"]})).await?;
            self.post(&self.contact(id, "/notes"), &json!({"body": format!("Called back, visit {number}")}))
                .await?;
            let visit = json!({
                "calendarId": "calFrontDesk000000001", "locationId": self.tenant.location, "contactId": id,
                "startTime": due(number), "title": "Visit",
            });
            self.post(&format!("{}/calendars/events/appointments", self.day.sandbox), &visit).await?;
            self.update(id, &json!({"website": null})).await?;
            let business = json!({"location_id": self.tenant.location, "business_id": "bizExample0000000001", "business_name": "Example Works"});
            self.day
                .http
                .put(&format!("{}/_sandbox/contacts/{id}/business", self.day.sandbox), None, &business)
                .await?;
        }
        Ok(())
    }

    /// What Rankr tells: tasks made and closed again, activities; one event is told twice under its key.
    async fn tell_of_work(&mut self, ids: &[String]) -> anyhow::Result<()> {
        for (number, id) in ids.iter().step_by(5).enumerate() {
            let task = format!("{}-task-{number}", self.tenant.id);
            let data = json!({"task_id": task, "title": format!("Check papers {number}"), "due": 4_070_908_800_000_i64});
            self.tell("rankr.task-created", id, &data).await?;
            if number % 2 == 0 {
                self.tell("rankr.task-closed", id, &json!({"task_id": task})).await?;
            }
            self.tell(
                "rankr.activity",
                id,
                &json!({"text": format!("Finished race {number} in 42 minutes")}),
            )
            .await?;
        }
        Ok(())
    }

    async fn tell(&mut self, event_type: &str, contact: &str, data: &Value) -> anyhow::Result<()> {
        let once = format!("{}-{}", self.tenant.id, self.told.len());
        let event =
            json!({"tenant": self.tenant.id, "type": event_type, "ghl_contact": contact, "data": data});
        let (host, key) = self.day.host;
        let url = format!("{host}/v1/events");
        self.day.http.tell(&url, key, &once, &event).await?;
        if self.told.len().is_multiple_of(5) {
            let again = self.day.http.tell(&url, key, &once, &event).await?;
            anyhow::ensure!(again["duplicate"] == true, "an event told twice was taken twice");
        }
        self.told.push(once);
        Ok(())
    }
}

fn pick<'a>(from: &[&'a str], random: &mut StdRng) -> &'a str {
    from.choose(random).copied().unwrap_or_default()
}

fn change(random: &mut StdRng) -> Value {
    match random.random_range(0..4) {
        0 => json!({"city": pick(CITIES, random)}),
        1 => json!({"tags": ["new", pick(&["vip", "trial", "regular"], random)]}),
        2 => json!({"website": format!("https://{}.example.com", random.random_range(1..999))}),
        _ => {
            json!({"address1": format!("{} Example Street", random.random_range(1..99)), "dnd": random.random_bool(0.5)})
        }
    }
}
