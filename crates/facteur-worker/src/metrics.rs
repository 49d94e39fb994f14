//! Every metric of the worker: its name, its help and its labels. Each series exists from the start, at zero,
//! and no label is ever a number, an id or a SID. `docs/metrics.md` lists them; a test compares.

use std::time::Duration;

use facteur_core::Timestamp;
use facteur_core::breaker::Cause;
use facteur_core::decide::Decision;
use facteur_core::hold::Fuse;
use facteur_core::lane::Lane;
use facteur_core::outcome::Outcome;
use facteur_core::reason::ReasonCode;
use facteur_core::reconcile::Verdict;
use facteur_postgres::Swept;
use facteur_postgres::lines::LineKind;
use facteur_postgres::pauses::Pause;
use jiff::SignedDuration;
use metrics::{counter, gauge, histogram};

use crate::process::End;

facteur_core::metrics_table! {
    ENVELOPES = "facteur_envelopes_total", Counter, ["lane", "end"], "Envelopes answered, by how this delivery ended: final, waits, not_ours (a copy or stale) or buried.";
    ATTEMPTS = "facteur_attempts_total", Counter, ["lane", "outcome"], "HTTP calls that left for Twilio, by what they told.";
    DECISIONS = "facteur_decisions_total", Counter, ["lane", "decision"], "Decisions after a call: finish, retry (counted), park (not counted), reconcile (uncertain) or bury.";
    PARKS = "facteur_parks_total", Counter, ["reason"], "Waits that count as nobody's failure, by reason.";
    PULLED = "facteur_pulled_total", Counter, ["lane"], "Jobs that the limiter took out of the lines of their senders.";
    DEAD_LETTERS = "facteur_dead_letters_total", Counter, ["reason"], "Jobs and envelopes that were stopped for a person to look at, by reason.";
    FILED = "facteur_dead_envelopes_filed_total", Counter, ["reason"], "Envelopes of the dead-letter queue that the keeper filed, by reason.";
    DOUBLED = "facteur_doubled_total", Counter, [], "Jobs of which two attempts have a SID: the recipient may have two texts. Always 0, or somebody must know why.";
    WOKEN = "facteur_woken_total", Counter, [], "Wake-ups published by the sweep: releases from the waiting room, due schedules, lost envelopes.";
    EXPIRED = "facteur_expired_waiting_total", Counter, [], "Jobs that expired while they waited.";
    LEASES_LOST = "facteur_leases_lost_total", Counter, [], "Claims whose worker did not come back: each is uncertain, and evidence is searched for.";
    UNCERTAIN = "facteur_uncertain", Gauge, [], "Messages of which nobody knows whether Twilio took them, while evidence is searched for.";
    RECONCILED = "facteur_reconciled_total", Counter, ["verdict"], "Searches for evidence that this worker ended: found (Twilio has it), not_taken (sent again, or expired), resent (by policy) or held (a dead letter).";
    RELAYED = "facteur_outbox_relayed_total", Counter, ["relay"], "Outbox rows published and confirmed.";
    CALL_SECONDS = "facteur_twilio_call_seconds", Histogram, ["outcome"], "Duration of calls to Twilio.";
    QUEUE_WAIT_SECONDS = "facteur_queue_wait_seconds", Histogram, ["lane"], "From the first publish of a job to the start of a call.";
    END_TO_END_SECONDS = "facteur_end_to_end_seconds", Histogram, ["lane"], "From the first publish of a job to Twilio's acceptance.";
    IN_FLIGHT = "facteur_in_flight", Gauge, ["lane"], "Jobs in the worker's hands.";
    OLDEST_WAITING_SECONDS = "facteur_oldest_waiting_seconds", Gauge, ["lane"], "Age of the oldest job that waits in the database.";
    PAUSED = "facteur_paused", Gauge, ["scope"], "Pauses that stand, by what they are about.";
    WAITING_IN_LINE = "facteur_waiting_in_line", Gauge, ["kind"], "Jobs that stand in a line, by what they wait for (rate, breaker, pause or budget); counted up to 100,000, every 15 s.";
    BREAKER_OPEN = "facteur_breaker_open", Gauge, ["scope"], "Breakers that are open or half open: jobs of an account (integration) or a sender that wait in line.";
    BREAKER_OPENINGS = "facteur_breaker_openings_total", Counter, ["scope", "reason"], "Breakers that this worker opened, by what they protect and why.";
    CONCURRENCY_LIMIT = "facteur_concurrency_limit", Gauge, ["lane"], "Jobs that this worker has in its hands at once at most: fewer than its permits after Twilio said that there were too many calls (20429).";
    CONSUMING = "facteur_consuming", Gauge, ["queue"], "1 while the broker hands out envelopes of this queue to this worker.";
    SINCE_ENVELOPE_SECONDS = "facteur_seconds_since_last_envelope", Gauge, ["queue"], "Time since an envelope of this queue came, or since the start.";
    PUBLISHER_CONNECTED = "facteur_publisher_connected", Gauge, [], "1 while the publishing connection stands.";
    PUBLISHER_BLOCKED = "facteur_publisher_blocked", Gauge, [], "1 while the broker takes nothing (memory or disk alarm).";
    POOL_IN_USE = "facteur_database_connections_in_use", Gauge, [], "Connections of the shared pool in use.";
    POOL_MAX = "facteur_database_connections_max", Gauge, [], "Most connections of the shared pool.";
    RECEIPTS_MISSING = "facteur_receipts_missing", Gauge, [], "Messages whose receipt did not come in time and is asked for; 100,000 stands for more.";
    RECEIPT_POLLS = "facteur_receipt_polls_total", Counter, ["result"], "Questions to Twilio about one message: ended, on_its_way, gone (deleted there), throttled or unanswered.";
    RECEIPTS_TIMED_OUT = "facteur_receipts_timed_out_total", Counter, [], "Messages that stay `sent` because no receipt came within 72 h, or because they were deleted at Twilio.";
    SETTINGS_DIFFER = "facteur_settings_differ", Gauge, [], "1 while another live process of the system has other settings where all must agree.";
    CLOCK_OFFSET_SECONDS = "facteur_clock_offset_seconds", Gauge, [], "How far the database's clock is ahead of this machine's; deadlines follow the database's.";
    BUILD_INFO = "facteur_build_info", Gauge, ["version"], "Always 1; the label says which release runs.";
}

