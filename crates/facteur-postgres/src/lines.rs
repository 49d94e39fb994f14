//! Waiting lines: which there are, how long they are, and how jobs are let out of one when what it waited for is over.

use facteur_core::hold::Hold;
use facteur_core::lane::Lane;
use facteur_core::limits::{DUTY_ROWS_MAX, WAKE_UP_GRACE};
use facteur_core::reason::ReasonCode;

use crate::batch_error::{BatchFailure, classify};
use crate::pool::Database;

/// Most lines of one kind that are looked at.
const LINES_MAX: i64 = 10_000;
/// Beyond so many jobs a line is only called longer.
pub const COUNT_MAX: i64 = 100_000;
/// Most wake-ups of a lane that stand in the outbox when more are put there: its relay is never far behind, and what
/// comes meanwhile is not far behind them.
const OUTSTANDING_MAX: i64 = 5_000;

/// The index is jumped through from one line to the next, however long each is. A kind is the range from `kind:` to
/// `kind;` (the column is compared byte by byte).
const LIST: &str = "WITH RECURSIVE lines AS ( \
         (SELECT waits_for FROM facteur.jobs WHERE waits_for >= $1::text || ':' AND waits_for < $1::text || ';' \
          ORDER BY waits_for LIMIT 1) \
         UNION ALL \
         SELECT (SELECT j.waits_for FROM facteur.jobs j WHERE j.waits_for > l.waits_for \
                   AND j.waits_for < $1::text || ';' ORDER BY j.waits_for LIMIT 1) \
         FROM lines l WHERE l.waits_for IS NOT NULL) \
     SELECT waits_for FROM lines WHERE waits_for IS NOT NULL LIMIT $2";

const COUNT: &str = "SELECT count(*) FROM (SELECT FROM facteur.jobs \
         WHERE waits_for >= $1::text || ':' AND waits_for < $1::text || ';' LIMIT $2) AS n";

/// The rows keep their place for the case that they have to go into another line. One whose job does not wait any more
/// (a receipt told that it was sent) only leaves the line.
///
/// `$5`: seconds of grace before the sweep replaces the wake-up; `$7`: the sentence of the reason.
const RELEASE: &str = "WITH room AS MATERIALIZED (SELECT greatest($4::int8 - count(*), 0) AS free FROM \
         (SELECT FROM facteur.outbox WHERE relay = $2 LIMIT $4) AS outstanding), \
     locked AS (SELECT id, in_line_since, status = 'waiting' AS waits FROM facteur.jobs \
         WHERE waits_for = $1 AND lane = $2 \
         ORDER BY in_line_since LIMIT (SELECT least(free, $3::int8) FROM room) FOR UPDATE SKIP LOCKED), \
     gone AS (UPDATE facteur.jobs j SET waits_for = NULL \
         WHERE j.id = ANY (ARRAY(SELECT id FROM locked WHERE NOT waits))), \
     moved AS (UPDATE facteur.jobs j SET waits_for = NULL, reason = $6, sentence = $7, not_before = NULL, \
             due_at = least(j.deadline, clock_timestamp() + $5::float8 * interval '1 second'), \
             updated_at = clock_timestamp() \
         WHERE j.id = ANY (ARRAY(SELECT id FROM locked WHERE waits)) RETURNING j.id, j.turn, j.lane, j.in_line_since), \
     woken AS (INSERT INTO facteur.outbox (relay, exchange, routing_key, message_id, kind, headers, body) \
         SELECT v.lane, 'jobs', 'send.' || v.lane, v.id, 'facteur.job.v1', \
                m.headers || jsonb_build_object('facteur-turn', v.turn), m.document \
         FROM moved v CROSS JOIN LATERAL (SELECT headers, document FROM facteur.messages WHERE id = v.id LIMIT 1) m \
         ORDER BY v.in_line_since, v.id) \
     SELECT count(*) FROM locked";

/// What the jobs of a line wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineKind {
    /// The rate of a sender.
    Rate,
    /// A breaker.
    Breaker,
    /// A pause.
    Pause,
    /// A budget.
    Budget,
}

impl LineKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Rate, Self::Breaker, Self::Pause, Self::Budget];

    /// The word that the keys of its lines begin with.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Breaker => "breaker",
            Self::Pause => "pause",
            Self::Budget => "budget",
        }
    }
}

/// The lines of a kind in which somebody stands; at most 10,000. Those that only a newer release knows are left out.
///
/// # Errors
/// The database's, classified.
pub async fn list(database: &Database, kind: LineKind) -> Result<Vec<Hold>, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(LIST).await.map_err(classify)?;
    let rows = client.query(&statement, &[&kind.as_str(), &LINES_MAX]).await.map_err(classify)?;
    Ok(rows.iter().filter_map(|row| Hold::parse(row.get(0))).collect())
}

/// How many jobs stand in the lines of a kind; counted up to [`COUNT_MAX`].
///
/// # Errors
/// The database's, classified.
pub async fn count(database: &Database, kind: LineKind) -> Result<i64, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(COUNT).await.map_err(classify)?;
    Ok(client.query_one(&statement, &[&kind.as_str(), &COUNT_MAX]).await.map_err(classify)?.get(0))
}

/// Why a job of that line goes on. A breaker lets some through as trials before it closes.
fn released_because(hold: &Hold) -> &'static str {
    match hold {
        Hold::Rate(_) => "its sender's rate lets it through",
        Hold::Breaker(_) => "the breaker lets it through",
        Hold::Pause(_) => "the pause has ended",
        Hold::Budget(_) => "its tenant has segments again",
    }
}

/// Lets at most `limit` (1 to 1,000) jobs out of a line, the urgent lane first and in each the oldest first: their
/// wake-ups go into the outbox. A lane whose outbox holds 5,000 rows has to carry those first. Returns how many were let
/// out; fewer than `limit` if the line is empty, or has to wait for the outbox.
///
/// # Errors
/// The database's, classified.
pub async fn release(database: &Database, hold: &Hold, limit: i64) -> Result<i64, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(RELEASE).await.map_err(classify)?;
    let (line, limit) = (hold.to_string(), limit.clamp(1, DUTY_ROWS_MAX));
    let (grace_s, reason) = (WAKE_UP_GRACE.as_secs_f64(), ReasonCode::Resumed.as_str());
    let sentence = released_because(hold);
    let mut released = 0;
    for lane in Lane::ALL {
        let left = limit - released;
        if left > 0 {
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
                [&line, &lane.as_str(), &left, &OUTSTANDING_MAX, &grace_s, &reason, &sentence];
            let row = client.query_one(&statement, &parameters).await.map_err(classify)?;
            released += row.get::<_, i64>(0);
        }
    }
    Ok(released)
}
