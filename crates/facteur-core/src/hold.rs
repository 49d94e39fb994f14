//! What keeps a job back although it may leave: the rate of its sender, a breaker, a pause that a person made, or a
//! budget that is spent.
//! Jobs that are kept back stand in a line, by the key of what they wait for.

use std::fmt;

use uuid::Uuid;

use crate::ids::Tenant;
use crate::lane::Lane;
use crate::reason::{Reason, ReasonCode};
use crate::sender::Sender;

/// What a job in a line waits for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hold {
    /// A slot of this sender.
    Rate(Sender),
    /// A breaker that is open.
    Breaker(Fuse),
    /// The end of a pause.
    Pause(Scope),
    /// Segments of a tenant: the next day's, or a larger budget.
    Budget(Tenant),
}

/// What a breaker protects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fuse {
    /// One account at Twilio, by its SID.
    Integration(String),
    /// One sender.
    Sender(Sender),
}

/// What can be paused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// A whole lane.
    Lane(Lane),
    /// Everything of a tenant.
    Tenant(Tenant),
    /// Everything from a sender.
    Sender(Sender),
    /// Everything over an account at Twilio, by its SID, or over an integration, by its id.
    Integration(String),
    /// One bulk.
    Bulk(Uuid),
}

impl Fuse {
    /// The name of its kind, as stored.
    #[must_use]
    pub fn scope(&self) -> &'static str {
        match self {
            Self::Integration(_) => "integration",
            Self::Sender(_) => "sender",
        }
    }

    /// Which one.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Integration(account) => account,
            Self::Sender(sender) => sender.as_str(),
        }
    }

    /// The fuse of that kind and key.
    #[must_use]
    pub fn parse(scope: &str, key: &str) -> Option<Self> {
        match scope {
            "integration" => Some(Self::Integration(key.to_owned())),
            "sender" => Sender::parse(key).ok().map(Self::Sender),
            _ => None,
        }
    }
}

impl Scope {
    /// The name of its kind, as stored and typed.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Lane(_) => "lane",
            Self::Tenant(_) => "tenant",
            Self::Sender(_) => "sender",
            Self::Integration(_) => "integration",
            Self::Bulk(_) => "bulk",
        }
    }

    /// Which one.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::Lane(lane) => lane.as_str().to_owned(),
            Self::Tenant(tenant) => tenant.as_str().to_owned(),
            Self::Sender(sender) => sender.as_str().to_owned(),
            Self::Integration(account) => account.clone(),
            Self::Bulk(id) => id.to_string(),
        }
    }

    /// The scope of that kind and key.
    #[must_use]
    pub fn parse(kind: &str, key: &str) -> Option<Self> {
        match kind {
            "lane" => Lane::from_name(key).map(Self::Lane),
            "tenant" => Tenant::parse(key).ok().map(Self::Tenant),
            "sender" => Sender::parse(key).ok().map(Self::Sender),
            "integration" => Some(Self::Integration(key.to_owned())),
            "bulk" => key.parse().ok().map(Self::Bulk),
            _ => None,
        }
    }
}

impl Hold {
    /// The line of what is behind that key; `None` for one that a newer release invented.
    #[must_use]
    pub fn parse(key: &str) -> Option<Self> {
        let (kind, rest) = key.split_once(':')?;
        if kind == "rate" {
            return Sender::parse(rest).ok().map(Self::Rate);
        }
        if kind == "budget" {
            return Tenant::parse(rest).ok().map(Self::Budget);
        }
        let (scope, key) = rest.split_once(':')?;
        match kind {
            "breaker" => Fuse::parse(scope, key).map(Self::Breaker),
            "pause" => Scope::parse(scope, key).map(Self::Pause),
            _ => None,
        }
    }

    /// Why a job stands in this line.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Rate(_) => Reason::new(ReasonCode::RateLimit, "waits for the sender's rate"),
            Self::Breaker(Fuse::Integration(_)) => Reason::new(
                ReasonCode::BreakerOpen,
                "Twilio fails at the moment; goes on when it answers again",
            ),
            Self::Breaker(Fuse::Sender(sender)) => Reason::new(
                ReasonCode::BreakerOpen,
                format!("Twilio refuses or throttles the sender {sender}"),
            ),
            Self::Pause(scope) => {
                Reason::new(ReasonCode::Paused, format!("the {} {} is paused", scope.kind(), scope.key()))
            }
            Self::Budget(tenant) => Reason::new(
                ReasonCode::BudgetExceeded,
                format!("the segments of {tenant} are spent for today"),
            ),
        }
    }
}

/// The key of the line, as stored in `jobs.waits_for`.
impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate(sender) => write!(f, "rate:{sender}"),
            Self::Breaker(fuse) => write!(f, "breaker:{}:{}", fuse.scope(), fuse.key()),
            Self::Pause(scope) => write!(f, "pause:{}:{}", scope.kind(), scope.key()),
            Self::Budget(tenant) => write!(f, "budget:{tenant}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_found_again_by_its_key() {
        let sender = || Sender::parse("whatsapp:+33612345678").unwrap();
        let holds = [
            Hold::Rate(sender()),
            Hold::Breaker(Fuse::Integration("AC1".to_owned())),
            Hold::Breaker(Fuse::Sender(sender())),
            Hold::Pause(Scope::Lane(Lane::Bulk)),
            Hold::Pause(Scope::Tenant(Tenant::parse("acme").unwrap())),
            Hold::Pause(Scope::Sender(sender())),
            Hold::Pause(Scope::Integration("AC1".to_owned())),
            Hold::Pause(Scope::Bulk(Uuid::from_u128(7))),
            Hold::Budget(Tenant::parse("acme").unwrap()),
        ];
        for hold in holds {
            assert_eq!(Hold::parse(&hold.to_string()), Some(hold.clone()), "{hold}");
        }
        for unknown in ["", "rate", "rate:", "pause:lane:slow", "breaker:lane:bulk", "moon:full:x"] {
            assert_eq!(Hold::parse(unknown), None, "{unknown}");
        }
    }
}
