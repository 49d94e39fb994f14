//! The search for evidence about an uncertain attempt, as its message's story tells it.

use facteur_core::Timestamp;
use facteur_core::reconcile::Window;
use facteur_postgres::reconciliations::SearchFacts;
use serde::Serialize;

/// The search, as it is printed.
#[derive(Serialize)]
pub(super) struct ToldSearch {
    attempt: i32,
    /// Since when nobody knows.
    uncertain_since: Timestamp,
    /// Messages that Twilio created then are looked at.
    looked_for_from: Timestamp,
    looked_for_to: Timestamp,
    looks: i32,
    last_look_at: Option<Timestamp>,
    next_look_at: Option<Timestamp>,
    /// How long the list was readable and callbacks arrived, in seconds.
    searched_s: u64,
    finding: String,
    later_message_listed: bool,
    later_message_called_back: bool,
    verdict: Option<String>,
    ended_at: Option<Timestamp>,
}

impl ToldSearch {
    pub(super) fn of(facts: SearchFacts) -> Self {
        let Window { started_at, ended_at } = facts.window;
        Self {
            attempt: facts.attempt,
            uncertain_since: facts.since,
            looked_for_from: started_at,
            looked_for_to: ended_at,
            looks: facts.looks,
            last_look_at: facts.looked_at,
            next_look_at: facts.next_look_at,
            searched_s: facts.searched.as_secs(),
            finding: facts.finding,
            later_message_listed: facts.is_later_listed,
            later_message_called_back: facts.is_later_called_back,
            verdict: facts.verdict,
            ended_at: facts.ended_at,
        }
    }

    pub(super) fn as_text(&self) -> String {
        let Self {
            attempt, uncertain_since, looked_for_from, looked_for_to, looks, searched_s, finding, ..
        } = self;
        let yes_or_no = |is| if is { "yes" } else { "no" };
        let mut lines = vec![
            format!(
                "attempt {attempt} was uncertain from {uncertain_since:.0} on: nobody knew whether Twilio took it"
            ),
            "  looked for: a message to this recipient with this text, created while the call was under way"
                .to_owned(),
            format!("    ({looked_for_from:.0} to {looked_for_to:.0})"),
            format!(
                "  looks: {looks}, through {searched_s} s in which the list was readable and callbacks came in"
            ),
            format!("  found: {finding}"),
            format!(
                "  evidence against: a later message of ours in the list: {}; a callback of a later one: {}",
                yes_or_no(self.later_message_listed),
                yes_or_no(self.later_message_called_back)
            ),
        ];
        if let (Some(verdict), Some(at)) = (&self.verdict, self.ended_at) {
            lines.push(format!("  the search ended {at:.0}: {}", in_words(verdict)));
        }
        lines.join("\n")
    }
}

/// A stored verdict, for a person; one of a newer release as it is.
fn in_words(verdict: &str) -> &str {
    match verdict {
        "found" => "Twilio has it",
        "not_taken" => "Twilio did not take it",
        "resent" => "nobody knows, and it was sent again by policy",
        "held" => "nobody knows, and it was held for a person",
        "overtaken" => "a callback or a late record gave the answer",
        newer => newer,
    }
}
