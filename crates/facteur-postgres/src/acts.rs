//! What is written down in the audit log: who did it, and the words for what was done.

use deadpool_postgres::GenericClient;
use serde_json::Value;

use crate::audit::{self, Entry};
use crate::batch_error::BatchFailure;

/// Who does something, and by which request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct By<'a> {
    /// `key:…`, `jwt:…` or `cli:…`.
    pub actor: &'a str,
    /// The HTTP request; `None` at the command line.
    pub request_id: Option<&'a str>,
}

impl<'a> From<&'a str> for By<'a> {
    fn from(actor: &'a str) -> Self {
        Self { actor, request_id: None }
    }
}

impl<'a> From<&'a String> for By<'a> {
    fn from(actor: &'a String) -> Self {
        Self::from(actor.as_str())
    }
}

/// Every act, by its stable word, and what it means; in the order of the words.
pub const ACTS: &[(&str, &str)] = &[
    ("bulk_canceled", "a bulk was cancelled"),
    ("bulk_rate_changed", "the rate of a bulk was changed"),
    ("bulk_retried", "who failed in a bulk was tried anew"),
    ("consent_given", "a contact's consent to the messages of events was recorded"),
    ("consent_withdrawn", "a contact's consent to the messages of events was withdrawn"),
    ("contact_erased", "a contact was forgotten"),
    ("conversation_changed", "status or assignee of a conversation were changed, or it was marked as read"),
    ("dead_letters_requeued", "dead letters were sent back to work, up to 1,000 in one record"),
    ("integration_activated", "an integration was activated"),
    ("integration_changed", "an integration or its credentials were changed"),
    ("integration_created", "an integration was created"),
    ("integration_deactivated", "an integration was deactivated"),
    ("integration_made_default", "an integration was made its tenant's default"),
    ("integration_tested", "an account was looked at with its credentials"),
    ("key_created", "an API key was made"),
    ("key_revoked", "an API key was revoked"),
    ("message_canceled", "a message was cancelled"),
    ("opted_in", "a contact wrote START: suppressions were lifted"),
    ("opted_out", "a contact wrote STOP: they were suppressed"),
    ("pause_lifted", "a pause was ended"),
    ("pause_set", "something was paused, or reason and end of its pause were changed"),
    ("send_bulk_mms", "a bulk of MMS was accepted"),
    ("send_bulk_sms", "a bulk of SMS was accepted"),
    ("send_bulk_whatsapp", "a bulk of WhatsApp messages was accepted"),
    ("send_message", "messages were accepted"),
    ("send_mms", "an MMS was accepted"),
    ("send_notification_sms", "a notification, or the messages of an event, were accepted"),
    ("send_sms", "an SMS was accepted"),
    ("send_whatsapp", "a WhatsApp message was accepted"),
    ("sender_changed", "rate, owner, integration or pool of a sender were changed"),
    ("sender_pool_changed", "a pool of senders was made or changed"),
    ("sender_pool_deleted", "a pool of senders was removed"),
    ("suppression_added", "a number was suppressed"),
    ("suppression_removed", "a suppression was lifted"),
    ("template_changed", "a template was changed"),
    ("template_created", "a template was written"),
    ("template_deleted", "a template was deleted"),
    ("tenant_alias_set", "a tenant was given another name"),
    ("tenant_changed", "settings of a tenant were changed"),
];

/// Writes an act down, within the transaction of what it tells.
pub(crate) async fn note(
    client: &impl GenericClient,
    by: By<'_>,
    action: &str,
    (tenant, subject): (&str, &str),
    details: Value,
) -> Result<(), BatchFailure> {
    let entry = Entry {
        tenant: tenant.to_owned(),
        actor: by.actor.to_owned(),
        action: action.to_owned(),
        subject: Some(subject.to_owned()),
        request_id: by.request_id.map(str::to_owned),
        details,
    };
    audit::record(client, &entry).await
}
