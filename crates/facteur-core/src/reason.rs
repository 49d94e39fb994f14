//! Why a job stands where it stands: a stable code for programs, a sentence for people.

use std::fmt;

macro_rules! reason_codes {
    ($( $variant:ident = $code:literal : $advice:literal ),+ $(,)?) => {
        /// The closed list of reasons; codes are stable and may be stored, counted and searched for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ReasonCode { $( #[doc = $advice] $variant ),+ }

        impl ReasonCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[ $( Self::$variant ),+ ];

            /// The code, as stored and shown.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $code ),+ }
            }

            /// The code of that name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|code| code.as_str() == name)
            }

            /// What a person can do about it.
            #[must_use]
            pub fn advice(self) -> &'static str {
                match self { $( Self::$variant => $advice ),+ }
            }
        }
    };
}

reason_codes! {
    // The envelope can't be read.
    BodyTooLarge = "body_too_large": "Send at most 256 KiB; put media behind URLs.",
    ContentTypeUnsupported = "content_type_unsupported": "Publish with content_type application/json.",
    InvalidUtf8 = "invalid_utf8": "Encode the body as UTF-8.",
    NulByte = "nul_byte": "Remove the NUL character; no carrier transports it.",
    MalformedJson = "malformed_json": "Publish one JSON object as the schema of the job describes.",
    CeleryUnsupported = "celery_unsupported": "Celery tasks are not consumed from this queue; publish a JSON job.",
    Unroutable = "unroutable": "Publish with routing key send.urgent, send.normal or send.bulk.",
    DeliveryLimit = "delivery_limit": "Workers died over this envelope again and again: look at it before requeueing.",
    ForeignDeadLetter = "foreign_dead_letter": "Something else put this here: its headers say where it came from.",
    // The job can't be understood.
    UnknownField = "unknown_field": "Remove the field or correct its name.",
    InvalidField = "invalid_field": "Correct the field.",
    IdMissing = "id_missing": "Give the job a UUID as message_id or id, and keep it when you publish it again.",
    IdMismatch = "id_mismatch": "Give the same UUID in message_id and id, or only one of them.",
    IdConflict = "id_conflict": "This id already stands for another recipient or text: use a new UUID for a new job.",
    RecipientMissing = "recipient_missing": "Name the recipient in `to`.",
    NumberInvalid = "number_invalid": "Correct the number, or give it with its country code.",
    ContentMissing = "content_missing": "Give one of body, template, media_urls or content_sid.",
    ContentAmbiguous = "content_ambiguous": "Give one content: body, template, or content_sid.",
    TextTooLong = "text_too_long": "Shorten the text to 1,600 characters.",
    TooManyMedia = "too_many_media": "Send at most ten media.",
    MediaUrlInvalid = "media_url_invalid": "Give media as http or https URLs.",
    DatesContradict = "dates_contradict": "Let the job expire after the instant at which it is to be sent.",
    // The gate says no.
    TemplateUnknown = "template_unknown": "Create the template, or correct its name or language, then requeue.",
    VariableMissing = "variable_missing": "Give every variable that the template names.",
    IntegrationMissing = "integration_missing":
        "Add an integration for the tenant and channel (`facteur integrations add`), then requeue.",
    SenderMissing = "sender_missing": "Configure a default sender for the channel, or name one in `from`.",
    SenderForeign = "sender_foreign": "This sender belongs to another tenant.",
    SenderChannel = "sender_channel": "Use a sender of the message's channel.",
    CountryNotAllowed = "country_not_allowed": "The tenant does not send to this country: allow it (`facteur tenants set`), then requeue.",
    WindowClosed = "window_closed": "WhatsApp takes free text only within 24 hours of the contact's last message: send a template (content_sid).",
    BudgetExceeded = "budget_exceeded": "The tenant's segments of this day are spent; goes on at its midnight, or when the budget is raised.",
    Canceled = "canceled": "Somebody cancelled it before it left.",
    Suppressed = "suppressed": "The recipient opted out; only they can opt in again (START).",
    Expired = "expired": "The message was not wanted any more; nothing to do.",
    // Waiting.
    Enqueued = "enqueued": "It was accepted; the next free worker takes it.",
    Scheduled = "scheduled": "Waits for its send_at.",
    QuietHours = "quiet_hours": "Marketing waits for the day where its recipient is; goes on by itself.",
    OtherLane = "other_lane": "Its category does not travel in the lane that was asked for; it was moved.",
    Paused = "paused": "An admin paused it; `facteur pause list` says who and why.",
    Resumed = "resumed": "What kept it back has ended; its turn comes by itself.",
    BreakerOpen = "breaker_open": "Twilio fails or refuses at the moment; goes on by itself when it answers again.",
    RateLimit = "rate_limit": "Waits for the sender's rate.",
    Throttled = "throttled": "Twilio asked to slow down; goes on by itself.",
    Unreachable = "unreachable": "Twilio could not be reached; goes on by itself.",
    AccountAtFault = "account_at_fault": "Twilio refuses the account or its credentials: run `facteur doctor`.",
    SenderAtFault = "sender_at_fault": "Twilio refuses this sender: check that the account owns it.",
    Temporary = "temporary": "Twilio reported a temporary fault; tried again by itself.",
    NotTaken = "not_taken": "A reply was lost, and the evidence says that Twilio did not take it; tried again by itself.",
    ResentByPolicy = "resent_by_policy": "Nobody knows whether Twilio took it; the policy of its category is to send again.",
    HandedOver = "handed_over": "Its worker stopped before the call; the next one goes on.",
    Requeued = "requeued": "An admin sent it back to work.",
    // The end.
    Accepted = "accepted": "Twilio took the message.",
    Delivered = "delivered": "The handset has it; nothing to do.",
    NotDelivered = "not_delivered": "Twilio took it and could not deliver it: the code says why.",
    Refused = "refused": "Twilio refused recipient or content for good.",
    DestinationDisabled = "destination_disabled": "Enable the destination in the Twilio account, then requeue.",
    RetriesExhausted = "retries_exhausted": "Every try failed: read the attempts, then requeue.",
    ReceiptMissing = "receipt_missing": "Twilio took it, and nobody tells what became of it: look it up in Twilio's log.",
    DeletedAtTwilio = "deleted_at_twilio": "Twilio took it, and somebody deleted it there before its receipt came.",
    Uncertain = "uncertain": "Nobody knows whether Twilio took it: evidence is looked for. Once it is held, look it up in Twilio's log before requeueing.",
}

