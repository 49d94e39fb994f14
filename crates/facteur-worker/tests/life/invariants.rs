//! What must hold at the end of every run, whatever happened in it.

use std::collections::BTreeSet;
use std::time::Duration;

use facteur_core::gcra::burst;
use facteur_core::ids::JobId;
use facteur_core::job::Job;
use facteur_core::ledger::Record;
use facteur_core::limits::CALL_START_DELAY_MAX;
use facteur_core::reason::ReasonCode;
use facteur_core::schedule::RetrySchedule;
use facteur_core::status::Status;

use crate::jobs::Published;
use crate::ledger::Row;
use crate::limiter::{self, LIMITED_SENDER};
use crate::twilio::Seen;
use crate::world::World;

/// Every rule that does not hold, with the case. Acknowledgements were judged when they came.
pub(crate) fn broken(world: &World) -> Vec<String> {
    let mut broken = world.broken.clone();
    for published in &world.published {
        nothing_is_lost(world, published, &mut broken);
        if let Ok(job) = &published.meaning {
            no_call_is_early_or_late(world, job, &mut broken);
        }
    }
    for (id, row) in &world.ledger.rows {
        every_row_is_at_rest(world, *id, row, &mut broken);
        nothing_is_doubled(world, *id, row, &mut broken);
        attempts_are_counted(world, *id, row, &mut broken);
        dead_letters_say_why(world, *id, row, &mut broken);
        the_same_is_sent_at_each_try(world, *id, &mut broken);
    }
    states_follow_the_table(world, &mut broken);
    calls_start_soon_after_their_claim(world, &mut broken);
    nobody_is_called_after_opting_out(world, &mut broken);
    the_rate_is_kept(world, &mut broken);
    broken
}

/// Each envelope's job is in one final state, or its bytes stand in the dead-letter queue.
fn nothing_is_lost(world: &World, published: &Published, broken: &mut Vec<String>) {
    let burials = world.broker.burials(&published.content);
    match &published.meaning {
        Ok(job) => {
            let row = world.ledger.rows.get(&job.id);
            let is_over =
                row.is_some_and(|row| row.job.fingerprint == job.fingerprint() && row.status.is_final());
            if !is_over && burials.is_empty() {
                broken.push(format!("{} is lost: {row:?}", job.id));
            }
        }
        Err(code) if burials == BTreeSet::from([*code]) => {}
        Err(code) => broken.push(format!("what can't be read for {code} was buried for {burials:?}")),
    }
}

/// Not before `send_at`, and not after `expires_at` or the lane's age limit.
fn no_call_is_early_or_late(world: &World, job: &Job, broken: &mut Vec<String>) {
    // Calls under the same id may be another job's.
    let Some(row) = world.ledger.rows.get(&job.id).filter(|row| row.job.fingerprint == job.fingerprint())
    else {
        return;
    };
    for seen in world.twilio.calls_of(job.id) {
        if job.send_at.is_some_and(|at| seen.at < at) {
            broken.push(format!("{} was called before its send_at", job.id));
        }
        let deadline = job.expires_at.map_or(row.job.deadline, |at| at.min(row.job.deadline));
        if seen.at >= deadline {
            broken.push(format!("{} was called at {}, after its deadline {deadline}", job.id, seen.at));
        }
    }
}

fn every_row_is_at_rest(world: &World, id: JobId, row: &Row, broken: &mut Vec<String>) {
    let is_searched = world.ledger.searches.get(&id).is_some_and(|search| search.next_at.is_some());
    if !row.status.is_final() || row.due_at.is_some() || is_searched {
        broken.push(format!("{id} is not at rest: {} until {:?}", row.status, row.due_at));
    }
}

/// Twilio takes a job at most once, unless the policy was to send again, and what it took ends as `sent`, or as a dead
/// letter that says that nobody knows. Not knowing has a cause, and only evidence or the policy ends it by another call.
fn nothing_is_doubled(world: &World, id: JobId, row: &Row, broken: &mut Vec<String>) {
    let calls = || world.twilio.calls_of(id);
    let taken = calls().filter(|seen| seen.is_taken()).count();
    let ended = |attempt: i32, verdict: &str| {
        world.ledger.ended.iter().any(|end| (end.job, end.attempt, end.verdict) == (id, attempt, verdict))
    };
    let was_resent = calls().any(|seen| ended(seen.attempt, "resent"));
    if taken > 1 && !was_resent {
        broken.push(format!("{id} was taken {taken} times"));
    }
    let is_uncertain = row.status == Status::Dead && row.reason == Some(ReasonCode::Uncertain);
    let is_told = match row.status {
        Status::Sent => taken >= 1,
        _ => taken == 0 || is_uncertain || was_resent,
    };
    if !is_told {
        broken.push(format!("{id} was taken {taken} times, but it is {} ({:?})", row.status, row.reason));
    }
    if is_uncertain && !world.cut_off.contains(&id) && !calls().any(Seen::is_uncertain) {
        broken.push(format!("{id} is uncertain for no reason"));
    }
    let calls: Vec<&Seen> = calls().collect();
    let earlier = &calls[..calls.len().saturating_sub(1)];
    for seen in earlier.iter().filter(|seen| seen.is_uncertain() && !ended(seen.attempt, "resent")) {
        if !ended(seen.attempt, "not_taken") {
            broken.push(format!("{id} was called again after an uncertain call, for no evidence"));
        } else if seen.is_taken() {
            broken.push(format!("{id} was called again although it had been taken"));
        }
    }
}

