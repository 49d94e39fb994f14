//! Each rule is broken once, and told.

use std::collections::BTreeMap;

use super::*;
use crate::chaos::evidence::{LetterFacts, Stats};
use crate::chaos::traffic::{Job, LIMITED};

const SID: &str = "SM1";

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn published(number: u128, kind: Kind) -> Published {
    let (to, text) = (format!("+3361200000{number}"), format!("text {number}"));
    let job = Job {
        id: id(number),
        kind,
        routing_key: "send.normal",
        body: vec![],
        to,
        text,
        send_at: None,
        expires_at: None,
    };
    Published { job, is_confirmed: true }
}

fn job(status: &str, reason: &str, sids: &[&str]) -> JobFacts {
    let sids = sids.iter().map(|sid| (*sid).to_owned()).collect();
    JobFacts {
        status: status.to_owned(),
        reason: reason.to_owned(),
        failures: 0,
        countable: 0,
        sids,
        is_outlived: false,
    }
}

fn accepted(number: u128, sid: &str, at: Micros) -> Accepted {
    let text = format!(
        r#"{{"sid": "{sid}", "from": "{LIMITED}", "to": "+3361200000{number}", "body": "text {number}",
            "segments": 1, "arrived_at_us": {at}, "ordinal": 1}}"#
    );
    serde_json::from_str(&text).unwrap()
}

/// One message that was sent, one that is held, one that was no job: nothing to complain about.
fn fine() -> Evidence {
    let letter = |number, code: &str| LetterFacts { id: Some(id(number)), code: code.to_owned() };
    Evidence {
        published: vec![
            published(1, Kind::Good),
            published(2, Kind::Good),
            published(3, Kind::Bad("malformed_json")),
        ],
        jobs: BTreeMap::from([
            (id(1), job("sent", "accepted", &[SID])),
            (id(2), job("dead", "uncertain", &[])),
        ]),
        letters: vec![letter(2, "uncertain"), letter(3, "malformed_json")],
        accepted: vec![accepted(1, SID, 10 * SECOND)],
        stats: Stats { accepted: 1, ..Stats::default() },
        ..Evidence::default()
    }
}

/// The rules that complain once the evidence is changed so.
fn broken(change: impl FnOnce(&mut Evidence)) -> Vec<&'static str> {
    let mut evidence = fine();
    change(&mut evidence);
    let mut rules: Vec<_> = judge(&evidence).into_iter().map(|complaint| complaint.rule).collect();
    rules.dedup();
    rules
}

#[test]
fn what_is_as_it_must_be_draws_no_complaint() {
    assert_eq!(judge(&fine()), []);
}

#[test]
fn a_confirmed_job_that_is_nowhere_is_lost() {
    assert_eq!(broken(|evidence| evidence.published.push(published(4, Kind::Good))), ["lost"]);
    let unconfirmed = Published { is_confirmed: false, ..published(4, Kind::Good) };
    assert!(broken(|evidence| evidence.published.push(unconfirmed)).is_empty());
}

#[test]
fn a_job_that_is_still_on_its_way_is_unfinished() {
    let change = |evidence: &mut Evidence| {
        evidence.published.push(published(4, Kind::Good));
        evidence.jobs.insert(id(4), job("waiting", "throttled", &[]));
    };
    assert_eq!(broken(change), ["unfinished"]);
}

#[test]
fn a_second_message_of_a_job_and_a_strangers_are_doubled() {
    let twice = |evidence: &mut Evidence| {
        evidence.accepted.push(accepted(1, "SM2", 11 * SECOND));
        evidence.stats.accepted = 2;
    };
    assert_eq!(broken(twice), ["doubled"]);
    assert_eq!(broken(|evidence| evidence.stats.duplicates_by_message_id = 1), ["doubled"]);
    let stranger = |evidence: &mut Evidence| {
        evidence.accepted.push(accepted(9, "SM2", 11 * SECOND));
        evidence.stats.accepted = 2;
    };
    assert_eq!(broken(stranger), ["doubled"]);
    assert_eq!(broken(|evidence| evidence.stats.accepted = 7), ["doubled"], "the simulator forgot some");
}

#[test]
fn an_end_that_does_not_belong_to_the_kind_is_told() {
    let died = |reason: &'static str| {
        move |evidence: &mut Evidence| {
            evidence.jobs.insert(id(2), job("dead", reason, &[]));
            evidence.letters.push(LetterFacts { id: Some(id(2)), code: reason.to_owned() });
        }
    };
    assert_eq!(broken(died("retries_exhausted")), ["ends"]);
    let expired = |evidence: &mut Evidence| drop(evidence.jobs.insert(id(2), job("expired", "expired", &[])));
    assert_eq!(broken(expired), ["ends"], "it has no expires_at");
    let outlived = |evidence: &mut Evidence| {
        let given_up = JobFacts { is_outlived: true, ..job("expired", "expired", &[]) };
        evidence.jobs.insert(id(2), given_up);
        evidence.letters.retain(|letter| letter.id != Some(id(2)));
    };
    assert_eq!(broken(outlived), Vec::<&str>::new(), "its lane gave it up");
    let refused = |is_outlived: bool| {
        broken(move |evidence| {
            evidence.published.push(published(4, Kind::Refused));
            evidence.jobs.insert(id(4), JobFacts { is_outlived, ..job("expired", "expired", &[]) });
        })
    };
    assert_eq!(refused(true), Vec::<&str>::new(), "its lane gave it up before Twilio could refuse it");
    assert_eq!(refused(false), ["ends"]);
    let other_code = |evidence: &mut Evidence| evidence.letters[1].code = "unknown_field".to_owned();
    assert_eq!(broken(other_code), ["ends"]);
}

