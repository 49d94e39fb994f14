//! Faults that were found, as the shortest lists that showed them.

use crate::jobs::Kind;
use crate::ops::Op;
use crate::run::play;
use crate::twilio::{Behaviour, PASSING_FAULT};

/// The faults did not depend on the seed.
fn holds(ops: &[Op]) {
    for seed in 0..20 {
        assert_eq!(play(seed, 2, ops).broken, [""; 0], "seed {seed}");
    }
}

/// The row of a scheduled job knew no sender, so the claim did not see that the recipient had opted out of it.
#[test]
fn a_scheduled_job_sees_an_opt_out_that_came_meanwhile() {
    holds(&[
        Op::Publish(Kind::Scheduled { in_s: 600 }),
        Op::Twilio(Behaviour::Refuse { code: 21_610, http_status: 400 }),
        Op::Publish(Kind::SameRecipient),
    ]);
}

/// The row of a scheduled job knew no text, so a later try sent what the template had become.
#[test]
fn a_scheduled_job_sends_the_same_at_each_try() {
    holds(&[
        Op::Twilio(Behaviour::Throttle { retry_after_s: Some(60) }),
        Op::Publish(Kind::Scheduled { in_s: 10 }),
        Op::Advance { ms: 20_000 },
        Op::EditTemplate,
    ]);
}

/// The claim tested the deadline, but its answer may come when the job is worth nothing any more.
#[test]
fn no_call_starts_after_the_deadline_when_the_claims_answer_is_late() {
    holds(&[Op::StallClaim { ms: 4_000 }, Op::Publish(Kind::Expiring { in_s: 3 })]);
}

/// The sweep had given the lease up, and the known outcome still counts: `dead` becomes `retrying`, which the
/// table of transitions did not know.
#[test]
fn a_late_record_of_a_passing_fault_wakes_the_job() {
    holds(&[
        Op::Twilio(Behaviour::Refuse { code: PASSING_FAULT, http_status: 503 }),
        Op::StallRecord { ms: 90_000 },
        Op::Publish(Kind::Plain),
    ]);
}

/// The same, with no time left for another try: `dead` becomes `expired`.
#[test]
fn a_late_record_of_a_job_that_is_too_old_expires_it() {
    holds(&[
        Op::Twilio(Behaviour::Throttle { retry_after_s: Some(3_600) }),
        Op::StallRecord { ms: 90_000 },
        Op::Publish(Kind::Expiring { in_s: 1_800 }),
    ]);
}
