//! Who takes part in the demo: the app, and two customers with one location each.

/// The app's id, in paths and in bodies.
pub(super) const APP: &str = "demo";

/// Scopes the host asks for, of the app as of the API key.
pub(super) const SCOPES: &str = "contacts.readonly contacts.write calendars/events.readonly \
    calendars/events.write locations/tasks.readonly locations/customFields.readonly";

/// How a customer's location is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connected {
    /// Over GHL's consent page; GHL sends webhooks.
    ByConsent,
    /// With an API key; the host polls.
    ByKey,
}

impl Connected {
    pub(super) fn how(self) -> &'static str {
        match self {
            Self::ByConsent => "over GHL's consent page, so that it gets webhooks",
            Self::ByKey => "with an API key, so that it is polled",
        }
    }
}

/// A customer of the demo.
#[derive(Clone, Debug)]
pub(super) struct Tenant {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) location: String,
    pub(super) connected: Connected,
}

/// The two customers.
pub(super) fn tenants() -> Vec<Tenant> {
    [
        ("dental", "Harbour Dental", "locHarbourDental00001", Connected::ByKey),
        ("rowing-club", "Riverside Rowing Club", "locRowingClub00000001", Connected::ByConsent),
    ]
    .into_iter()
    .map(|(id, name, location, connected)| Tenant {
        id: id.into(),
        name: name.into(),
        location: location.into(),
        connected,
    })
    .collect()
}

/// A contact whose timeline is shown at the end.
#[derive(Clone, Debug)]
pub(super) struct Star {
    pub(super) tenant: Tenant,
    pub(super) contact: String,
}
