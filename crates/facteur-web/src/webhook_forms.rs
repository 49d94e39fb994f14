//! What Twilio posts to webhooks, as the document describes it. Forms are read leniently, and parameters that are not
//! named here are kept with the rest.

use utoipa::ToSchema;

/// What becomes of a message.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the form of the body, for the document; it is read parameter by parameter")]
pub(crate) struct StatusForm {
    /// The account that the message was sent over: it says whose auth token has signed.
    #[schema(rename = "AccountSid", example = "AC00000000000000000000000000000000")]
    account_sid: String,
    /// `SM` or `MM` and 32 hexadecimal digits; `SmsSid` in its place is taken too.
    #[schema(rename = "MessageSid", example = "SM00000000000000000000000000000001")]
    message_sid: String,
    /// `queued`, `sent`, `delivered`, `undelivered`, `failed`, `read` …; `SmsStatus` in its place is taken too.
    #[schema(rename = "MessageStatus", example = "delivered")]
    message_status: String,
    /// Twilio's error code, of what was not delivered.
    #[schema(rename = "ErrorCode")]
    error_code: Option<String>,
}

/// A message that a contact wrote.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the form of the body, for the document; it is read parameter by parameter")]
pub(crate) struct InboundForm {
    /// The account that it came to: it says whose auth token has signed.
    #[schema(rename = "AccountSid", example = "AC00000000000000000000000000000000")]
    account_sid: String,
    /// `SM` or `MM` and 32 hexadecimal digits; the same one again is kept once.
    #[schema(rename = "MessageSid", example = "SM00000000000000000000000000000002")]
    message_sid: String,
    /// Who wrote; with `whatsapp:` before it over WhatsApp.
    #[schema(rename = "From", example = "+33612345699")]
    from: String,
    /// Which of our senders they wrote to.
    #[schema(rename = "To", example = "+15005550006")]
    to: String,
    /// The text.
    #[schema(rename = "Body", example = "Bonjour")]
    body: Option<String>,
    /// How many media it has; `MediaUrl0` and `MediaContentType0` are the first one's.
    #[schema(rename = "NumMedia", example = "0")]
    num_media: Option<String>,
    /// The Messaging Service that it came to.
    #[schema(rename = "MessagingServiceSid")]
    messaging_service_sid: Option<String>,
    /// `STOP`, `START` or `HELP`, where Twilio took it for one.
    #[schema(rename = "OptOutType")]
    opt_out_type: Option<String>,
    /// The contact's name, over WhatsApp.
    #[schema(rename = "ProfileName")]
    profile_name: Option<String>,
}
