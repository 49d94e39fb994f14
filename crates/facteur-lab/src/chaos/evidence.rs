//! What can be seen from outside when everything is at rest: the tables, the simulator's own record, the queues.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use facteur_core::lane::Lane;
use facteur_core::schedule::RetrySchedule;
use serde::Deserialize;
use tokio_postgres::Client;
use uuid::Uuid;

use super::producer::Published;
use super::sql;
use super::stage::Chronicle;
use crate::clock::Micros;
use crate::system::System;

const PAGE: usize = 1_000;
/// The first job may be seen so long after it was published.
const SEEN_AFTER_MAX: Duration = Duration::from_mins(1);

/// Everything that the verdict is made from.
#[derive(Debug, Clone, Default)]
pub(super) struct Evidence {
    /// What was published, in order.
    pub(super) published: Vec<Published>,
    /// The jobs.
    pub(super) jobs: BTreeMap<Uuid, JobFacts>,
    /// The dead letters.
    pub(super) letters: Vec<LetterFacts>,
    /// What the simulator took, in order.
    pub(super) accepted: Vec<Accepted>,
    /// What the simulator counted.
    pub(super) stats: Stats,
    /// The message ids of what is left in each queue.
    pub(super) queues: BTreeMap<String, Vec<Option<Uuid>>>,
    /// Publications of jobs that are left in the outbox.
    pub(super) unpublished: i64,
    /// What was done.
    pub(super) chronicle: Chronicle,
}

/// A job's row.
#[derive(Debug, Clone)]
pub(super) struct JobFacts {
    /// Its status.
    pub(super) status: String,
    /// Why.
    pub(super) reason: String,
    /// Counted failures.
    pub(super) failures: i32,
    /// Attempts whose outcome may be counted as a failure: another try was decided, or nobody knew.
    pub(super) countable: i64,
    /// The SIDs of its attempts.
    pub(super) sids: Vec<String>,
    /// It ended at its deadline, and that is not before the age at which its lane gives up.
    pub(super) is_outlived: bool,
}

/// A dead letter.
#[derive(Debug, Clone)]
pub(super) struct LetterFacts {
    /// The id that its envelope bore. An envelope that only borrowed the id of another job is filed without a job.
    pub(super) id: Option<Uuid>,
    /// Why.
    pub(super) code: String,
}

/// A message that the simulator took.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Accepted {
    /// Its SID.
    pub(super) sid: String,
    /// Its sender.
    pub(super) from: String,
    /// Its recipient.
    pub(super) to: String,
    /// Its text.
    pub(super) body: String,
    /// What it cost of the sender's rate.
    pub(super) segments: u32,
    /// When its request had arrived.
    pub(super) arrived_at_us: Micros,
    ordinal: u64,
}

#[derive(Deserialize)]
struct Page {
    messages: Vec<Accepted>,
}

/// What the simulator counted.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Stats {
    /// Messages that were created.
    pub(super) accepted: u64,
    /// Copies beyond the first of a recipient and text.
    pub(super) duplicates_by_recipient_and_text: u64,
    /// Copies beyond the first of a message id in the callback's address.
    pub(super) duplicates_by_message_id: u64,
    /// A counter of copies is full.
    pub(super) duplicates_incomplete: bool,
    /// Faults by name.
    pub(super) faults_injected: BTreeMap<String, u64>,
}

/// Looks at everything.
///
/// # Errors
/// If somebody doesn't answer.
pub(super) async fn gather(
    system: &System,
    published: Vec<Published>,
    chronicle: Chronicle,
) -> Result<Evidence> {
    let client = sql::connect(system).await?;
    Ok(Evidence {
        accepted: accepted(system).await?,
        stats: system.control.stats().await?,
        queues: sql::emptied(system).await?,
        unpublished: sql::unpublished(&client).await?,
        chronicle,
        ..records(&client, published).await?
    })
}

/// What was published, and what the tables say of it: no more of the evidence, but to be had at any time.
///
/// # Errors
/// The database's.
pub(super) async fn records(client: &Client, published: Vec<Published>) -> Result<Evidence> {
    let question = "SELECT j.id, j.status, j.reason, j.failures, \
             (SELECT count(*) FROM facteur.attempts a WHERE a.job_id = j.id \
                  AND (a.next_status = 'retrying' OR a.outcome = 'uncertain')), \
             ARRAY(SELECT sid FROM facteur.attempts a WHERE a.job_id = j.id AND sid IS NOT NULL), j.lane, \
             extract(epoch FROM j.deadline - (SELECT min(created_at) FROM facteur.jobs))::float8, \
             j.updated_at >= j.deadline \
         FROM facteur.jobs j";
    let mut jobs = BTreeMap::new();
    for row in client.query(question, &[]).await? {
        let facts = JobFacts {
            status: row.try_get(1)?,
            reason: row.try_get(2)?,
            failures: row.try_get(3)?,
            countable: row.try_get(4)?,
            sids: row.try_get(5)?,
            is_outlived: row.try_get(8)? && is_old(row.try_get(6)?, row.try_get(7)?),
        };
        jobs.insert(row.try_get(0)?, facts);
    }
    let mut letters = Vec::new();
    let question =
        "SELECT coalesce(job_id::text, headers ->> 'property:message_id'), code FROM facteur.dead_letters";
    for row in client.query(question, &[]).await? {
        let id: Option<String> = row.try_get(0)?;
        letters.push(LetterFacts { id: id.and_then(|id| Uuid::parse_str(&id).ok()), code: row.try_get(1)? });
    }
    Ok(Evidence { published, jobs, letters, ..Evidence::default() })
}

/// Whether a lane may have given up what was to be done so many seconds after the first job was seen.
fn is_old(lane: &str, deadline_s: f64) -> bool {
    let age_max = Lane::from_name(lane).map(|lane| RetrySchedule::of(lane).age_max);
    age_max.is_some_and(|age_max| deadline_s + SEEN_AFTER_MAX.as_secs_f64() >= age_max.as_secs_f64())
}

/// All messages of the simulator, page by page.
async fn accepted(system: &System) -> Result<Vec<Accepted>> {
    let mut all: Vec<Accepted> = Vec::new();
    loop {
        let after = all.last().map_or(0, |last| last.ordinal);
        let page: Page = system.control.get(&format!("messages?after={after}&limit={PAGE}")).await?;
        if page.messages.is_empty() {
            return Ok(all);
        }
        all.extend(page.messages);
    }
}
