//! What came out, for people and for programs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use uuid::Uuid;

use super::evidence::Evidence;
use super::plan::Plan;
use super::verdict::windows_of;
use super::windows::{Windows, Worst, seconds};

/// Ids that are named, of each promise that was broken.
const IDS_MAX: usize = 20;

/// The result of a run.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report {
    seed: u64,
    workers: usize,
    storm_s: f64,
    calm_s: f64,
    /// Publications, copies and what is no job among them.
    published: usize,
    /// Ids among them.
    ids: usize,
    /// Ids that the broker answered for.
    confirmed: usize,
    lost: usize,
    doubled: usize,
    /// Jobs by their last state.
    ends: BTreeMap<String, u64>,
    /// Dead letters by code.
    dead_letters: BTreeMap<String, u64>,
    /// Jobs that are held because nobody knows whether Twilio took them, and how many of these it took.
    held: usize,
    held_with_twilio: usize,
    accepted_by_twilio: usize,
    accepted_per_s: f64,
    /// How many seconds of each sender that has a rate were judged, and the worst.
    windows: BTreeMap<String, Windows>,
    /// How often and for how long in all the machine stood still, which the verdict allows for.
    stalls: usize,
    stalled_s: f64,
    operations: BTreeMap<String, u64>,
    kills: u64,
    twilio_faults: BTreeMap<String, u64>,
    complaints: Vec<Told>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stories: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<Plan>,
}

#[derive(Debug, Clone, Serialize)]
struct Told {
    rule: &'static str,
    sentence: String,
    ids: Vec<Uuid>,
}

impl Report {
    /// The figures.
    #[must_use]
    pub(super) fn of(plan: &Plan, evidence: &Evidence, calm: Duration) -> Self {
        let ids: BTreeSet<Uuid> = evidence.published.iter().map(|published| published.job.id).collect();
        let confirmed = evidence.published.iter().filter(|published| published.is_confirmed);
        let held: Vec<_> =
            evidence.jobs.values().filter(|job| job.status == "dead" && job.reason == "uncertain").collect();
        let texts: BTreeSet<_> = evidence.accepted.iter().map(|taken| (&taken.to, &taken.body)).collect();
        let held_with_twilio = evidence.published.iter().filter(|published| {
            let job = evidence.jobs.get(&published.job.id);
            job.is_some_and(|job| job.status == "dead" && job.reason == "uncertain")
                && texts.contains(&(&published.job.to, &published.job.text))
        });
        let held_with_twilio: BTreeSet<_> = held_with_twilio.map(|published| published.job.id).collect();
        let operations = evidence.chronicle.operations.clone();
        let storm_s = Duration::from_millis(plan.storm_ms).as_secs_f64();
        let stalled_s = seconds(evidence.chronicle.stalls.iter().map(|(from, to)| to - from).sum());
        #[expect(clippy::cast_precision_loss, reason = "a rate to look at; counts are far below 2^52")]
        let accepted_per_s = evidence.accepted.len() as f64 / (storm_s + calm.as_secs_f64());
        Self {
            seed: plan.seed,
            workers: plan.workers,
            storm_s,
            calm_s: rounded(calm.as_secs_f64()),
            published: evidence.published.len(),
            ids: ids.len(),
            confirmed: confirmed.map(|published| published.job.id).collect::<BTreeSet<_>>().len(),
            lost: 0,
            doubled: 0,
            ends: counted(evidence.jobs.values().map(|job| job.status.clone())),
            dead_letters: counted(evidence.letters.iter().map(|letter| letter.code.clone())),
            held: held.len(),
            held_with_twilio: held_with_twilio.len(),
            accepted_by_twilio: evidence.accepted.len(),
            accepted_per_s: rounded(accepted_per_s),
            windows: windows_of(evidence),
            stalls: evidence.chronicle.stalls.len(),
            stalled_s: rounded(stalled_s),
            kills: operations.get("kill_9").copied().unwrap_or_default(),
            operations,
            twilio_faults: evidence.stats.faults_injected.clone(),
            complaints: Vec::new(),
            stories: Vec::new(),
            plan: None,
        }
    }

    /// A promise was broken.
    pub(super) fn complain(&mut self, rule: &'static str, sentence: String, ids: &[Uuid]) {
        match rule {
            "lost" => self.lost += ids.len(),
            "doubled" => self.doubled += ids.len().max(1),
            _ => {}
        }
        self.complaints.push(Told { rule, sentence, ids: ids.iter().take(IDS_MAX).copied().collect() });
    }

    /// More messages are held than the plan allows.
    pub(super) fn complain_of_held(&mut self, most: usize) {
        if self.held > most {
            self.complain("held", format!("{} messages are held; {most} may be", self.held), &[]);
        }
    }

    /// What helps to understand what was broken.
    pub(super) fn tell(&mut self, stories: Vec<String>, plan: &Plan) {
        self.stories = stories;
        self.plan = (!self.is_fine()).then(|| plan.clone());
    }

    /// Whether every promise was kept.
    #[must_use]
    pub(super) fn is_fine(&self) -> bool {
        self.complaints.is_empty()
    }

    /// One JSON object.
    ///
    /// # Errors
    /// None that is known.
    pub(super) fn to_json(&self) -> Result<String> {
        Ok(serde_json::to_string(self)?)
    }

    /// For people.
    #[must_use]
    pub(super) fn to_text(&self, name: &str) -> String {
        let list = |counts: &BTreeMap<String, u64>| {
            let parts: Vec<_> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
            parts.join(", ")
        };
        let mut lines = vec![
            format!(
                "{name}: {} jobs confirmed, {} lost, {} doubled; {:.0} s of storm, {:.0} s of calm, {:.1} messages a second",
                self.confirmed, self.lost, self.doubled, self.storm_s, self.calm_s, self.accepted_per_s
            ),
            format!("  ends: {}", list(&self.ends)),
            format!("  dead letters: {}", list(&self.dead_letters)),
            format!("  held: {}, of which Twilio has {}", self.held, self.held_with_twilio),
            format!("  what went wrong: {}", list(&self.operations)),
            format!("  faults that Twilio played: {}", list(&self.twilio_faults)),
        ];
        if self.stalls > 0 {
            let Self { stalls, stalled_s, .. } = self;
            lines.push(format!("  the machine stood still {stalls} times, {stalled_s} s in all"));
        }
        for (sender, Windows { count, judged, worst }) in &self.windows {
            let worst =
                worst.as_ref().map_or("none".to_owned(), |Worst { segments, allowed, rate, .. }| {
                    format!("{segments} segments at a rate of {rate}; {allowed} are allowed")
                });
            lines.push(format!("  {sender}: worst second of {judged} judged ({count} in all): {worst}"));
        }
        for Told { rule, sentence, ids } in &self.complaints {
            let ids: Vec<_> = ids.iter().map(Uuid::to_string).collect();
            lines.push(format!("BROKEN {rule}: {sentence} {}", ids.join(" ")));
        }
        lines.extend(self.stories.iter().map(|story| format!("\n{}", story.trim_end())));
        if self.plan.is_some() {
            lines.push("\nthe plan is in plan.json beside the logs; replay it with --plan".to_owned());
        }
        lines.join("\n")
    }
}

fn counted(words: impl Iterator<Item = String>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for word in words {
        *counts.entry(word).or_default() += 1;
    }
    counts
}

fn rounded(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}
