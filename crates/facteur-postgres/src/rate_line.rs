//! The lines of senders: whose messages wait for a slot. A line is pulled by the limiter: a pull takes the next messages
//! out of it together with their places on the sender's clock, in one statement.

use bytes::Bytes;
use facteur_core::Timestamp;
use facteur_core::envelope::{EnvelopeContent, HEADER_TURN, HeaderValue, Headers};
use facteur_core::gcra::{self, Rate};
use facteur_core::hold::Hold;
use facteur_core::lane::Lane;
use facteur_core::ledger::{Capacity, Pull, PulledJob};
use facteur_core::limits::{DUTY_ROWS_MAX, SLOT_LOOKAHEAD, WAKE_UP_GRACE};
use facteur_core::sender::Sender;
use tokio_postgres::Row;
use tokio_postgres::types::{Json, ToSql};
use uuid::Uuid;

use crate::batch_error::{BatchFailure, classify};
use crate::pool::{Client, Database};
use crate::slots::{self, clock};

/// Most jobs of one lane in one pull.
pub const PULL_JOBS_MAX: u32 = 64;

/// The next of one lane. Whose deadline has passed is left to the sweep.
macro_rules! next_of {
    ($lane:literal, $capacity:literal) => {
        concat!(
            $lane,
            " AS MATERIALIZED (SELECT id, in_line_since FROM facteur.jobs \
                 WHERE waits_for = $5 AND lane = '",
            $lane,
            "' AND status = 'waiting' AND deadline > clock_timestamp() \
                 ORDER BY in_line_since \
                 LIMIT (SELECT least(slots, ",
            $capacity,
            "::int8) FROM room) FOR UPDATE SKIP LOCKED)"
        )
    };
}

/// Takes the next messages, from what `room` says of the clock: urgent ones first, then three normal ones for each of
/// bulk. `$5` is the line, `$6` to `$8` the capacity of the lanes, `$9` where in these turns of four the pull begins,
/// `$10` the seconds after which the sweep wakes what was pulled and came to nothing.
macro_rules! pull {
    () => {
        concat!(
            next_of!("urgent", "$6"),
            ", ",
            next_of!("normal", "$7"),
            ", ",
            next_of!("bulk", "$8"),
            ", ranked AS (SELECT 'urgent' AS lane, id, row_number() OVER (ORDER BY in_line_since) - 1 AS rank FROM urgent \
                 UNION ALL SELECT 'normal', id, row_number() OVER (ORDER BY in_line_since) - 1 FROM normal \
                 UNION ALL SELECT 'bulk', id, row_number() OVER (ORDER BY in_line_since) - 1 FROM bulk), \
             ordered AS (SELECT lane, id, CASE lane WHEN 'urgent' THEN rank - 1000000 \
                     WHEN 'normal' THEN rank + (rank + $9::int8) / 3 ELSE 4 * rank + 3 - $9::int8 END AS turn_of_lane \
                 FROM ranked), \
             placed AS (SELECT o.*, m.document, m.headers, greatest(m.segments, 1) AS segments, \
                     coalesce(sum(greatest(m.segments, 1)) OVER (ORDER BY o.turn_of_lane \
                         ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)::float8 AS before \
                 FROM ordered o JOIN facteur.messages m USING (id)), \
             chosen AS MATERIALIZED (SELECT p.*, r.place + p.before / $2::float8 * interval '1 second' AS place FROM placed p, room r \
                 WHERE r.place IS NULL OR r.place + p.before / $2::float8 * interval '1 second' <= r.place_max), \
             moved AS (UPDATE facteur.jobs j SET waits_for = NULL, \
                     due_at = clock_timestamp() + $10::float8 * interval '1 second' \
                 FROM chosen c WHERE j.id = c.id RETURNING j.id, j.turn)"
        )
    };
}

