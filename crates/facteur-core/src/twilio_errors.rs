//! Twilio's error codes as a table: what each means for the message, and what a person can do about it.
//!
//! Twilio says that codes may be split or re-mapped over time, so the table is data, and whatever it doesn't
//! hold falls back on the HTTP status ([`classify`]).

macro_rules! errors {
    ($( $code:literal $when:ident $class:ident $meaning:literal $advice:literal; )+) => {
        pub(super) const ENTRIES: &[super::ErrorEntry] = &[ $( super::ErrorEntry {
            code: $code,
            class: super::ErrorClass::$class,
            when: super::When::$when,
            meaning: $meaning,
            advice: $advice,
        } ),+ ];
    };
}

mod api;
mod carrier;
mod channels;

/// The table in its parts: each is sorted by code, and so are the parts.
const PARTS: [&[ErrorEntry]; 3] = [api::ENTRIES, carrier::ENTRIES, channels::ENTRIES];

/// Codes that say "not created" even on a 5xx answer: Twilio turns requests away during its maintenance.
const NOT_CREATED_ON_5XX: [u32; 1] = [21730];

/// What an error means for the message and for the others behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorClass {
    /// This recipient can't be reached, ever; others can.
    Recipient,
    /// This text, media or request will never be taken.
    Content,
    /// The account does not allow this destination or this kind of message, while others pass: a country that
    /// is not enabled, a limit of trial accounts, MMS. An admin can change that; then the message can go.
    Destination,
    /// The account or its credentials: nothing of it passes until somebody acts.
    Account,
    /// The From address: nothing from it passes until somebody acts.
    Sender,
    /// The account or resource was not found, so nothing was created. Twilio is known to answer so on valid
    /// calls now and then: try once more, then take it for [`ErrorClass::Account`].
    NotFound,
    /// Too much at once; the same message passes later.
    Throttled,
    /// A passing fault at Twilio or a carrier, and the message was certainly not delivered.
    Transient,
    /// Nobody knows whether the message was taken: look for evidence before sending again.
    Ambiguous,
    /// The recipient can't be reached at the moment: a few more tries, far apart.
    RecipientTemporary,
    /// Says nothing about a message that we send: our webhooks, inbound messages, warnings.
    Notice,
}

impl ErrorClass {
    /// Every class.
    pub const ALL: [Self; 11] = [
        Self::Recipient,
        Self::Content,
        Self::Destination,
        Self::Account,
        Self::Sender,
        Self::NotFound,
        Self::Throttled,
        Self::Transient,
        Self::Ambiguous,
        Self::RecipientTemporary,
        Self::Notice,
    ];

    /// The class's name, as stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recipient => "recipient",
            Self::Content => "content",
            Self::Destination => "destination",
            Self::Account => "account",
            Self::Sender => "sender",
            Self::NotFound => "not_found",
            Self::Throttled => "throttled",
            Self::Transient => "transient",
            Self::Ambiguous => "ambiguous",
            Self::RecipientTemporary => "recipient_temporary",
            Self::Notice => "notice",
        }
    }
}

/// Where a code is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum When {
    /// In the answer to the POST that was to create the message.
    Sync,
    /// Later, on the message and in its callbacks.
    Async,
    /// In either; with a Messaging Service the sender is often checked after the answer.
    Both,
    /// In Twilio's debugger, about an answer of our webhooks.
    Webhook,
    /// On an inbound message.
    Inbound,
}

/// One code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorEntry {
    /// Twilio's number.
    pub code: u32,
    /// What it means for the message.
    pub class: ErrorClass,
    /// Where it is met.
    pub when: When,
    /// What happened, in a sentence.
    pub meaning: &'static str,
    /// What a person can do about it.
    pub advice: &'static str,
}

/// The whole table, by code.
pub fn entries() -> impl Iterator<Item = &'static ErrorEntry> {
    PARTS.into_iter().flatten()
}

/// What is known of a code.
#[must_use]
pub fn lookup(code: u32) -> Option<&'static ErrorEntry> {
    PARTS.into_iter().find_map(|part| {
        let index = part.binary_search_by_key(&code, |entry| entry.code).ok()?;
        part.get(index)
    })
}

/// The class of an answer that is not a success. The HTTP status goes first where it is more certain than any
/// code: 429 was never processed, and 408 and 5xx may have been, whatever the body says (but for the codes
/// that say "not created"). Among the other 4xx the code decides. Without a known one, 401 and 403 are the
/// account's, 404 is "not found" and the rest is the request's fault. A status that is neither 4xx nor 5xx is
/// no answer of Twilio's to a POST: ambiguous.
#[must_use]
pub fn classify(code: Option<u32>, http_status: u16) -> ErrorClass {
    let known = code.and_then(lookup).filter(|entry| entry.class != ErrorClass::Notice);
    match (http_status, known) {
        (429, _) => ErrorClass::Throttled,
        (408, _) => ErrorClass::Ambiguous,
        (400..=499, Some(entry)) => entry.class,
        (401 | 403, None) => ErrorClass::Account,
        (404, None) => ErrorClass::NotFound,
        (400..=499, None) => ErrorClass::Content,
        (500..=599, Some(entry)) if NOT_CREATED_ON_5XX.contains(&entry.code) => entry.class,
        _ => ErrorClass::Ambiguous,
    }
}

#[cfg(test)]
#[path = "twilio_errors_tests.rs"]
mod tests;
