//! Signed webhook deliveries with random ids, as whole HTTP requests, made before they are measured.

use super::load::Requests;
use crate::domain::Timestamp;
use anyhow::Context as _;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write as _;
use std::sync::Arc;

/// The app's id in paths and bodies.
pub(super) const APP: &str = "bench";
/// The location that bodies name.
pub(super) const LOCATION: &str = "locBench00000000001";
/// Contacts among which the deliveries are spread.
const CONTACTS: u64 = 10_000;

/// Makes deliveries under a key pair of its own.
pub(super) struct Deliveries {
    pair: Ed25519KeyPair,
}

impl Deliveries {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self { pair: Ed25519KeyPair::generate().context("no key pair could be made")? })
    }

    /// The public key, PEM as an app is configured with it.
    pub(super) fn public_pem(&self) -> String {
        let key = STANDARD.encode(self.pair.public_key().as_ref());
        format!("-----BEGIN PUBLIC KEY-----\n{key}\n-----END PUBLIC KEY-----\n")
    }

    /// That many fresh deliveries, signed by two threads.
    pub(super) fn make(&self, count: usize) -> anyhow::Result<Requests> {
        let half = count / 2;
        let (first, second) = std::thread::scope(|scope| {
            let other = scope.spawn(move || self.sign(count - half));
            (self.sign(half), other.join())
        });
        let mut requests = first?;
        requests.extend(second.map_err(|_panicked| anyhow::anyhow!("signing failed"))??);
        Ok(Arc::new(requests))
    }

    fn sign(&self, count: usize) -> anyhow::Result<Vec<Vec<u8>>> {
        (0..count).map(|_| self.request()).collect()
    }

    fn request(&self) -> anyhow::Result<Vec<u8>> {
        let body = body(uuid::Uuid::new_v4());
        let signature = STANDARD.encode(self.pair.sign(body.as_bytes()));
        let mut request = String::with_capacity(body.len() + 320);
        write!(
            request,
            "POST /webhooks/ghl/{APP} HTTP/1.1\r\nhost: 127.0.0.1\r\nuser-agent: ghl\r\naccept: */*\r\n\
             content-type: application/json\r\nx-ghl-signature: {signature}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )?;
        Ok(request.into_bytes())
    }
}

/// A `ContactUpdate` as GHL sends it, about 0.9 KB, of one of the contacts.
pub(super) fn body(id: uuid::Uuid) -> String {
    let (number, _) = id.as_u64_pair();
    let contact = number % CONTACTS;
    let at = Timestamp::from_millis(1_767_225_600_000 + i64::try_from(number % 86_400_000).unwrap_or(0));
    format!(
        "{{\"type\":\"ContactUpdate\",\"appId\":\"{APP}\",\"versionId\":\"{APP}\",\"locationId\":\"{LOCATION}\",\
         \"webhookId\":\"{id}\",\"timestamp\":\"{at}\",\"id\":\"contact{contact:013}\",\
         \"address1\":\"1 Example Street\",\"city\":\"Springfield {}\",\"state\":\"NY\",\"country\":\"US\",\
         \"postalCode\":\"{:05}\",\"companyName\":\"Example Works\",\"website\":\"https://example.com/{contact}\",\
         \"source\":\"front desk\",\"dateAdded\":\"2026-01-01T00:00:00.000Z\",\"dateOfBirth\":\"1990-09-25T00:00:00.000Z\",\
         \"dnd\":false,\"email\":\"ada.{contact}@example.com\",\"name\":\"Ada Example\",\"firstName\":\"Ada\",\
         \"lastName\":\"Example\",\"phone\":\"+1 555-01{:02}\",\"assignedTo\":\"user00000000000000{:02}\",\
         \"tags\":[\"new\",\"season {}\"],\"customFields\":[{{\"id\":\"cf000000000000000001\",\"value\":\"blue\"}},\
         {{\"id\":\"cf000000000000000002\",\"value\":{}}},{{\"id\":\"cf000000000000000003\",\"value\":[\"a\",\"b\"]}}]}}",
        number % 97,
        number % 99_999,
        number % 100,
        number % 20,
        number % 12,
        number % 1000,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AppId, Envelope};
    use crate::tenants::App;
    use crate::webhooks::{Signatures, Verifier};

    #[test]
    fn deliveries_are_signed_distinct_and_addressed() {
        let deliveries = Deliveries::new().unwrap();
        let made = deliveries.make(5).unwrap();
        let app = App {
            id: AppId::from(APP),
            environment: "sandbox".into(),
            ghl_app_id: APP.into(),
            ed25519_keys: vec![deliveries.public_pem()],
            rsa_keys: Vec::new(),
        };
        let verifier = Verifier::new(&app, false).unwrap();
        let mut ids = std::collections::HashSet::new();
        for request in made.iter() {
            let text = String::from_utf8(request.clone()).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            let signature = head.lines().find_map(|line| line.strip_prefix("x-ghl-signature: ")).unwrap();
            assert!(verifier.holds(body.as_bytes(), Signatures { ed25519: Some(signature), rsa: None }));
            let envelope: Envelope = serde_json::from_str(body).unwrap();
            assert_eq!(envelope.location(), Some(LOCATION));
            assert!((800..1100).contains(&body.len()), "{}", body.len());
            ids.insert(envelope.webhook_id.unwrap());
        }
        assert_eq!(ids.len(), 5);
    }
}
