//! How far a bulk has come: each recipient counted once, where it stands at this moment.

use std::collections::BTreeMap;

use facteur_core::price::Amount;
use facteur_core::status::Status;
use uuid::Uuid;

use crate::batch_error::{BatchFailure, classify};
use crate::pool::Database;

/// Read along keys: the bulk's lines, and the job of each.
const PROGRESS: &str = "SELECT CASE WHEN r.state IN ('released', 'settled') THEN coalesce(j.status, 'waiting') \
             ELSE r.state END AS state, count(*) AS recipients, coalesce(sum(r.segments), 0)::int8 AS segments, \
             coalesce(sum(r.cost_micros), 0)::int8 AS cost_micros, \
             count(*) FILTER (WHERE r.state <> 'refused' AND r.cost_micros IS NULL) AS unpriced \
     FROM (SELECT state, job_id, segments, cost_micros FROM facteur.bulk_recipients WHERE bulk_id = $1) r \
     LEFT JOIN LATERAL (SELECT status FROM facteur.jobs WHERE id = r.job_id AND r.state IN ('released', 'settled') \
                        LIMIT 1) j ON true \
     GROUP BY 1";

/// Where the recipients of a bulk stand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// Recipients by state: `pending` (not released yet), `refused`, or the status of their message.
    pub states: BTreeMap<String, i64>,
    /// Segments of all messages that are not refused.
    pub segments: i64,
    /// What those of which a price was known are estimated to cost.
    priced: Amount,
    /// Messages that are not refused and of which no price was known.
    unpriced: i64,
}

impl Progress {
    /// All recipients.
    #[must_use]
    pub fn total(&self) -> i64 {
        self.states.values().sum()
    }

    /// What all messages that are not refused are estimated to cost, in the bulk's currency; `None` if the price of one
    /// was not known.
    #[must_use]
    pub fn cost(&self) -> Option<Amount> {
        (self.unpriced == 0).then_some(self.priced)
    }

    /// Recipients whose message is called so by the word that applications see: `pending`, `sent`, `delivered` or
    /// `failed`. The four add up to all of them.
    #[must_use]
    pub fn of_word(&self, word: &str) -> i64 {
        let is_so = |state: &str| public_word(state) == word;
        self.states.iter().filter(|(state, _)| is_so(state)).map(|(_, count)| count).sum()
    }
}

/// The word that applications see for a recipient's state.
#[must_use]
pub fn public_word(state: &str) -> &'static str {
    match (state, Status::from_name(state)) {
        ("refused", _) => "failed",
        (_, Some(status)) => status.public_word(),
        (_, None) => "pending",
    }
}

/// Where the recipients stand now.
///
/// # Errors
/// The database's, classified.
pub async fn progress(database: &Database, id: Uuid) -> Result<Progress, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(PROGRESS).await.map_err(classify)?;
    let rows = client.query(&statement, &[&id]).await.map_err(classify)?;
    let mut progress = Progress::default();
    for row in &rows {
        progress.states.insert(row.get("state"), row.get("recipients"));
        progress.segments += row.get::<_, i64>("segments");
        let micros = u64::try_from(row.get::<_, i64>("cost_micros")).unwrap_or_default();
        progress.priced = progress.priced.plus(Amount::from_micros(micros));
        progress.unpriced += row.get::<_, i64>("unpriced");
    }
    Ok(progress)
}