/// Numbers rise, one envelope's turn makes one call, and only failures are counted.
fn attempts_are_counted(world: &World, id: JobId, row: &Row, broken: &mut Vec<String>) {
    let calls: Vec<&Seen> = world.twilio.calls_of(id).collect();
    if !calls.is_sorted_by(|a, b| a.attempt < b.attempt) {
        broken.push(format!("{id}: the numbers of its attempts do not rise"));
    }
    let turns: BTreeSet<_> = calls
        .iter()
        .filter_map(|seen| world.grants.get(&(id, seen.attempt)))
        .map(|g| g.envelope_turn)
        .collect();
    if turns.len() != calls.len() {
        broken.push(format!("{id}: {} calls were made for {} turns", calls.len(), turns.len()));
    }
    let failures_max = RetrySchedule::of(row.job.lane).failures_max as usize;
    let failed = calls.iter().fold(0, |failed, seen| failed + usize::from(seen.is_failure(failed)));
    // An uncertain call that is followed by another one by policy counts too.
    let lost = || world.ledger.ended.iter().filter(|end| end.job == id && end.verdict == "resent");
    let tried_again = lost().filter(|end| end.status == Status::Retrying).count();
    let failed = failed + lost().count();
    if failed > failures_max {
        broken.push(format!("{id} failed {failed} times; at most {failures_max} are allowed"));
    }
    let is_counted = |record: &&Record| record.next.wait.is_some_and(|wait| wait.is_counted);
    let counted = world.ledger.attempts.range((id, 0)..=(id, i32::MAX)).map(|(_, record)| record);
    let counted = counted.filter(is_counted).count() + tried_again;
    if row.failures as usize > failed || row.failures as usize != counted {
        broken.push(format!("{id} has {} failures, of {failed} that happened", row.failures));
    }
    if row.reason == Some(ReasonCode::RetriesExhausted) && failed != failures_max {
        broken.push(format!("{id} gave up after {failed} failures"));
    }
}

/// A dead job has an open dead letter with its reason and its bytes; nobody else has one.
fn dead_letters_say_why(world: &World, id: JobId, row: &Row, broken: &mut Vec<String>) {
    match (row.status, world.ledger.dead_letters.get(&id)) {
        (Status::Dead, Some(letter))
            if Some(letter.reason.code) == row.reason
                && !letter.reason.sentence.is_empty()
                && letter.body == row.job.document => {}
        (Status::Dead, letter) => broken.push(format!("{id} is dead for {:?}: {letter:?}", row.reason)),
        (_, Some(_)) => broken.push(format!("{id} is {} and has a dead letter", row.status)),
        (_, None) => {}
    }
}

/// What was stored at the first claim is what is sent, whatever becomes of the template.
fn the_same_is_sent_at_each_try(world: &World, id: JobId, broken: &mut Vec<String>) {
    let mut calls =
        world.twilio.calls_of(id).map(|seen| (&seen.call.to, &seen.call.from, &seen.call.content));
    let first = calls.next();
    if calls.any(|call| Some(call) != first) {
        broken.push(format!("{id}: another message was sent at a later try"));
    }
}

fn states_follow_the_table(world: &World, broken: &mut Vec<String>) {
    for (id, from, to) in &world.ledger.moves {
        if from.is_some_and(|from| !from.may_become(*to)) {
            broken.push(format!("{id} went from {from:?} to {to:?}"));
        }
    }
}

fn calls_start_soon_after_their_claim(world: &World, broken: &mut Vec<String>) {
    for (id, delay) in world.call_delays.iter().filter(|(_, delay)| *delay > CALL_START_DELAY_MAX) {
        broken.push(format!("{id} was called {delay:?} after its claim was asked for"));
    }
}

/// Once an opt-out is recorded, no claim is granted; a call of an earlier claim may still start.
fn nobody_is_called_after_opting_out(world: &World, broken: &mut Vec<String>) {
    for (job, number, at) in &world.ledger.opt_outs {
        let Some(call) = world.twilio.calls_of(*job).find(|seen| seen.attempt == number.0) else { continue };
        let is_same = |other: &&Seen| (&other.call.to, &other.call.from) == (&call.call.to, &call.call.from);
        let until = at.checked_add(CALL_START_DELAY_MAX).unwrap_or(*at);
        for late in world.twilio.seen.iter().filter(is_same).filter(|other| other.at > until) {
            broken.push(format!("{} went to a recipient who had opted out", late.job));
        }
    }
}

/// In any second at most rate and burst.
fn the_rate_is_kept(world: &World, broken: &mut Vec<String>) {
    let limited = world.twilio.seen.iter().filter(|seen| seen.call.from.as_str() == LIMITED_SENDER);
    let sent: Vec<_> = limited.map(|seen| (seen.at, cost(world, seen))).collect();
    let largest = sent.iter().map(|(_, segments)| *segments).max().unwrap_or_default();
    let rate = limiter::rate();
    let allowed = rate.as_per_second().ceil() + burst(rate, largest);
    for (from, _) in &sent {
        let until = from.checked_add(Duration::from_secs(1)).unwrap_or(*from);
        let window = sent.iter().filter(|(at, _)| at >= from && *at < until);
        let segments: u32 = window.map(|(_, segments)| segments).sum();
        if f64::from(segments) > allowed {
            broken.push(format!("{segments} segments left in the second from {from}"));
        }
    }
}

fn cost(world: &World, seen: &Seen) -> u32 {
    world.ledger.rows.get(&seen.job).map_or(1, |row| row.job.segments)
}