/// A changed rate is written down also if nobody gets a place now: what lies ahead is stretched or shortened once.
const PULL: &str = concat!(
    clock!(),
    ", room AS MATERIALIZED (SELECT now, place, \
             now + $11::float8 * interval '1 second' AS place_max, \
             greatest(0, floor((extract(epoch FROM now - place)::float8 + $11::float8) * $2::float8) + 1)::int8 AS slots \
         FROM clock), ",
    pull!(),
    ", advanced AS (UPDATE facteur.rate_slots s SET rate = $2, \
             tat = r.place + coalesce((SELECT sum(segments) FROM chosen), 0) / $2::float8 * interval '1 second' \
         FROM room r WHERE s.sender = $1 AND (s.rate <> $2 OR EXISTS (SELECT FROM chosen))) \
     SELECT r.now, r.slots, r.place + coalesce((SELECT sum(segments) FROM chosen), 0) / $2::float8 * interval '1 second' AS tat, \
            (SELECT count(*) FROM urgent) AS urgent, (SELECT count(*) FROM normal) AS normal, \
            (SELECT count(*) FROM bulk) AS bulk, pg_postmaster_start_time() AS server_started_at, \
            c.id, c.lane, c.document, c.headers, c.place, m.turn \
     FROM room r LEFT JOIN (chosen c JOIN moved m USING (id)) ON true ORDER BY c.turn_of_lane"
);

/// Of a sender that has no limit (any more): as many as there is capacity for. `$1` to `$4` say nothing.
const PULL_FREELY: &str = concat!(
    "WITH room AS MATERIALIZED (SELECT clock_timestamp() AS now, NULL::timestamptz AS place, NULL::timestamptz AS place_max, $11::float8::int8 AS slots \
         WHERE $1::text IS NOT NULL AND $2::float8 IS NULL AND $3::float8 IS NULL AND $4::timestamptz IS NULL), ",
    pull!(),
    " SELECT r.now, r.slots, NULL::timestamptz AS tat, \
            (SELECT count(*) FROM urgent) AS urgent, (SELECT count(*) FROM normal) AS normal, \
            (SELECT count(*) FROM bulk) AS bulk, pg_postmaster_start_time() AS server_started_at, \
            c.id, c.lane, c.document, c.headers, c.place, m.turn \
     FROM room r LEFT JOIN (chosen c JOIN moved m USING (id)) ON true ORDER BY c.turn_of_lane"
);

/// One look into the index for each line and lane, however many jobs stand there.
const LINES: &str = "WITH RECURSIVE line AS ( \
         (SELECT waits_for, lane FROM facteur.jobs WHERE waits_for IS NOT NULL ORDER BY waits_for, lane LIMIT 1) \
         UNION ALL SELECT n.waits_for, n.lane FROM line l, LATERAL ( \
             SELECT j.waits_for, j.lane FROM facteur.jobs j \
             WHERE j.waits_for IS NOT NULL AND (j.waits_for, j.lane) > (l.waits_for, l.lane) \
             ORDER BY j.waits_for, j.lane LIMIT 1) n) \
     SELECT waits_for, lane FROM line LIMIT $1";

/// Most lines that are listed at once.
const LINES_MAX: i64 = 30_000;

/// The lines of senders, as the limiter sees them.
#[derive(Debug, Clone)]
pub struct RateLines {
    database: Database,
}

impl RateLines {
    /// The lines in that database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// Takes the next messages of a sender out of its line, at most so many of each lane, as long as their places begin
    /// within [`SLOT_LOOKAHEAD`]; of a sender without a rate, as many as there is capacity for. Nothing gets a place
    /// before `not_before`. `draw`, from 0 up to 1, says where the turns of normal and bulk begin.
    ///
    /// # Errors
    /// The database's, classified. If it is unknown whether the pull happened, the sweep wakes what was pulled.
    pub async fn pull(
        &self,
        sender: &Sender,
        rate: Option<Rate>,
        capacity: Capacity,
        draw: f64,
        not_before: Option<Timestamp>,
    ) -> Result<Pull, BatchFailure> {
        let client = self.database.client().await?;
        let sql = if rate.is_some() { PULL } else { PULL_FREELY };
        let statement = client.prepare_cached(sql).await.map_err(classify)?;
        let per_second = rate.map(Rate::as_per_second);
        let ahead_max_s = rate.map(|rate| gcra::ahead_max(rate).as_secs_f64());
        let reach = if rate.is_some() { SLOT_LOOKAHEAD.as_secs_f64() } else { f64::from(PULL_JOBS_MAX) };
        let [urgent, normal, bulk] = Lane::ALL.map(|lane| i64::from(capacity.of(lane).min(PULL_JOBS_MAX)));
        let turn = (draw.clamp(0.0, 1.0) * 4.0).floor().min(3.0) as i64;
        let line = Hold::Rate(sender.clone()).to_string();
        let not_before = not_before.filter(|_| rate.is_some());
        let parameters: [&(dyn ToSql + Sync); 11] = [
            &sender.as_str(),
            &per_second,
            &ahead_max_s,
            &not_before,
            &line,
            &urgent,
            &normal,
            &bulk,
            &turn,
            &WAKE_UP_GRACE.as_secs_f64(),
            &reach,
        ];
        loop {
            let rows = client.query(&statement, &parameters).await.map_err(classify)?;
            match (rows.first(), rate) {
                (Some(first), _) => return Ok(read(first, &rows, capacity)),
                (None, Some(rate)) => slots::create(&client, sender, rate).await?,
                (None, None) => return Err(BatchFailure::Data("a pull gave no answer".to_owned())),
            }
        }
    }

