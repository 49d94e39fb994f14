//! Where a message stands: our own status, Twilio's, and what may follow what.

use std::fmt::Write as _;

/// The states of a message; final ones are never left but for a later receipt or an admin's requeue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Waits for its `send_at`.
    Scheduled,
    /// Waits, with a reason that is no failure.
    Waiting,
    /// Claimed by a worker.
    Sending,
    /// Waits for another try after a counted failure.
    Retrying,
    /// Nobody knows whether Twilio took it; evidence is looked for.
    Uncertain,
    /// Twilio took it.
    Sent,
    /// The handset has it.
    Delivered,
    /// The recipient opened it.
    Read,
    /// The carrier says that it did not arrive.
    Undelivered,
    /// It can't be sent; nothing to be done.
    Failed,
    /// Not wanted any more.
    Expired,
    /// Withdrawn.
    Canceled,
    /// The recipient opted out.
    Suppressed,
    /// Stopped, with a reason that a person can act on.
    Dead,
}

/// The states in which a message's record may begin: a claim, a wait, or the end that the gate decided
/// (a cancel that comes before the message leaves a `canceled` record too).
pub const FIRST: &[Status] = {
    use Status::{Canceled, Dead, Expired, Failed, Scheduled, Sending, Suppressed, Waiting};
    &[Scheduled, Waiting, Sending, Failed, Expired, Canceled, Suppressed, Dead]
};

/// Every allowed change of state; whatever is not here is refused, in Rust and in SQL.
///
/// Four rules stand behind it. Work moves on from a wait to `sending`, and from there to a wait or an end.
/// Evidence that Twilio has the message (a callback may come before our own record, or after a wrong guess)
/// is believed in every state, for the recipient has the text whatever we thought. Receipts move `sent` on and
/// the first end that Twilio names stays, but for `read` after `delivered`. Only an admin wakes the dead.
pub const TRANSITIONS: &[(Status, &[Status])] = {
    use Status::{
        Canceled, Dead, Delivered, Expired, Failed, Read, Retrying, Scheduled, Sending, Sent, Suppressed,
        Uncertain, Undelivered, Waiting,
    };
    &[
        (Scheduled, &[Waiting, Sending, Failed, Expired, Canceled, Suppressed, Dead]),
        (
            Waiting,
            &[
                Scheduled,
                Waiting,
                Sending,
                Sent,
                Delivered,
                Read,
                Undelivered,
                Failed,
                Expired,
                Canceled,
                Suppressed,
                Dead,
            ],
        ),
        (
            Sending,
            &[
                Waiting,
                Retrying,
                Uncertain,
                Sent,
                Delivered,
                Read,
                Undelivered,
                Failed,
                Expired,
                Suppressed,
                Dead,
            ],
        ),
        (
            Retrying,
            &[
                Waiting,
                Sending,
                Sent,
                Delivered,
                Read,
                Undelivered,
                Failed,
                Expired,
                Canceled,
                Suppressed,
                Dead,
            ],
        ),
        (Uncertain, &[Retrying, Sent, Delivered, Read, Undelivered, Failed, Expired, Dead]),
        (Sent, &[Delivered, Read, Undelivered, Failed]),
        (Delivered, &[Read]),
        (Read, &[]),
        (Undelivered, &[]),
        (Failed, &[]),
        (Expired, &[Sent, Delivered, Read, Undelivered]),
        (Canceled, &[Sent, Delivered, Read, Undelivered]),
        (Suppressed, &[Sent, Delivered, Read, Undelivered]),
        // A late record of the attempt that made it uncertain still says what became of it.
        (Dead, &[Waiting, Retrying, Expired, Sent, Delivered, Read, Undelivered, Failed]),
    ]
};

impl Status {
    /// Every status, in the order of a message's life.
    pub const ALL: [Self; 14] = [
        Self::Scheduled,
        Self::Waiting,
        Self::Sending,
        Self::Retrying,
        Self::Uncertain,
        Self::Sent,
        Self::Delivered,
        Self::Read,
        Self::Undelivered,
        Self::Failed,
        Self::Expired,
        Self::Canceled,
        Self::Suppressed,
        Self::Dead,
    ];