const ENDS: [&str; 4] = ["final", "waits", "not_ours", "buried"];
const SCOPES: [&str; 5] = ["lane", "tenant", "sender", "integration", "bulk"];
const FUSES: [&str; 2] = ["integration", "sender"];
const DECIDED: [&str; 5] = ["finish", "retry", "park", "reconcile", "bury"];
const QUEUES: [&str; 4] = ["urgent", "normal", "bulk", "dead"];
const POLL_RESULTS: [&str; 5] = ["ended", "on_its_way", "gone", "throttled", "unanswered"];
const RELAYS: [&str; 4] = ["urgent", "normal", "bulk", "events"];

/// Creates every series.
pub fn create() {
    for lane in Lane::ALL.map(Lane::as_str) {
        ENDS.iter().for_each(|end| counter!(ENVELOPES, "lane" => lane, "end" => *end).absolute(0));
        Outcome::NAMES
            .iter()
            .for_each(|name| counter!(ATTEMPTS, "lane" => lane, "outcome" => *name).absolute(0));
        DECIDED.iter().for_each(|name| counter!(DECISIONS, "lane" => lane, "decision" => *name).absolute(0));
        counter!(PULLED, "lane" => lane).absolute(0);
        gauge!(IN_FLIGHT, "lane" => lane).set(0.0);
        gauge!(OLDEST_WAITING_SECONDS, "lane" => lane).set(0.0);
        gauge!(CONCURRENCY_LIMIT, "lane" => lane).set(0.0);
    }
    for scope in FUSES {
        gauge!(BREAKER_OPEN, "scope" => scope).set(0.0);
        for cause in Cause::ALL {
            counter!(BREAKER_OPENINGS, "scope" => scope, "reason" => cause.as_str()).absolute(0);
        }
    }
    for code in ReasonCode::ALL.iter().map(|code| code.as_str()) {
        counter!(PARKS, "reason" => code).absolute(0);
        counter!(DEAD_LETTERS, "reason" => code).absolute(0);
        counter!(FILED, "reason" => code).absolute(0);
    }
    SCOPES.iter().for_each(|scope| gauge!(PAUSED, "scope" => *scope).set(0.0));
    LineKind::ALL.into_iter().for_each(|kind| waiting_in_line(kind, 0));
    Verdict::ENDS.iter().for_each(|verdict| counter!(RECONCILED, "verdict" => *verdict).absolute(0));
    RELAYS.iter().for_each(|relay| counter!(RELAYED, "relay" => *relay).absolute(0));
    POLL_RESULTS.iter().for_each(|result| counter!(RECEIPT_POLLS, "result" => *result).absolute(0));
    [DOUBLED, WOKEN, EXPIRED, LEASES_LOST, RECEIPTS_TIMED_OUT]
        .into_iter()
        .for_each(|name| counter!(name).absolute(0));
    QUEUES.into_iter().for_each(|queue| consumer(queue, false, Duration::ZERO));
    [RECEIPTS_MISSING, SETTINGS_DIFFER, CLOCK_OFFSET_SECONDS]
        .into_iter()
        .for_each(|name| gauge!(name).set(0.0));
    [UNCERTAIN, PUBLISHER_CONNECTED, PUBLISHER_BLOCKED, POOL_IN_USE, POOL_MAX]
        .into_iter()
        .for_each(|name| gauge!(name).set(0.0));
    gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

/// A job came into the worker's hands.
pub(crate) fn received(lane: Lane) {
    gauge!(IN_FLIGHT, "lane" => lane.as_str()).increment(1.0);
}

/// A job came out of its sender's line.
pub(crate) fn pulled(lane: Lane) {
    counter!(PULLED, "lane" => lane.as_str()).increment(1);
}

/// A job left them.
pub(crate) fn let_go(lane: Lane) {
    gauge!(IN_FLIGHT, "lane" => lane.as_str()).decrement(1.0);
}

pub(crate) fn ended(lane: Lane, end: End) {
    let end = match end {
        End::Final(_) => "final",
        End::Waits(_) => "waits",
        End::NotOurs => "not_ours",
        End::Buried(_) => "buried",
    };
    counter!(ENVELOPES, "lane" => lane.as_str(), "end" => end).increment(1);
}

pub(crate) fn called(
    lane: Lane,
    outcome: &Outcome,
    duration: Duration,
    enqueued_at: Option<Timestamp>,
    started_at: Timestamp,
) {
    let (lane, name) = (lane.as_str(), outcome.name());
    counter!(ATTEMPTS, "lane" => lane, "outcome" => name).increment(1);
    histogram!(CALL_SECONDS, "outcome" => name).record(duration);
    let Some(enqueued_at) = enqueued_at else { return };
    // A producer's clock may run ahead of ours.
    let waited = Duration::try_from(started_at.duration_since(enqueued_at)).unwrap_or_default();
    histogram!(QUEUE_WAIT_SECONDS, "lane" => lane).record(waited);
    if matches!(outcome, Outcome::Accepted { .. }) {
        histogram!(END_TO_END_SECONDS, "lane" => lane).record(waited + duration);
    }
}

pub(crate) fn decided(lane: Lane, decision: &Decision) {
    counter!(DECISIONS, "lane" => lane.as_str(), "decision" => decision.name()).increment(1);
    match decision {
        Decision::Park { reason, .. } => parked(reason.code),
        Decision::Bury(reason) => buried(reason.code),
        Decision::Finish { .. } | Decision::Retry { .. } | Decision::Reconcile(_) => {}
    }
}

pub(crate) fn parked(code: ReasonCode) {
    counter!(PARKS, "reason" => code.as_str()).increment(1);
}

pub(crate) fn buried(code: ReasonCode) {
    counter!(DEAD_LETTERS, "reason" => code.as_str()).increment(1);
}

pub(crate) fn filed(code: ReasonCode) {
    counter!(FILED, "reason" => code.as_str()).increment(1);
}

pub(crate) fn doubled() {
    counter!(DOUBLED).increment(1);
}

pub(crate) fn swept(swept: &Swept) {
    counter!(WOKEN).increment(swept.woken.unsigned_abs());
    counter!(EXPIRED).increment(swept.expired.unsigned_abs());
    counter!(LEASES_LOST).increment(swept.uncertain.unsigned_abs());
}

/// So many searches for evidence go on, in all workers together.
pub(crate) fn uncertain(open: i64) {
    gauge!(UNCERTAIN).set(u32::try_from(open).map_or(f64::MAX, f64::from));
}

/// A search for evidence ended with this verdict.
pub(crate) fn reconciled(verdict: &'static str) {
    counter!(RECONCILED, "verdict" => verdict).increment(1);
}

pub(crate) fn relayed(relay: &'static str, rows: usize) {
    counter!(RELAYED, "relay" => relay).increment(rows as u64);
}

pub(crate) fn receipts_missing(count: u32) {
    gauge!(RECEIPTS_MISSING).set(f64::from(count));
}

pub(crate) fn receipt_polled(result: &'static str) {
    counter!(RECEIPT_POLLS, "result" => result).increment(1);
}

pub(crate) fn receipts_timed_out(messages: usize) {
    counter!(RECEIPTS_TIMED_OUT).increment(messages as u64);
}

pub(crate) fn settings_differ(differ: bool) {
    gauge!(SETTINGS_DIFFER).set(f64::from(u8::from(differ)));
}

pub(crate) fn clock_offset(ahead: SignedDuration) {
    gauge!(CLOCK_OFFSET_SECONDS).set(ahead.as_secs_f64());
}

pub(crate) fn oldest_waiting(lane: Lane, age: Duration) {
    gauge!(OLDEST_WAITING_SECONDS, "lane" => lane.as_str()).set(age.as_secs_f64());
}

pub(crate) fn paused(pauses: &[Pause]) {
    for scope in SCOPES {
        let count = pauses.iter().filter(|pause| pause.scope.kind() == scope).count();
        gauge!(PAUSED, "scope" => scope).set(self::count(count));
    }
}

pub(crate) fn waiting_in_line(kind: LineKind, jobs: i64) {
    gauge!(WAITING_IN_LINE, "kind" => kind.as_str()).set(count(usize::try_from(jobs).unwrap_or_default()));
}

pub(crate) fn pool((in_use, _, max): (usize, usize, usize)) {
    gauge!(POOL_IN_USE).set(count(in_use));
    gauge!(POOL_MAX).set(count(max));
}

pub(crate) fn breakers_open<'a>(open: impl Iterator<Item = &'a Fuse> + Clone) {
    for scope in FUSES {
        gauge!(BREAKER_OPEN, "scope" => scope)
            .set(count(open.clone().filter(|fuse| fuse.scope() == scope).count()));
    }
}

pub(crate) fn breaker_opened(fuse: &Fuse, cause: Cause) {
    counter!(BREAKER_OPENINGS, "scope" => fuse.scope(), "reason" => cause.as_str()).increment(1);
}

pub(crate) fn concurrency_limit(lane: Lane, limit: u32) {
    gauge!(CONCURRENCY_LIMIT, "lane" => lane.as_str()).set(f64::from(limit));
}

pub(crate) fn consumer(queue: &'static str, consuming: bool, since_envelope: Duration) {
    gauge!(CONSUMING, "queue" => queue).set(f64::from(u8::from(consuming)));
    gauge!(SINCE_ENVELOPE_SECONDS, "queue" => queue).set(since_envelope.as_secs_f64());
}

pub(crate) fn publisher(connected: bool, blocked: bool) {
    gauge!(PUBLISHER_CONNECTED).set(f64::from(u8::from(connected)));
    gauge!(PUBLISHER_BLOCKED).set(f64::from(u8::from(blocked)));
}

fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::MAX, f64::from)
}