    /// Every line of a sender in which somebody waits, with the lanes of those who do.
    ///
    /// # Errors
    /// The database's, classified.
    pub async fn list(&self) -> Result<Vec<(Sender, Lane)>, BatchFailure> {
        let client = self.database.client().await?;
        let statement = client.prepare_cached(LINES).await.map_err(classify)?;
        let rows = client.query(&statement, &[&LINES_MAX]).await.map_err(classify)?;
        let line = |row: &Row| match (Hold::parse(row.get("waits_for")), Lane::from_name(row.get("lane"))) {
            (Some(Hold::Rate(sender)), Some(lane)) => Some((sender, lane)),
            _ => None,
        };
        Ok(rows.iter().filter_map(line).collect())
    }
}

/// A look at so many of those before it, and no more.
const STANDING: &str = "SELECT (SELECT rate FROM facteur.rate_slots WHERE sender = $4) AS rate, \
         (SELECT count(*) FROM (SELECT FROM facteur.jobs j WHERE j.waits_for = $1 AND j.lane = $2 \
              AND j.in_line_since < $3 LIMIT $5) AS before) AS ahead";

/// Most of those before a job who are counted.
pub const AHEAD_MAX: i64 = 10_000;

/// Where a job stands in a line.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// What the line waits for, as stored.
    pub line: String,
    /// How many of its lane stand before it; [`AHEAD_MAX`] stands for more, too.
    pub ahead: i64,
    /// The rate of the sender for which it waits, in segments a second.
    pub per_second: Option<f64>,
}

/// Where a job of `lane` stands that joined `line` then.
pub(crate) async fn standing(
    client: &Client,
    line: String,
    lane: &str,
    since: Option<Timestamp>,
) -> Result<Standing, BatchFailure> {
    let statement = client.prepare_cached(STANDING).await.map_err(classify)?;
    let sender = line.strip_prefix("rate:").unwrap_or_default();
    let parameters: [&(dyn ToSql + Sync); 5] = [&line, &lane, &since, &sender, &AHEAD_MAX];
    let row = client.query_one(&statement, &parameters).await.map_err(classify)?;
    Ok(Standing { ahead: row.get("ahead"), per_second: row.get("rate"), line })
}

fn read(first: &Row, rows: &[Row], capacity: Capacity) -> Pull {
    let (room, jobs): (i64, Vec<PulledJob>) = (first.get("slots"), rows.iter().filter_map(job).collect());
    // Fewer were found than were asked for, and each of them got a place.
    let is_exhausted = |lane: &Lane| {
        let asked = i64::from(capacity.of(*lane).min(PULL_JOBS_MAX)).min(room);
        let found: i64 = first.get(lane.as_str());
        found < asked && found == jobs.iter().filter(|job| job.lane == *lane).count() as i64
    };
    let exhausted = Lane::ALL.into_iter().filter(is_exhausted).collect();
    Pull { reading: slots::reading(first), jobs, tat: first.get("tat"), exhausted }
}

fn job(row: &Row) -> Option<PulledJob> {
    let id = row.get::<_, Option<Uuid>>("id")?;
    let lane = Lane::from_name(row.get("lane"))?;
    let Json(mut headers): Json<Headers> = row.get("headers");
    headers.insert(HEADER_TURN.to_owned(), HeaderValue::Int(row.get::<_, i32>("turn").into()));
    let content = EnvelopeContent {
        body: Bytes::from(row.get::<_, Vec<u8>>("document")),
        routing_key: lane.routing_key().to_owned(),
        message_id: Some(id.to_string()),
        content_type: Some("application/json".to_owned()),
        kind: Some("facteur.job.v1".to_owned()),
        headers,
        ..EnvelopeContent::default()
    };
    Some(PulledJob { lane, content, place: row.get("place") })
}

const _: () = assert!(3 * PULL_JOBS_MAX as i64 <= DUTY_ROWS_MAX);