#[test]
fn a_record_that_denies_or_invents_a_message_is_told() {
    let denies = |evidence: &mut Evidence| {
        evidence.published[0].job.expires_at = Some(20 * SECOND);
        evidence.jobs.insert(id(1), job("expired", "expired", &[SID]));
    };
    assert_eq!(broken(denies), ["believed"]);
    let invents = |evidence: &mut Evidence| drop(evidence.jobs.insert(id(2), job("sent", "accepted", &[])));
    assert_eq!(broken(invents), ["believed"]);
    let misnames =
        |evidence: &mut Evidence| drop(evidence.jobs.insert(id(1), job("sent", "accepted", &["SM9"])));
    assert_eq!(broken(misnames), ["believed"]);
}

#[test]
fn a_dead_job_without_its_letter_and_an_unknown_code_are_told() {
    assert_eq!(broken(|evidence| drop(evidence.letters.remove(0))), ["reasons"]);
    let unknown = LetterFacts { id: None, code: "because".to_owned() };
    assert_eq!(broken(|evidence| evidence.letters.push(unknown)), ["reasons"]);
}

#[test]
fn a_message_before_its_time_or_after_it_is_told_unless_it_was_held_up() {
    let at = |send_at: Option<Micros>, expires_at: Option<Micros>| {
        move |evidence: &mut Evidence| {
            evidence.published[0].job.send_at = send_at;
            evidence.published[0].job.expires_at = expires_at;
        }
    };
    assert_eq!(broken(at(Some(11 * SECOND), None)), ["instants"]);
    assert_eq!(broken(at(None, Some(8 * SECOND))), ["instants"]);
    assert!(broken(at(Some(10 * SECOND), Some(10 * SECOND))).is_empty());
    let held_up = |evidence: &mut Evidence| {
        at(None, Some(8 * SECOND))(evidence);
        evidence.chronicle.held_up.push((7 * SECOND, 9 * SECOND));
    };
    assert!(broken(held_up).is_empty());
    // It arrives at 10 s: a second for the way, and as long as the machine stood still after the end.
    let stalled = |from: Micros, to: Micros| {
        move |evidence: &mut Evidence| {
            at(None, Some(8 * SECOND))(evidence);
            evidence.chronicle.stalls.push((from, to));
        }
    };
    assert!(broken(stalled(8 * SECOND, 9 * SECOND)).is_empty());
    assert_eq!(broken(stalled(8 * SECOND, 8 * SECOND + 900_000)), ["instants"]);
    assert_eq!(broken(stalled(5 * SECOND, 8 * SECOND)), ["instants"], "it stood still before the end");
}

#[test]
fn more_than_the_rate_within_a_second_is_told() {
    let flood = |evidence: &mut Evidence| {
        evidence.chronicle.rates.push((0, LIMITED.to_owned(), 2.0));
        for number in 4..9 {
            evidence.published.push(published(number, Kind::Good));
            let sid = format!("SM{number}");
            evidence.jobs.insert(id(number), job("sent", "accepted", &[&sid]));
            evidence.accepted.push(accepted(number, &sid, 10 * SECOND));
        }
        evidence.stats.accepted = 6;
    };
    assert_eq!(broken(flood), ["rates"]);
}

#[test]
fn a_wait_that_counted_as_a_failure_is_told() {
    let counted = |evidence: &mut Evidence| {
        let failed = JobFacts { failures: 1, ..job("sent", "accepted", &[SID]) };
        evidence.jobs.insert(id(1), failed);
    };
    assert_eq!(broken(counted), ["failures"]);
}

#[test]
fn what_is_left_over_is_told() {
    assert_eq!(broken(|evidence| evidence.unpublished = 1), ["leftovers"]);
    let left = |queue: &'static str, id: Option<Uuid>| {
        broken(move |evidence| evidence.queues.extend([(queue.to_owned(), vec![id])]))
    };
    assert_eq!(left("jobs.bulk", None), ["leftovers"], "nobody knows whose it is");
    assert_eq!(left("jobs.bulk", Some(id(9))), ["leftovers"], "no such job");
    assert_eq!(left("jobs.bulk", Some(id(3))), ["leftovers"], "a dead letter is no job");
    assert!(left("jobs.bulk", Some(id(1))).is_empty(), "its job has ended");
    assert_eq!(left("dead", Some(id(1))), ["leftovers"]);
    let open = |evidence: &mut Evidence| {
        evidence.jobs.insert(id(4), job("waiting", "throttled", &[]));
        evidence.queues.extend([("jobs.bulk".to_owned(), vec![Some(id(4))])]);
    };
    assert_eq!(broken(open), ["unfinished", "leftovers"]);
    assert_eq!(broken(|evidence| evidence.chronicle.misbehaved.push("it died".to_owned())), ["leftovers"]);
}

#[test]
fn what_is_neither_a_job_nor_a_dead_letter_is_in_somebodys_hands() {
    assert!(is_all_heard(&fine()));
    let unheard = |change: fn(&mut Evidence)| {
        let mut evidence = fine();
        change(&mut evidence);
        !is_all_heard(&evidence)
    };
    assert!(unheard(|evidence| evidence.published.push(published(4, Kind::Good))));
    assert!(unheard(|evidence| evidence.letters.retain(|letter| letter.id != Some(id(3)))));
    assert!(
        unheard(|evidence| evidence.published[0].job.kind = Kind::Conflict),
        "one of the two is still to be filed"
    );
}
