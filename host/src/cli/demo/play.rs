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

/// The day and who plays it.
pub(super) struct Day<'a> {
    pub(super) http: &'a Http,
    pub(super) sandbox: &'a str,
    pub(super) tenants: &'a [Tenant],
    pub(super) contacts: usize,
}

const FIRST: &[&str] = &["Ada", "Bela", "Cleo", "Dario", "Edda", "Femi", "Gwen", "Hugo", "Ines", "Jonas"];
const LAST: &[&str] = &["Archer", "Brook", "Carver", "Dale", "Elwood", "Ferris", "Grove", "Hart"];
const CITIES: &[&str] = &["Springfield", "Riverton", "Lakeside", "Hillview", "Marsh End", "Old Harbour"];

impl Day<'_> {
    /// Plays it; the same day each time, but for the ids.
    pub(super) async fn play(&self) -> anyhow::Result<Star> {
        let mut random = StdRng::seed_from_u64(2026);
        let mut star = None;
        for tenant in self.tenants {
            complain(&format!("{}: {} new contacts", tenant.name, self.contacts));
            let ids = self.create(tenant, &mut random).await?;
            complain(&format!("{}: contacts change, some messages come twice or late", tenant.name));
            self.faults(10, 10).await?;
            for _ in 0..self.contacts * 2 {
                let id = ids.choose(&mut random).context("there are no contacts")?;
                self.update(id, &change(&mut random)).await?;
            }
            self.overtake(&ids).await?;
            self.burst(ids.first().context("there are no contacts")?).await?;
            for id in ids.iter().skip(1).step_by(8) {
                self.http.delete(&format!("{}/_sandbox/contacts/{id}", self.sandbox)).await?;
            }
            star =
                ids.first().map(|contact| Star { tenant: tenant.clone(), contact: contact.clone() }).or(star);
        }
        star.context("there are no contacts")
    }

    async fn create(&self, tenant: &Tenant, random: &mut StdRng) -> anyhow::Result<Vec<String>> {
        let mut ids = Vec::new();
        for number in 0..self.contacts {
            let (first, last) = (pick(FIRST, random), pick(LAST, random));
            let fields = json!({
                "firstName": first, "lastName": last, "email": format!("{first}.{last}.{number}@{}.example.com", tenant.id),
                "phone": format!("+1555010{:04}", number), "city": pick(CITIES, random), "country": "US", "source": "front desk",
                "tags": ["new"], "dnd": false, "timezone": "America/New_York",
            });
            let body = json!({"location_id": tenant.location, "fields": fields});
            let made = self.http.post(&format!("{}/_sandbox/contacts", self.sandbox), &body).await?;
            ids.push(made["contact"]["id"].as_str().context("the sandbox gave no id")?.to_owned());
        }
        Ok(ids)
    }

    async fn update(&self, id: &str, fields: &Value) -> anyhow::Result<()> {
        self.http.put(&format!("{}/_sandbox/contacts/{id}", self.sandbox), fields).await?;
        Ok(())
    }

    async fn faults(&self, duplicate: u32, hold_back: u32) -> anyhow::Result<()> {
        let faults = json!({"duplicate": duplicate, "hold_back": hold_back, "hold_back_seconds": 45});
        self.http.put(&format!("{}/_sandbox/faults", self.sandbox), &faults).await?;
        Ok(())
    }

    /// Changes a field twice, the first message held back so that the second passes it.
    async fn overtake(&self, ids: &[String]) -> anyhow::Result<()> {
        for id in ids.iter().step_by(2) {
            self.faults(0, 1).await?;
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
