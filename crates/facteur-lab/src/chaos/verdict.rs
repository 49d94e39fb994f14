//! The count: what must be true when everything is at rest, as one list of rules over the evidence.

use std::collections::{BTreeMap, BTreeSet};

use facteur_core::limits::CALL_DURATION_MAX;
use facteur_core::reason::ReasonCode;
use uuid::Uuid;

use super::evidence::{Accepted, Evidence, JobFacts};
use super::producer::Published;
use super::sql::DEAD_QUEUE;
use super::stage::Chronicle;
use super::traffic::{Kind, RATES, SEGMENTS_MAX};
use super::windows::{self, Ways, Windows, Worst};
use crate::clock::{Micros, SECOND};

/// What the clocks of two processes on this machine may differ by, and a call's way take while the machine doesn't stand
/// still.
const WAY_MAX: Micros = SECOND;
/// The same, where a message is too early.
const EARLY_MAX: Micros = SECOND / 20;

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Complaint {
    /// Which.
    pub(super) rule: &'static str,
    /// How.
    pub(super) sentence: String,
    /// By which jobs.
    pub(super) ids: Vec<Uuid>,
}

/// The evidence, put in order.
struct Case<'a> {
    evidence: &'a Evidence,
    /// What was published under each id; copies have the same id, conflicts another text.
    by_id: BTreeMap<Uuid, Vec<&'a Published>>,
    /// What the simulator took, with the id that it was published under.
    taken: Vec<(&'a Accepted, Option<&'a Published>)>,
}

/// The states of a job whose message Twilio has.
const WITH_TWILIO: [&str; 5] = ["sent", "delivered", "read", "undelivered", "failed"];
const FINAL: [&str; 9] =
    ["sent", "delivered", "read", "undelivered", "failed", "expired", "canceled", "suppressed", "dead"];

/// Whether everything that was published is a job or a dead letter by now, as its kind must. Until then a worker may
/// still have it in its hands, where nothing counts it.
#[must_use]
pub(super) fn is_all_heard(evidence: &Evidence) -> bool {
    let case = Case::of(evidence);
    lost(&case).is_empty() && ends(&case).is_empty()
}

