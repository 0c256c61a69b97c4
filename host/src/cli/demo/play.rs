//! The day: people at two customers' offices create, change and delete contacts; GHL sends some messages twice and
//! some late.

use super::http::Http;
use crate::cli::output::complain;
use anyhow::Context as _;
use futures_util::future::try_join_all;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

/// A customer of the demo.
#[derive(Clone, Debug)]
pub(super) struct Tenant {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) location: String,
}

/// The two customers.
pub(super) fn tenants() -> Vec<Tenant> {
    [
        ("rowing-club", "Riverside Rowing Club", "locRowingClub00000001"),
        ("dental", "Harbour Dental", "locHarbourDental00001"),
    ]
    .into_iter()
    .map(|(id, name, location)| Tenant { id: id.into(), name: name.into(), location: location.into() })
    .collect()
}

/// A contact whose timeline is shown at the end.
#[derive(Clone, Debug)]
pub(super) struct Star {
    pub(super) tenant: Tenant,
    pub(super) contact: String,
}

/// What was played.
#[derive(Debug)]
pub(super) struct Played {
    pub(super) star: Star,
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

const FIRST: &[&str] = &["Ada", "Bela", "Cleo", "Dario", "Edda", "Femi", "Gwen", "Hugo", "Ines", "Jonas"];
const LAST: &[&str] = &["Archer", "Brook", "Carver", "Dale", "Elwood", "Ferris", "Grove", "Hart"];
const CITIES: &[&str] = &["Springfield", "Riverton", "Lakeside", "Hillview", "Marsh End", "Old Harbour"];

impl Day<'_> {
    /// Plays it; the same day each time, but for the ids.
    pub(super) async fn play(&self) -> anyhow::Result<Played> {
        let mut random = StdRng::seed_from_u64(2026);
        let mut star = None;
        let mut told = Vec::new();
        for tenant in self.tenants {
            let asked = json!({"location_id": tenant.location});
            let token = self.http.post(&format!("{}/_sandbox/tokens", self.sandbox), None, &asked).await?;
            let token = token["access_token"].as_str().context("the sandbox gave no token")?.to_owned();
            let mut office = Office { day: self, tenant, token, told: Vec::new() };
            let first = office.play(&mut random).await?;
            star = Some(Star { tenant: tenant.clone(), contact: first });
            told.extend(office.told);
        }
        Ok(Played { star: star.context("there are no contacts")?, told })
    }
}

impl Office<'_> {
    async fn play(&mut self, random: &mut StdRng) -> anyhow::Result<String> {
        let name = &self.tenant.name;
        complain(&format!("{name}: {} new contacts", self.day.contacts));
        let ids = self.create(random).await?;
        let first = ids.first().context("there are no contacts")?.clone();
        complain(&format!("{name}: contacts change, some messages come twice or late"));
        self.faults(&json!({"duplicate": 10, "hold_back": 10, "hold_back_seconds": 45})).await?;
        for _ in 0..self.day.contacts * 2 {
            let id = ids.choose(random).context("there are no contacts")?;
            self.update(id, &change(random)).await?;
        }
        self.overtake(&ids).await?;
        self.burst(&first).await?;
        complain(&format!(
            "{name}: tags, tasks, notes and appointments; GHL answers some writes with errors"
        ));
        self.faults(&json!({"duplicate": 5, "tasks_without_contact": 6, "fail_before": 2, "fail_after": 3, "too_many": 2}))
            .await?;
        self.work(&ids).await?;
        complain(&format!("{name}: Rankr tells of tasks and activities"));
        self.tell_of_work(&ids).await?;
        for id in ids.iter().skip(1).step_by(8) {
            self.day.http.delete(&self.contact(id, ""), Some(&self.token)).await?;
        }
        Ok(first)
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
        let due = |day: u32| format!("2099-03-{:02}T09:00:00Z", day % 28 + 1);
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