    /// The status's name, as stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Waiting => "waiting",
            Self::Sending => "sending",
            Self::Retrying => "retrying",
            Self::Uncertain => "uncertain",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Undelivered => "undelivered",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Canceled => "canceled",
            Self::Suppressed => "suppressed",
            Self::Dead => "dead",
        }
    }

    /// The status of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// Whether the work is over: nothing more is sent. Receipts still move `sent` on.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::Scheduled | Self::Waiting | Self::Sending | Self::Retrying | Self::Uncertain => false,
            Self::Sent
            | Self::Delivered
            | Self::Read
            | Self::Undelivered
            | Self::Failed
            | Self::Expired
            | Self::Canceled
            | Self::Suppressed
            | Self::Dead => true,
        }
    }

    /// The word that the APIs of existing apps show: `pending`, `sent`, `delivered` or `failed`.
    #[must_use]
    pub const fn public_word(self) -> &'static str {
        match self {
            Self::Scheduled | Self::Waiting | Self::Sending | Self::Retrying | Self::Uncertain => "pending",
            Self::Sent => "sent",
            Self::Delivered | Self::Read => "delivered",
            Self::Undelivered
            | Self::Failed
            | Self::Expired
            | Self::Canceled
            | Self::Suppressed
            | Self::Dead => "failed",
        }
    }

    /// Whether [`TRANSITIONS`] lets `next` follow.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        TRANSITIONS.iter().any(|(from, to)| *from == self && to.contains(&next))
    }

    /// The states that `next` may follow, for `UPDATE … WHERE status = ANY(…)`.
    #[must_use]
    pub fn allowed_from(next: Self) -> Vec<Self> {
        TRANSITIONS.iter().filter(|(_, to)| to.contains(&next)).map(|(from, _)| *from).collect()
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Draws [`TRANSITIONS`] as a Mermaid state diagram, for the documentation.
#[must_use]
pub fn mermaid() -> String {
    let mut drawing = String::from("stateDiagram-v2\n");
    for first in FIRST {
        // Writing to a String can't fail.
        let _ = writeln!(drawing, "    [*] --> {first}");
    }
    for (from, nexts) in TRANSITIONS {
        for next in *nexts {
            let _ = writeln!(drawing, "    {from} --> {next}");
        }
        if nexts.is_empty() {
            let _ = writeln!(drawing, "    {from} --> [*]");
        }
    }
    drawing
}

/// Twilio's own status of a message, by the names of its Messages resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TwilioStatus {
    /// Waits at Twilio for its `SendAt`.
    Scheduled,
    /// Taken by a Messaging Service that has not chosen a sender yet.
    Accepted,
    /// In its sender's queue.
    Queued,
    /// On its way to the carrier.
    Sending,
    /// The nearest carrier took it; the last word where no receipt ever comes.
    Sent,
    /// Some parts arrived; deprecated by Twilio.
    PartiallyDelivered,
    /// The carrier, perhaps the handset, confirmed it.
    Delivered,
    /// The carrier's receipt says no.
    Undelivered,
    /// It could not be sent.
    Failed,
    /// A scheduled message was withdrawn.
    Canceled,
    /// The recipient opened it (WhatsApp and RCS).
    Read,
    /// An inbound message is coming in.
    Receiving,
    /// An inbound message is there.
    Received,
}

impl TwilioStatus {
    /// Every status.
    pub const ALL: [Self; 13] = [
        Self::Scheduled,
        Self::Accepted,
        Self::Queued,
        Self::Sending,
        Self::Sent,
        Self::PartiallyDelivered,
        Self::Delivered,
        Self::Undelivered,
        Self::Failed,
        Self::Canceled,
        Self::Read,
        Self::Receiving,
        Self::Received,
    ];

    /// Twilio's name of the status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Accepted => "accepted",
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::PartiallyDelivered => "partially_delivered",
            Self::Delivered => "delivered",
            Self::Undelivered => "undelivered",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Read => "read",
            Self::Receiving => "receiving",
            Self::Received => "received",
        }
    }

    /// The status of that name; `None` for one that Twilio invented later.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// How far a message has come: a lower rank never replaces a higher one. The four ends share one rank.
    #[must_use]
    pub const fn rank(self) -> u8 {
        match self {
            Self::Scheduled | Self::Receiving => 0,
            Self::Accepted => 1,
            Self::Queued => 2,
            Self::Sending => 3,
            Self::Sent => 4,
            Self::PartiallyDelivered => 5,
            Self::Delivered | Self::Undelivered | Self::Failed | Self::Canceled | Self::Received => 6,
            Self::Read => 7,
        }
    }

    /// Whether Twilio says no more, except `read` after `delivered`.
    #[must_use]
    pub const fn is_end(self) -> bool {
        self.rank() >= Self::Delivered.rank()
    }

    /// What is to be kept when `new` is heard after `old`. Callbacks come late, twice and in any order: the
    /// status never moves down, and the first end wins but for `read` after `delivered`.
    #[must_use]
    pub fn merge(old: Option<Self>, new: Self) -> Self {
        match old {
            None => new,
            Some(Self::Delivered) if new == Self::Read => Self::Read,
            Some(old) if old.is_end() || new.rank() <= old.rank() => old,
            Some(_) => new,
        }
    }
}

impl std::fmt::Display for TwilioStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Our status for Twilio's. Whatever is on its way is `sent`. `canceled` is `failed`: we never schedule at
/// Twilio, so somebody withdrew the message there, and our own `canceled` is for what never left.
#[must_use]
pub const fn status_of(status: TwilioStatus) -> Status {
    match status {
        TwilioStatus::Scheduled
        | TwilioStatus::Accepted
        | TwilioStatus::Queued
        | TwilioStatus::Sending
        | TwilioStatus::Sent
        | TwilioStatus::PartiallyDelivered
        // Inbound words say nothing about a message of ours but that it exists.
        | TwilioStatus::Receiving
        | TwilioStatus::Received => Status::Sent,
        TwilioStatus::Delivered => Status::Delivered,
        TwilioStatus::Undelivered => Status::Undelivered,
        TwilioStatus::Failed | TwilioStatus::Canceled => Status::Failed,
        TwilioStatus::Read => Status::Read,
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
