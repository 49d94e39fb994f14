//! The jobs: what is published is a pure function of the seed and of the moment at which the run began.

use serde_json::{Value, json};
use uuid::{Builder, Uuid};

use crate::clock::{self, Micros, SECOND};
use crate::dice::Dice;

/// A sender with a rate.
pub(super) const LIMITED: &str = "+33755500001";
/// Another one.
pub(super) const LIMITED_TOO: &str = "+33755500002";
/// Their rates at the start, in segments a second.
pub(super) const RATES: [(&str, f64); 2] = [(LIMITED, 30.0), (LIMITED_TOO, 15.0)];
/// Opted out at Twilio, which refuses it.
pub(super) const OPTED_OUT: &str = "+33755500021";
/// Refused by Twilio: no such number.
const NO_SUCH_NUMBER: &str = "+15005550001";
/// The most segments of a message.
pub(super) const SEGMENTS_MAX: u32 = 2;

/// What must become of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// It is sent, unless it expires first.
    Good,
    /// Twilio refuses it: `failed`, or suppressed before a call.
    Refused,
    /// It is no job: a dead letter with this code.
    Bad(&'static str),
    /// Its id is another job's: one of the two is a dead letter `id_conflict`.
    Conflict,
}

/// A job that is published.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Job {
    /// Its id.
    pub(super) id: Uuid,
    /// What must become of it.
    pub(super) kind: Kind,
    /// The routing key.
    pub(super) routing_key: &'static str,
    /// The envelope's body.
    pub(super) body: Vec<u8>,
    /// The recipient, as Twilio spells it.
    pub(super) to: String,
    /// The text, unlike any other.
    pub(super) text: String,
    /// Not before this instant.
    pub(super) send_at: Option<Micros>,
    /// Not after this instant.
    pub(super) expires_at: Option<Micros>,
}

/// Which stream of jobs: the steady one, or the burst of a step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stream<'a> {
    /// The plan's seed.
    pub(super) seed: u64,
    /// 0 for the steady stream; for a burst the number of its step and 1.
    pub(super) number: u64,
    /// Whom all of them are from; unset: from several.
    pub(super) sender: Option<&'a str>,
}

/// The jobs that stand at one place of a stream: one, or one with its copies. `now` is when they are published.
#[must_use]
pub(super) fn jobs(stream: Stream<'_>, index: u64, now: Micros) -> Vec<Job> {
    let mut dice = Dice::new(stream.seed, (stream.number << 32) + index + 2);
    let job = good(&mut dice, stream, index, now);
    match dice.between(0, 99) {
        // The same job, published again by a producer that is not sure.
        0..6 => vec![job.clone(), job],
        6 => {
            let text = format!("{} (not the same)", job.text);
            let body = json!({"to": job.to, "body": text}).to_string().into_bytes();
            let other =
                Job { kind: Kind::Conflict, body, text, send_at: None, expires_at: None, ..job.clone() };
            vec![Job { kind: Kind::Conflict, ..job }, other]
        }
        7 => vec![bad(&mut dice, job)],
        8 => {
            let to = dice.pick(&[NO_SUCH_NUMBER, OPTED_OUT], OPTED_OUT).to_owned();
            let body = json!({"to": to, "body": job.text}).to_string().into_bytes();
            vec![Job { kind: Kind::Refused, to, body, expires_at: None, send_at: None, ..job }]
        }
        _ => vec![job],
    }
}