/// Every promise that was broken; none is how it must be.
#[must_use]
pub(super) fn judge(evidence: &Evidence) -> Vec<Complaint> {
    let case = Case::of(evidence);
    let rules: [fn(&Case<'_>) -> Vec<Complaint>; 10] =
        [lost, unfinished, doubled, ends, believed, reasons, instants, rates, failures, leftovers];
    rules.iter().flat_map(|rule| rule(&case)).collect()
}

impl<'a> Case<'a> {
    fn of(evidence: &'a Evidence) -> Self {
        let mut by_id: BTreeMap<Uuid, Vec<&Published>> = BTreeMap::new();
        let mut by_text = BTreeMap::new();
        for published in &evidence.published {
            by_id.entry(published.job.id).or_default().push(published);
            by_text.entry((published.job.to.as_str(), published.job.text.as_str())).or_insert(published);
        }
        let published = |taken: &Accepted| by_text.get(&(taken.to.as_str(), taken.body.as_str())).copied();
        let taken = evidence.accepted.iter().map(|taken| (taken, published(taken))).collect();
        Self { evidence, by_id, taken }
    }

    fn letters(&self, id: Uuid) -> impl Iterator<Item = &'a str> {
        let of_job = self.evidence.letters.iter().filter(move |letter| letter.id == Some(id));
        of_job.map(|letter| letter.code.as_str())
    }

    /// Whether calls could be held up between two instants.
    fn is_held_up(&self, from: Micros, to: Micros) -> bool {
        self.evidence.chronicle.held_up.iter().any(|(begin, end)| *begin <= to && from <= end + SECOND)
    }
}

/// A complaint about these jobs, if there are any.
fn about(rule: &'static str, what: &str, ids: impl IntoIterator<Item = Uuid>) -> Vec<Complaint> {
    let ids: BTreeSet<Uuid> = ids.into_iter().collect();
    if ids.is_empty() {
        return Vec::new();
    }
    let sentence = format!("{} {what}", ids.len());
    vec![Complaint { rule, sentence, ids: ids.into_iter().collect() }]
}

/// What the broker answered for is a job or a dead letter.
fn lost(case: &Case<'_>) -> Vec<Complaint> {
    let is_confirmed = |copies: &[&Published]| copies.iter().any(|published| published.is_confirmed);
    let lost = case.by_id.iter().filter(|(id, copies)| {
        is_confirmed(copies) && !case.evidence.jobs.contains_key(id) && case.letters(**id).next().is_none()
    });
    about("lost", "jobs that the broker had confirmed are nowhere", lost.map(|(id, _)| *id))
}

/// Every job is at its end.
fn unfinished(case: &Case<'_>) -> Vec<Complaint> {
    let open = case.evidence.jobs.iter().filter(|(_, job)| !FINAL.contains(&job.status.as_str()));
    about("unfinished", "jobs are not at their end", open.map(|(id, _)| *id))
}

/// No text went out twice, and nothing that nobody asked for.
fn doubled(case: &Case<'_>) -> Vec<Complaint> {
    let mut taken: BTreeMap<Uuid, u64> = BTreeMap::new();
    for published in case.taken.iter().filter_map(|(_, published)| *published) {
        *taken.entry(published.job.id).or_default() += 1;
    }
    let twice = taken.iter().filter(|(_, count)| **count > 1).map(|(id, _)| *id);
    let mut complaints = about("doubled", "jobs were taken by Twilio more than once", twice);
    let stats = &case.evidence.stats;
    let copies = stats.duplicates_by_recipient_and_text.max(stats.duplicates_by_message_id);
    let strangers = case.taken.iter().filter(|(_, published)| published.is_none()).count();
    for (count, what) in [
        (copies, "copies were counted by the simulator"),
        (to_u64(strangers), "texts went out that nobody published"),
    ] {
        if count > 0 {
            complaints.push(Complaint { rule: "doubled", sentence: format!("{count} {what}"), ids: vec![] });
        }
    }
    if stats.duplicates_incomplete || stats.accepted != to_u64(case.taken.len()) {
        let sentence = format!("the simulator took {}, but showed {}", stats.accepted, case.taken.len());
        complaints.push(Complaint { rule: "doubled", sentence, ids: vec![] });
    }
    complaints
}

fn to_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Each job ended as its kind must.
fn ends(case: &Case<'_>) -> Vec<Complaint> {
    let wrong = case.by_id.iter().filter(|(id, copies)| {
        let Some(published) = copies.first() else { return false };
        let job = case.evidence.jobs.get(id);
        // What is nowhere at all is lost, and told as that.
        let is_nowhere = job.is_none() && case.letters(**id).next().is_none();
        let expires = copies.iter().any(|published| published.job.expires_at.is_some());
        let is_right = match published.job.kind {
            Kind::Good => job.is_some_and(|job| is_good_end(job, expires)),
            Kind::Refused => job.is_some_and(|job| {
                matches!(job.status.as_str(), "failed" | "suppressed")
                    || is_held(job)
                    || is_given_up(job, false)
            }),
            Kind::Bad(code) => job.is_none() && case.letters(**id).any(|found| found == code),
            // A held job has its letter already; whatever else bears its id is counted there.
            Kind::Conflict => job.is_some_and(|job| {
                is_good_end(job, expires)
                    && (is_held(job) || case.letters(**id).any(|code| code == "id_conflict"))
            }),
        };
        !is_nowhere && !is_right && job.is_none_or(|job| FINAL.contains(&job.status.as_str()))
    });
    about("ends", "jobs did not end as their kind must", wrong.map(|(id, _)| *id))
}

fn is_held(job: &JobFacts) -> bool {
    job.status == "dead" && job.reason == "uncertain"
}

fn is_good_end(job: &JobFacts, expires: bool) -> bool {
    WITH_TWILIO.contains(&job.status.as_str()) || is_held(job) || is_given_up(job, expires)
}

fn is_given_up(job: &JobFacts, expires: bool) -> bool {
    job.status == "expired" && (expires || job.is_outlived)
}

/// What Twilio has is with Twilio or held by our record too, and what our record gives to Twilio, Twilio has.
fn believed(case: &Case<'_>) -> Vec<Complaint> {
    let mut taken: BTreeMap<Uuid, Vec<&str>> = BTreeMap::new();
    for (accepted, published) in &case.taken {
        if let Some(published) = published {
            taken.entry(published.job.id).or_default().push(&accepted.sid);
        }
    }
    let denied = taken.keys().filter(|id| {
        let job = case.evidence.jobs.get(id);
        job.is_none_or(|job| !WITH_TWILIO.contains(&job.status.as_str()) && !is_held(job))
    });
    let claimed = case.evidence.jobs.iter().filter(|(id, job)| {
        matches!(job.status.as_str(), "sent" | "delivered" | "read" | "undelivered")
            && !taken.contains_key(id)
    });
    let misnamed = case.evidence.jobs.iter().filter(|(id, job)| {
        let theirs = taken.get(id).map(Vec::as_slice).unwrap_or_default();
        job.sids.iter().any(|sid| !theirs.contains(&sid.as_str()))
    });
    let mut complaints =
        about("believed", "messages are with Twilio, but their jobs say otherwise", denied.copied());
    complaints.extend(about(
        "believed",
        "jobs are sent, but Twilio has no such message",
        claimed.map(|(id, _)| *id),
    ));
    complaints.extend(about(
        "believed",
        "jobs have a SID of no message of theirs",
        misnamed.map(|(id, _)| *id),
    ));
    complaints
}

/// Every dead letter has a reason that the code knows, and every dead job a dead letter.
fn reasons(case: &Case<'_>) -> Vec<Complaint> {
    let unknown: BTreeSet<&str> = case
        .evidence
        .letters
        .iter()
        .map(|letter| letter.code.as_str())
        .filter(|code| ReasonCode::from_name(code).is_none())
        .collect();
    let mut complaints: Vec<Complaint> = unknown
        .iter()
        .map(|code| Complaint {
            rule: "reasons",
            sentence: format!("a dead letter has the code {code:?}"),
            ids: vec![],
        })
        .collect();
    let silent = case
        .evidence
        .jobs
        .iter()
        .filter(|(id, job)| job.status == "dead" && !case.letters(**id).any(|code| code == job.reason));
    complaints.extend(about(
        "reasons",
        "dead jobs have no dead letter that says why",
        silent.map(|(id, _)| *id),
    ));
    complaints
}

/// Nothing leaves before its time or after it.
fn instants(case: &Case<'_>) -> Vec<Complaint> {
    let call_max = i64::try_from(CALL_DURATION_MAX.as_micros()).unwrap_or(0);
    let freezes = case.evidence.chronicle.held_up.iter().map(|(from, to)| to - from);
    let longest = freezes.max().unwrap_or(0);
    let (mut early, mut late) = (Vec::new(), Vec::new());
    for (taken, published) in &case.taken {
        let Some(published) = published else { continue };
        let (job, at) = (&published.job, taken.arrived_at_us);
        if job.send_at.is_some_and(|send_at| at + EARLY_MAX < send_at) {
            early.push(job.id);
        }
        let stalled = |end| windows::overlap(&case.evidence.chronicle.stalls, end, at);
        let slack = |end| stalled(end) + if case.is_held_up(end, at) { call_max + longest } else { WAY_MAX };
        if job.expires_at.is_some_and(|end| at > end + slack(end)) {
            late.push(job.id);
        }
    }
    let mut complaints = about("instants", "messages left before their send_at", early);
    complaints.extend(about("instants", "messages left after their expires_at", late));
    complaints
}

/// The windows of each sender that has a rate.
#[must_use]
pub(super) fn windows_of(evidence: &Evidence) -> BTreeMap<String, Windows> {
    let Chronicle { held_up, stalls, .. } = &evidence.chronicle;
    let judged = |sender: &str| {
        let mut arrivals: Vec<_> = evidence
            .accepted
            .iter()
            .filter(|taken| taken.from == sender)
            .map(|taken| (taken.arrived_at_us, taken.segments))
            .collect();
        arrivals.sort_unstable();
        let rates = evidence.chronicle.rates.iter().filter(|(_, whose, _)| whose == sender);
        let rates: Vec<_> = rates.map(|(at, _, rate)| (*at, *rate)).collect();
        windows::judge(&arrivals, &rates, Ways { held_up, stalls }, SEGMENTS_MAX)
    };
    RATES.iter().map(|(sender, _)| ((*sender).to_owned(), judged(sender))).collect()
}

/// No sender exceeds its rate.
fn rates(case: &Case<'_>) -> Vec<Complaint> {
    let worst = windows_of(case.evidence).into_iter().filter_map(|(sender, all)| Some((sender, all.worst?)));
    let exceeded = worst.filter(|(_, worst)| worst.segments > worst.allowed);
    exceeded
        .map(|(sender, worst)| {
            let Worst { segments, allowed, rate, .. } = worst;
            let sentence = format!(
                "{sender} sent {segments} segments within a second; at {rate} a second, {allowed} are allowed"
            );
            Complaint { rule: "rates", sentence, ids: vec![] }
        })
        .collect()
}

/// No wait counts as a failure.
fn failures(case: &Case<'_>) -> Vec<Complaint> {
    let wrong = case.evidence.jobs.iter().filter(|(_, job)| i64::from(job.failures) > job.countable);
    about("failures", "jobs have failures that were none", wrong.map(|(id, _)| *id))
}

/// Nothing is left in a queue or the outbox, and every process ended as it was asked to. A wake-up that comes out of the
/// delay ladder when all workers have gone finds nobody, and its job needs none if it has ended.
fn leftovers(case: &Case<'_>) -> Vec<Complaint> {
    let Evidence { queues, unpublished, chronicle, .. } = case.evidence;
    let complaint = |sentence: String| Complaint { rule: "leftovers", sentence, ids: vec![] };
    let has_ended = |id: &Option<Uuid>| {
        let job = id.and_then(|id| case.evidence.jobs.get(&id));
        job.is_some_and(|job| FINAL.contains(&job.status.as_str()))
    };
    let mut complaints = Vec::new();
    for (name, envelopes) in queues {
        let left = envelopes.iter().filter(|id| name == DEAD_QUEUE || !has_ended(id));
        let (count, ids) = (left.clone().count(), left.copied().flatten().collect());
        if count > 0 {
            complaints.push(Complaint { ids, ..complaint(format!("{count} envelopes are left in {name}")) });
        }
    }
    if *unpublished > 0 {
        complaints.push(complaint(format!("{unpublished} publications of jobs are left in the outbox")));
    }
    complaints.extend(chronicle.misbehaved.iter().cloned().map(complaint));
    complaints
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
