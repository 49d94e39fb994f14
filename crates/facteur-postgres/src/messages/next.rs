//! What comes next for a message, and when.

use facteur_core::Timestamp;
use facteur_core::breaker::{Breaker, State};
use facteur_core::hold::{Fuse, Hold};
use facteur_core::job::Category;
use facteur_core::reason::ReasonCode;
use facteur_core::reconcile::{AGE_MAX_GRACES, EvidenceRules, Policy};
use facteur_core::status::Status;

use super::Story;
use crate::rate_line::{AHEAD_MAX, Standing};
use crate::reconciliations::SearchFacts;

fn advice(code: &str) -> Option<&'static str> {
    ReasonCode::from_name(code).map(ReasonCode::advice)
}

impl Story {
    /// What comes next, for a person.
    #[must_use]
    pub fn next(&self, rules: EvidenceRules) -> String {
        let job = self;
        let at = |instant: Option<Timestamp>| {
            instant.map_or_else(|| "soon".to_owned(), |at| format!("at {at:.0}"))
        };
        match job.status {
            Status::Scheduled => format!("it is released {}", at(job.not_before)),
            Status::Waiting if job.hold.is_some() => next_in_line(job),
            Status::Waiting | Status::Retrying => {
                format!("the next try comes {}, and none after {:.0}", at(job.not_before), job.deadline)
            }
            Status::Sending => {
                format!(
                    "a worker has it; if nothing is heard of that one, it is looked after {}",
                    at(job.due_at)
                )
            }
            Status::Uncertain => match &job.search {
                Some(search) => next_look(job, search, rules),
                None => "evidence is looked for".to_owned(),
            },
            Status::Sent => "nothing is left to do; a receipt of the carrier may follow".to_owned(),
            Status::Dead => {
                let remedy = advice(&job.reason).unwrap_or("Look at the dead letter.");
                let force = if job.reason == ReasonCode::Uncertain.as_str() { " --force" } else { "" };
                match (&job.message, ReasonCode::from_name(&job.reason)) {
                    (None, Some(code)) if !code.is_astray() => format!("a person must look. {remedy}"),
                    _ => format!("a person must look. {remedy} Then: facteur dead requeue {}{force}", job.id),
                }
            }
            Status::Delivered
            | Status::Read
            | Status::Undelivered
            | Status::Failed
            | Status::Expired
            | Status::Canceled
            | Status::Suppressed => "nothing: this is the end".to_owned(),
        }
    }
}

fn next_in_line(job: &Story) -> String {
    let what = match (&job.hold, &job.pause) {
        (Some(Hold::Pause(_)), Some(pause)) => {
            let until = pause.until.map_or_else(
                || "when it is resumed".to_owned(),
                |at| format!("at {at:.0}, or when it is resumed"),
            );
            let (actor, reason, since) = (&pause.actor, &pause.reason, pause.created_at);
            format!("it is paused since {since:.0} by {actor} ({reason}) and goes on {until}")
        }
        (Some(Hold::Pause(_)), None) => "the pause has ended, and it is let out now".to_owned(),
        (Some(Hold::Breaker(_)), _) => match &job.breaker {
            Some((fuse, breaker)) => behind(fuse, breaker),
            None => "it is about to be let out of its line".to_owned(),
        },
        (Some(Hold::Rate(_)), _) => {
            job.standing.as_ref().map_or_else(|| "its turn comes".to_owned(), in_line)
        }
        (Some(Hold::Budget(tenant)), _) => {
            format!(
                "the segments of {tenant} are spent for today; it goes on at midnight, or when the budget is raised"
            )
        }
        (None, _) => "its turn comes".to_owned(),
    };
    format!("{what}; not after {:.0}", job.deadline)
}

fn in_line(standing: &Standing) -> String {
    let Standing { line, ahead, per_second } = standing;
    let more = if *ahead >= AHEAD_MAX { "at least " } else { "" };
    let pace = per_second.map(|rate| format!(", about {:.0} s at {rate}/s", *ahead as f64 / rate));
    let pace = pace.unwrap_or_default();
    format!("it stands in the line {line} behind {more}{ahead} others of its lane{pace}")
}

/// What a job in a breaker's line waits for.
fn behind(fuse: &Fuse, breaker: &Breaker) -> String {
    let (scope, key) = (fuse.scope(), fuse.key());
    let then = "it goes on by itself when Twilio takes messages again";
    match breaker.state {
        State::Closed => {
            format!("the breaker of the {scope} {key} has closed: it is about to be let out of its line")
        }
        State::Open => format!(
            "it waits behind the breaker of the {scope} {key}, open since {:.0} ({}); the next probe is at {:.0}; {then}",
            breaker.opened_at, breaker.sentence, breaker.retry_at
        ),
        State::HalfOpen => format!(
            "it waits behind the breaker of the {scope} {key}, open since {:.0} ({}); trials are under way; {then}",
            breaker.opened_at, breaker.sentence
        ),
    }
}

/// What comes next for a message that is uncertain.
fn next_look(job: &Story, search: &SearchFacts, rules: EvidenceRules) -> String {
    let look = search.next_look_at.map_or_else(|| "soon".to_owned(), |at| format!("at {at:.0}"));
    let grace_s = rules.grace.as_secs();
    let category = job.message.as_ref().and_then(|message| Category::from_name(&message.category));
    let end = match rules.policies.of(category.unwrap_or_default()) {
        Policy::Hold => "it becomes a dead letter for a person to look at".to_owned(),
        Policy::Resend => format!("it is sent again, but not after {:.0}", job.deadline),
    };
    format!(
        "the next look is {look}. If it is found, it counts as sent; if, after {grace_s} s of search, the evidence \
         says that Twilio did not take it, it is sent again; if nobody knows by then, or {} s after it became \
         uncertain, {end} (worker.uncertain_policy)",
        grace_s.saturating_mul(AGE_MAX_GRACES.into())
    )
}
