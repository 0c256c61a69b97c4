//! What each event type says, in words. Types that are not listed are told by the words in their names.

/// Each type GHL documents, and those the host makes itself.
const PHRASES: &[(&str, &str)] = &[
    ("ContactCreate", "Created in GHL"),
    ("ContactUpdate", "Changed in GHL"),
    ("ContactDelete", "Deleted in GHL"),
    ("ContactDndUpdate", "Do-not-disturb changed in GHL"),
    ("ContactTagUpdate", "Tags changed in GHL"),
    ("TaskCreate", "Task created in GHL"),
    ("TaskUpdate", "Task changed in GHL"),
    ("TaskComplete", "Task completed in GHL"),
    ("TaskDelete", "Task deleted in GHL"),
    ("NoteCreate", "Note written in GHL"),
    ("NoteUpdate", "Note changed in GHL"),
    ("NoteDelete", "Note deleted in GHL"),
    ("AppointmentCreate", "Appointment booked"),
    ("AppointmentUpdate", "Appointment changed"),
    ("AppointmentDelete", "Appointment deleted"),
    ("OpportunityCreate", "Opportunity created"),
    ("OpportunityUpdate", "Opportunity changed"),
    ("OpportunityDelete", "Opportunity deleted"),
    ("OpportunityStatusUpdate", "Opportunity's status changed"),
    ("OpportunityStageUpdate", "Opportunity moved to another stage"),
    ("OpportunityMonetaryValueUpdate", "Opportunity's value changed"),
    ("OpportunityAssignedToUpdate", "Opportunity assigned to someone else"),
    ("InboundMessage", "Message received"),
    ("OutboundMessage", "Message sent"),
    ("SMS", "SMS handed to the message provider"),
    ("Email", "E-mail handed to the message provider"),
    ("ConversationUnreadUpdate", "Unread messages counted anew"),
    ("ConversationUpdate", "Conversations merged"),
    ("CampaignStatusUpdate", "Campaign's status changed"),
    ("VoiceAiCallEnd", "Voice AI call ended"),
    ("InvoiceCreate", "Invoice created"),
    ("InvoiceUpdate", "Invoice changed"),
    ("InvoiceDelete", "Invoice deleted"),
    ("InvoiceSent", "Invoice sent"),
    ("InvoicePaid", "Invoice paid"),
    ("InvoicePartiallyPaid", "Invoice paid in part"),
    ("InvoiceVoid", "Invoice voided"),
    ("OrderCreate", "Order placed"),
    ("OrderStatusUpdate", "Order's status changed"),
    ("ProductCreate", "Product created"),
    ("ProductUpdate", "Product changed"),
    ("ProductDelete", "Product deleted"),
    ("PriceCreate", "Price created"),
    ("PriceUpdate", "Price changed"),
    ("PriceDelete", "Price deleted"),
    ("RecordCreate", "Record of a custom object created"),
    ("RecordUpdate", "Record of a custom object changed"),
    ("RecordDelete", "Record of a custom object deleted"),
    ("RelationCreate", "Records related"),
    ("RelationDelete", "Relation of records ended"),
    ("AssociationCreate", "Kind of relation created"),
    ("AssociationUpdate", "Kind of relation changed"),
    ("AssociationDelete", "Kind of relation deleted"),
    ("ObjectSchemaCreate", "Custom object created"),
    ("ObjectSchemaUpdate", "Custom object changed"),
    ("LocationCreate", "Location created"),
    ("LocationUpdate", "Location changed"),
    ("UserCreate", "GHL user created"),
    ("UserUpdate", "GHL user changed"),
    ("UserDelete", "GHL user deleted"),
    ("LCEmailStats", "E-mail statistics came"),
    ("KnowledgeBaseCreate", "Knowledge base created"),
    ("KnowledgeBaseUpdate", "Knowledge base changed"),
    ("KnowledgeBaseDelete", "Knowledge base deleted"),
    ("KnowledgeBaseFaqChange", "Knowledge base's questions changed"),
    ("KnowledgeBaseFileChange", "Knowledge base's files changed"),
    ("KnowledgeBaseRichTextChange", "Knowledge base's texts changed"),
    ("KnowledgeBaseTableFileChange", "Knowledge base's tables changed"),
    ("KnowledgeBaseTrainedUrlChange", "Knowledge base's pages changed"),
    ("SupportTicketCreate", "Support ticket opened"),
    ("SupportTicketUpdate", "Support ticket changed"),
    ("SupportTicketDelete", "Support ticket deleted"),
    ("SaasPlanCreate", "SaaS plan created"),
    ("INSTALL", "App installed"),
    ("UNINSTALL", "App uninstalled"),
    ("UPDATE", "App updated"),
    ("APP_PAYMENT_STATUS", "App's payment status changed"),
    ("PLAN_CHANGE", "App's plan changed"),
    ("EXTERNAL_AUTH_CONNECTED", "External account connected"),
    ("schedule", "Time to look again came"),
    ("effect-done", "Told that an effect is done"),
    ("effect-failed", "Told that an effect failed"),
    ("timing.contact-idle", "Nothing happened for a while"),
    ("timing.task-due", "Task is due"),
    ("timing.task-overdue", "Task is overdue"),
    ("timing.appointment-upcoming", "Appointment is near"),
    ("timing.cron", "A set time came"),
];

/// What an event of that type says; none for types that are told by their names.
#[must_use]
pub fn phrase_of(event_type: &str) -> Option<&'static str> {
    PHRASES.iter().find(|(name, _)| *name == event_type).map(|(_, phrase)| *phrase)
}

/// A type's name as words: `FooBarUpdate` is `Foo bar update`, `rankr.race-finished` is `Rankr: race finished`.
pub(super) fn words_of(event_type: &str) -> String {
    if let Some((whose, what)) = event_type.split_once('.') {
        let what = what.replace(['-', '_', '.'], " ");
        return format!("{}: {what}", capital(whose));
    }
    let mut words = String::with_capacity(event_type.len() + 4);
    let mut before = ' ';
    for letter in event_type.chars() {
        if letter.is_uppercase() && before.is_lowercase() {
            words.push(' ');
        }
        words.push(if matches!(letter, '-' | '_') { ' ' } else { letter });
        before = letter;
    }
    capital(&words.to_lowercase())
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unlisted_types_are_told_by_their_names() {
        assert_eq!(words_of("FooBarUpdate"), "Foo bar update");
        assert_eq!(words_of("rankr.race-finished"), "Rankr: race finished");
        assert_eq!(words_of("NEW_THING"), "New thing");
        assert_eq!(words_of(""), "");
    }

    #[test]
    fn no_type_is_listed_twice() {
        let mut names: Vec<_> = PHRASES.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