impl ReasonCode {
    /// Whether an envelope that is dead for this may be a good job all the same: it went astray, or somebody put it
    /// there. What can't be read is none of these.
    #[must_use]
    pub fn is_astray(self) -> bool {
        matches!(self, Self::Unroutable | Self::DeliveryLimit | Self::ForeignDeadLetter)
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A code with the sentence of this one case. The sentence never holds a full number or a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The stable code.
    pub code: ReasonCode,
    /// The JSON field at fault, where there is one.
    pub field: Option<String>,
    /// What happened, for a person.
    pub sentence: String,
}

impl Reason {
    /// A reason with its sentence.
    #[must_use]
    pub fn new(code: ReasonCode, sentence: impl Into<String>) -> Self {
        Self { code, field: None, sentence: sentence.into() }
    }

    /// A reason that names the field at fault.
    #[must_use]
    pub fn field(code: ReasonCode, field: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self { code, field: Some(field.into()), sentence: sentence.into() }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(f, "{}: {}: {}", self.code, field, self.sentence),
            None => write!(f, "{}: {}", self.code, self.sentence),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ReasonCode;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_distinct_and_well_formed() {
        let codes: BTreeSet<_> = ReasonCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(codes.len(), ReasonCode::ALL.len());
        for code in codes {
            assert!(
                code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
                "{code}"
            );
        }
    }
}
