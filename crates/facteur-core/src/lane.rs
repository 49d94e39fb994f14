//! Lanes: who goes first.

use serde::{Deserialize, Serialize};

use crate::job::Category;
use crate::limits::BULK_LANE_RECIPIENTS_MIN;

/// A lane has its own queue, prefetch and permits, so that a full one never stands before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// One-time passwords and whatever a person waits for.
    Urgent,
    /// Everything else that is not a campaign.
    Normal,
    /// Campaigns.
    Bulk,
}

impl Lane {
    /// Every lane, the most urgent first.
    pub const ALL: [Self; 3] = [Self::Urgent, Self::Normal, Self::Bulk];

    /// The lane's name, as in routing keys, queues and labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Urgent => "urgent",
            Self::Normal => "normal",
            Self::Bulk => "bulk",
        }
    }

    /// The lane of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| lane.as_str() == name)
    }

    /// The routing key on the exchange of jobs: `send.<lane>`.
    #[must_use]
    pub fn routing_key(self) -> &'static str {
        match self {
            Self::Urgent => "send.urgent",
            Self::Normal => "send.normal",
            Self::Bulk => "send.bulk",
        }
    }

    /// The lane that a routing key ends in, also when the ladder's bits stand before it.
    #[must_use]
    pub fn from_routing_key(key: &str) -> Option<Self> {
        let (rest, name) = key.rsplit_once('.')?;
        (rest == "send" || rest.ends_with(".send")).then_some(())?;
        Self::from_name(name)
    }
}

/// Chooses the lane: what the producer asked for, unless the job is one of many (a bulk never travels before
/// single messages) or marketing asks to be urgent.
#[must_use]
pub fn choose(asked: Option<Lane>, category: Category, recipients_in_bulk: Option<u64>) -> Lane {
    let wanted = asked.unwrap_or(match category {
        Category::Otp => Lane::Urgent,
        Category::Transactional => Lane::Normal,
        Category::Marketing => Lane::Bulk,
    });
    let is_large = recipients_in_bulk.is_some_and(|count| count >= BULK_LANE_RECIPIENTS_MIN);
    match (wanted, category) {
        _ if is_large => Lane::Bulk,
        (Lane::Urgent, Category::Marketing) => Lane::Bulk,
        (lane, _) => lane,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lane_follows_the_table() {
        use Category::{Marketing, Otp, Transactional};
        let rows = [
            (None, Otp, None, Lane::Urgent),
            (None, Transactional, None, Lane::Normal),
            (None, Marketing, None, Lane::Bulk),
            (Some(Lane::Bulk), Otp, None, Lane::Bulk),
            (Some(Lane::Urgent), Transactional, None, Lane::Urgent),
            (Some(Lane::Urgent), Marketing, None, Lane::Bulk),
            (Some(Lane::Urgent), Otp, Some(1_000), Lane::Bulk),
            (Some(Lane::Normal), Marketing, Some(2), Lane::Normal),
        ];
        for (asked, category, size, expected) in rows {
            assert_eq!(choose(asked, category, size), expected, "{asked:?} {category:?} {size:?}");
        }
    }

    #[test]
    fn the_lane_is_read_from_the_end_of_a_key() {
        assert_eq!(Lane::from_routing_key("send.urgent"), Some(Lane::Urgent));
        assert_eq!(Lane::from_routing_key("0.0.1.0.0.0.0.0.1.1.send.bulk"), Some(Lane::Bulk));
        assert_eq!(Lane::from_routing_key("resend.bulk"), None);
        assert_eq!(Lane::from_routing_key("send.slow"), None);
        assert_eq!(Lane::from_routing_key("urgent"), None);
    }
}
