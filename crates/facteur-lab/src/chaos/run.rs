//! One run of a plan: storm, calm, count.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, sleep, sleep_until};

use super::evidence::{gather, records};
use super::plan::Plan;
use super::producer::Producer;
use super::report::Report;
use super::stage::Stage;
use super::verdict::{is_all_heard, judge};
use super::{evidence::Evidence, sql};
use crate::say;
use crate::system::System;

/// How long everything may take to come to rest, at least; after a longer storm as long as that.
const CALM_MAX: Duration = Duration::from_secs(240);
/// The same, where backoffs and leases are waited for in real time.
const CALM_PATIENT_MAX: Duration = Duration::from_secs(30 * 60);
/// Before time is let pass, whoever was cut off comes back by himself.
const CALM_BEFORE_HASTE: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The broker doesn't tell what workers hold unacknowledged: copies of what has ended are gone after so many looks.
const STILL_LOOKS: u32 = 4;
/// What is no record yet may be in the hands of a worker that can't publish: its publisher waits for up to 15 s before it
/// connects again, and then for a confirmation. After so many looks it is lost.
const STILL_LOOKS_MAX: u32 = 60;
/// Jobs whose story is told, of each promise that was broken.
const STORIES_MAX: usize = 5;

/// Runs a plan and judges what became of it.
///
/// # Errors
/// If our own means fail.
pub(super) async fn run(plan: &Plan, directory: &Path, is_patient: bool) -> Result<Report> {
    let system = System::start(directory, &serde_json::json!({"seed": plan.seed})).await?;
    fs::write(directory.join("plan.json"), serde_json::to_vec_pretty(plan)?)?;
    let mut stage = Stage::set(system, plan).await?;
    let producer = Producer::connect(stage.system().amqp_url(), stage.system().prefix()).await?;
    storm(&mut stage, plan, &producer).await?;
    say::progress("calm");
    let calm_began = Instant::now();
    stage.calm(plan.weather).await?;
    let is_at_rest = rest(&stage, &producer, patience(plan, is_patient), is_patient).await?;
    let calm = calm_began.elapsed();
    stage.stop().await?;
    let evidence = gather(stage.system(), producer.published(), stage.chronicle.clone()).await?;
    let complaints = judge(&evidence);
    let stories = stories(&stage, &complaints).await;
    Ok(Report::new(plan, &evidence, complaints, stories, calm, is_at_rest))
}

/// Publishes, and does every operation at its instant.
async fn storm(stage: &mut Stage, plan: &Plan, producer: &Producer) -> Result<()> {
    let began = Instant::now();
    let storm = Duration::from_millis(plan.storm_ms);
    let (steady, seed, jobs_per_s) = (producer.clone(), plan.seed, plan.jobs_per_s);
    let traffic = tokio::spawn(async move { steady.stream(seed, jobs_per_s, storm).await });
    for (at_ms, index, is_end) in timeline(plan) {
        sleep_until(began + Duration::from_millis(at_ms)).await;
        let Some(step) = plan.steps.get(index) else { continue };
        if is_end {
            stage.undo(u64::try_from(index)?, &step.operation).await?;
        } else {
            say::progress(&format!(
                "{:>7.1} s  {}",
                began.elapsed().as_secs_f64(),
                serde_json::to_string(step)?
            ));
            stage.perform(u64::try_from(index)?, &step.operation, producer, plan.seed).await?;
        }
    }
    traffic.await?
}

/// When what begins and ends within the storm; what would end after it ends with it.
fn timeline(plan: &Plan) -> Vec<(u64, usize, bool)> {
    let mut instants = Vec::new();
    for (index, step) in plan.steps.iter().enumerate() {
        instants.push((step.at_ms, index, false));
        if let Some(for_ms) = step.operation.for_ms() {
            instants.push((step.at_ms.saturating_add(for_ms), index, true));
        }
    }
    instants.retain(|(at_ms, _, _)| *at_ms <= plan.storm_ms);
    instants.sort_unstable();
    instants
}

fn patience(plan: &Plan, is_patient: bool) -> Duration {
    if is_patient { CALM_PATIENT_MAX } else { CALM_MAX.max(Duration::from_millis(plan.storm_ms)) }
}

/// Waits until nothing moves any more; `false` if that doesn't come.
async fn rest(stage: &Stage, producer: &Producer, patience: Duration, is_patient: bool) -> Result<bool> {
    let began = Instant::now();
    let client = sql::connect(stage.system()).await?;
    let (mut told, mut still) = (None, 0);
    while began.elapsed() < patience {
        let (jobs, outbox) = sql::unrest(&client).await?;
        let envelopes: u32 = sql::queues(stage.system()).await?.values().map(|(messages, _)| messages).sum();
        still = if jobs == 0 && outbox == 0 && envelopes == 0 { still + 1 } else { 0 };
        if still >= STILL_LOOKS {
            let is_all_heard = is_all_heard(&records(&client, producer.published()).await?);
            if is_all_heard || still >= STILL_LOOKS_MAX {
                return Ok(true);
            }
            if still == STILL_LOOKS {
                say::progress(
                    "not all that was published is a record yet: a worker may have it in its hands",
                );
            }
        }
        if told != Some((jobs, outbox, envelopes)) {
            say::progress(&format!(
                "{jobs} jobs, {outbox} publications and {envelopes} envelopes are on their way"
            ));
            told = Some((jobs, outbox, envelopes));
        }
        if !is_patient && began.elapsed() > CALM_BEFORE_HASTE {
            sql::let_time_pass(&client, began.elapsed()).await?;
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(false)
}

/// What `facteur status` says of the jobs that break a promise.
async fn stories(stage: &Stage, complaints: &[super::verdict::Complaint]) -> Vec<String> {
    let ids = complaints.iter().flat_map(|complaint| complaint.ids.iter().take(STORIES_MAX));
    let mut stories = Vec::new();
    for id in ids {
        let story = stage.system().facteur(&["status", &id.to_string()]).await;
        stories.push(story.unwrap_or_else(|error| format!("{error:#}")));
    }
    stories
}

impl Report {
    /// The report of a run.
    fn new(
        plan: &Plan,
        evidence: &Evidence,
        complaints: Vec<super::verdict::Complaint>,
        stories: Vec<String>,
        calm: Duration,
        is_at_rest: bool,
    ) -> Self {
        let mut report = Self::of(plan, evidence, calm);
        if !is_at_rest {
            report.complain("rest", format!("not everything came to rest within {} s", calm.as_secs()), &[]);
        }
        if let Some(most) = plan.held_max {
            report.complain_of_held(most);
        }
        for complaint in complaints {
            report.complain(complaint.rule, complaint.sentence, &complaint.ids);
        }
        report.tell(stories, plan);
        report
    }
}