fn good(dice: &mut Dice, stream: Stream<'_>, index: u64, now: Micros) -> Job {
    let id = Builder::from_random_bytes(
        u128::from(dice.draw()).wrapping_shl(64).wrapping_add(u128::from(dice.draw())).to_be_bytes(),
    );
    let (number, seed) = (stream.number, stream.seed);
    let mut text = format!("Chaos {seed}-{number}-{index}");
    if dice.between(0, 9) == 0 {
        // More than 160 characters: two segments.
        text.push_str(&" and on".repeat(25));
    }
    let to = format!("+336{:08}", (number * 1_000_000 + index) % 100_000_000);
    let (sender, (routing_key, category)) = match stream.sender {
        Some(sender) => (Some(sender), ("send.bulk", "marketing")),
        None => (
            dice.pick(&[None, None, Some(LIMITED), Some(LIMITED_TOO)], None),
            dice.pick(
                &[("send.urgent", "otp"), ("send.normal", "transactional"), ("send.bulk", "marketing")],
                ("send.normal", "transactional"),
            ),
        ),
    };
    let tenant = dice.pick(&["default", "alpha", "beta"], "default");
    let mut body = json!({"to": to, "body": text, "tenant": tenant, "category": category});
    let mut set = |name: &str, value: Value| {
        if let Some(object) = body.as_object_mut() {
            object.insert(name.to_owned(), value);
        }
    };
    if let Some(sender) = sender {
        set("from", json!(sender));
    }
    let (mut send_at, mut expires_at) = (None, None);
    match dice.between(0, 19) {
        0..3 => {
            let at = now + i64::try_from(dice.between(1, 15)).unwrap_or(1) * SECOND;
            set("expires_at", json!(clock::written(at)));
            expires_at = Some(at);
        }
        3..5 => {
            let at = now + i64::try_from(dice.between(1, 12)).unwrap_or(1) * SECOND;
            set("send_at", json!(clock::written(at)));
            send_at = Some(at);
        }
        _ => {}
    }
    let body = body.to_string().into_bytes();
    Job { id: id.into_uuid(), kind: Kind::Good, routing_key, body, to, text, send_at, expires_at }
}

/// What producers get wrong.
fn bad(dice: &mut Dice, job: Job) -> Job {
    let Job { to, text, .. } = &job;
    let (code, routing_key, body) = match dice.between(0, 4) {
        0 => ("malformed_json", job.routing_key, "{\"to\": \"+336".to_owned()),
        1 => ("unknown_field", job.routing_key, json!({"to": to, "body": text, "txt": 1}).to_string()),
        2 => ("recipient_missing", job.routing_key, json!({"body": text}).to_string()),
        3 => ("content_missing", job.routing_key, json!({"to": to}).to_string()),
        _ => ("unroutable", "send.nowhere", json!({"to": to, "body": text}).to_string()),
    };
    let body = body.into_bytes();
    Job { kind: Kind::Bad(code), routing_key, body, send_at: None, expires_at: None, ..job }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn all(seed: u64) -> Vec<Job> {
        let steady = (0..2_000).flat_map(|index| jobs(Stream { seed, number: 0, sender: None }, index, 0));
        let burst =
            (0..200).flat_map(|index| jobs(Stream { seed, number: 3, sender: Some(LIMITED) }, index, 0));
        steady.chain(burst).collect()
    }

    #[test]
    fn the_same_seed_makes_the_same_jobs() {
        assert_eq!(all(1), all(1));
        assert_ne!(all(1), all(2));
    }

    #[test]
    fn no_two_jobs_have_a_text_or_an_id_in_common_but_the_copies() {
        let jobs = all(7);
        let ids: BTreeSet<_> = jobs.iter().map(|job| job.id).collect();
        let texts: BTreeSet<_> = jobs.iter().map(|job| &job.text).collect();
        assert!(ids.len() < jobs.len() && ids.len() >= 2_200);
        // A conflict has two texts for one id.
        let conflicts = jobs.iter().filter(|job| job.kind == Kind::Conflict).count() / 2;
        assert_eq!(texts.len(), ids.len() + conflicts);
    }

    #[test]
    fn every_kind_is_among_them() {
        let kinds: BTreeSet<_> = all(3).into_iter().map(|job| job.kind).collect();
        assert_eq!(kinds.len(), 3 + 5, "{kinds:?}");
    }
}
