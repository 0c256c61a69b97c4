//! Which contact fields GHL has, by the names our records and mirror use for them.

/// The contact fields a webhook snapshot carries, by GHL's names.
pub const CONTACT_FIELDS: &[&str] = &[
    "address1", "assignedTo", "attachments", "city", "companyName", "country", "customFields", "dateAdded",
    "dateOfBirth", "dnd", "dndSettings", "email", "firstName", "lastName", "name", "phone", "postalCode", "source",
    "state", "tags", "timezone", "website",
];
