//! Where a conversation of the shared inbox stands.

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConversationStatus {
    /// A contact wrote, and nobody of us has looked at it.
    New,
    /// Somebody looked at it.
    Open,
    /// The contact wrote last.
    WaitingForUs,
    /// We wrote last.
    WaitingForThem,
    /// Done; a message of the contact opens it again.
    Closed,
}

/// What happens to a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConversationEvent {
    /// The contact wrote.
    Received,
    /// The contact left (STOP): there is nothing that we could answer.
    Left,
    /// We wrote.
    Wrote,
    /// Somebody looked at it.
    Seen,
}

impl ConversationStatus {
    /// Every status.
    pub const ALL: [Self; 5] =
        [Self::New, Self::Open, Self::WaitingForUs, Self::WaitingForThem, Self::Closed];

    /// Its name, as stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Open => "open",
            Self::WaitingForUs => "waiting_for_us",
            Self::WaitingForThem => "waiting_for_them",
            Self::Closed => "closed",
        }
    }

    /// The status of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// What it becomes.
    #[must_use]
    pub fn after(self, event: ConversationEvent) -> Self {
        match (event, self) {
            (ConversationEvent::Received, Self::New) => Self::New,
            (ConversationEvent::Received, _) => Self::WaitingForUs,
            (ConversationEvent::Left, _) => Self::Closed,
            (ConversationEvent::Wrote, _) => Self::WaitingForThem,
            (ConversationEvent::Seen, Self::New) => Self::Open,
            (ConversationEvent::Seen, status) => status,
        }
    }
}

impl ConversationEvent {
    /// The status of a conversation that begins with it.
    #[must_use]
    pub fn first(self) -> ConversationStatus {
        ConversationStatus::New.after(self)
    }
}

#[cfg(test)]
mod tests {
    use super::ConversationEvent::{Left, Received, Seen, Wrote};
    use super::ConversationStatus::{self, Closed, New, Open, WaitingForThem, WaitingForUs};

    #[test]
    fn it_is_the_turn_of_whoever_did_not_write_last() {
        for (before, event, after) in [
            (New, Received, New),
            (New, Seen, Open),
            (Open, Received, WaitingForUs),
            (WaitingForThem, Received, WaitingForUs),
            (WaitingForUs, Received, WaitingForUs),
            (WaitingForUs, Seen, WaitingForUs),
            (WaitingForUs, Wrote, WaitingForThem),
            (Closed, Received, WaitingForUs),
            (Closed, Seen, Closed),
            (Closed, Wrote, WaitingForThem),
            (WaitingForThem, Left, Closed),
        ] {
            assert_eq!(before.after(event), after, "{before:?} {event:?}");
        }
        assert_eq!(
            [Received, Wrote, Left].map(super::ConversationEvent::first),
            [New, WaitingForThem, Closed]
        );
    }

    #[test]
    fn names_lead_back() {
        for status in ConversationStatus::ALL {
            assert_eq!(ConversationStatus::from_name(status.as_str()), Some(status));
        }
        assert_eq!(ConversationStatus::from_name("lost"), None);
    }
}
