//! Pacing: one clock per sender, in one row, shared by all workers. The arithmetic is that of
//! `facteur_core::gcra`; the row lock puts the reservations of all workers in a line.

use facteur_core::Timestamp;
use facteur_core::gcra::{self, Ask, Rate, Reservation};
use facteur_core::hold::Hold;
use facteur_core::lane::Lane;
use facteur_core::ledger::{ClockReading, Reserved};
use facteur_core::sender::Sender;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::batch_error::{BatchFailure, classify};
use crate::pool::Client;

/// The statement part that locks a sender's clock and reads it: `$1` is the sender, `$2` its rate, `$3` how far ahead
/// the clock can be in seconds, `$4` the first instant that is to be trusted. At another rate than before, what lies
/// ahead takes another time.
macro_rules! clock {
    () => {
        "WITH locked AS MATERIALIZED (SELECT rate, tat, debts FROM facteur.rate_slots \
             WHERE sender = $1 FOR UPDATE), \
         seen AS MATERIALIZED (SELECT l.*, clock_timestamp() AS now FROM locked l), \
         clock AS MATERIALIZED (SELECT now, debts, greatest(now, $4::timestamptz, now + interval '1 second' \
                 * least(extract(epoch FROM tat - now)::float8 * (rate / $2::float8), $3::float8)) AS place \
             FROM seen)"
    };
}
pub(crate) use clock;

/// `$5`: segments; `$6`: block; `$7`: horizon in seconds; `$8`: the most that may be owed with this message, 0 for
/// nothing; `$9` and `$10`: the line and its lanes, behind which the message belongs; no line, if behind none.
/// `excess` is how many of those owed have to be repaid before it may leave.
const RESERVE: &str = concat!(
    clock!(),
    ", asked AS MATERIALIZED (SELECT c.*, EXISTS (SELECT FROM facteur.jobs j \
             WHERE j.waits_for = $9 AND j.lane = ANY ($10::text[])) AS has_line, \
             ARRAY(SELECT debt FROM unnest(c.debts) AS debt \
                 WHERE debt > c.now AND debt <= c.now + $3::float8 * interval '1 second' ORDER BY debt) AS owed \
         FROM clock c), \
     weighed AS MATERIALIZED (SELECT a.*, cardinality(owed) + $5::int4 - $8::int4 AS excess FROM asked a), \
     judged AS MATERIALIZED (SELECT w.*, CASE \
             WHEN place <= now THEN 'idle' \
             WHEN excess > $8::int4 OR NOT coalesce($4::timestamptz <= now, true) THEN NULL \
             WHEN excess <= 0 THEN 'owed' \
             WHEN owed[excess] <= now + $7::float8 * interval '1 second' AND NOT has_line THEN 'owed' \
             END AS early FROM weighed w), \
     counted AS MATERIALIZED (SELECT j.*, coalesce(early, CASE \
             WHEN place <= now + $7::float8 * interval '1 second' AND NOT has_line THEN 'ahead' \
             ELSE 'full' END) AS verdict, \
             CASE WHEN early = 'owed' OR has_line THEN $5::int4 ELSE $6::int4 END AS count FROM judged j), \
     moved AS (UPDATE facteur.rate_slots r SET rate = $2, \
             tat = c.place + CASE c.verdict WHEN 'full' THEN 0 ELSE c.count END / $2 * interval '1 second', \
             debts = CASE c.verdict WHEN 'owed' THEN c.owed || array_fill(c.place, ARRAY[c.count]) ELSE r.debts END \
         FROM counted c WHERE r.sender = $1 AND (c.verdict <> 'full' OR r.rate <> $2)) \
     SELECT now, place, CASE WHEN excess > 0 THEN owed[excess] ELSE now END AS owing_from, verdict, count, \
            pg_postmaster_start_time() AS server_started_at FROM counted"
);

const CREATE: &str = "INSERT INTO facteur.rate_slots (sender, rate, tat) VALUES ($1, $2, clock_timestamp()) \
     ON CONFLICT DO NOTHING";

/// Asks a sender's clock for places. Nothing is given before `not_before`.
pub(crate) async fn reserve(
    client: &Client,
    sender: &Sender,
    rate: Rate,
    ask: Ask,
    not_before: Option<Timestamp>,
) -> Result<Reserved, BatchFailure> {
    let needed = count(ask.needed.max(1));
    let owed_max = if ask.may_owe { count(gcra::debt_max(rate, ask.needed)) } else { 0 };
    let lanes: &[Lane] = if ask.may_owe { &[Lane::Urgent] } else { &Lane::ALL };
    let lanes: Vec<&str> = lanes.iter().map(|lane| lane.as_str()).collect();
    let line = (!ask.skips_line).then(|| Hold::Rate(sender.clone()).to_string());
    let statement = client.prepare_cached(RESERVE).await.map_err(classify)?;
    loop {
        let parameters: [&(dyn ToSql + Sync); 10] = [
            &sender.as_str(),
            &rate.as_per_second(),
            &gcra::ahead_max(rate).as_secs_f64(),
            &not_before,
            &needed,
            &count(ask.block).max(needed),
            &ask.horizon.as_secs_f64(),
            &owed_max,
            &line,
            &lanes,
        ];
        if let Some(row) = client.query_opt(&statement, &parameters).await.map_err(classify)? {
            return Ok(Reserved { reading: reading(&row), reservation: reservation(&row) });
        }
        create(client, sender, rate).await?;
    }
}

/// Gives a sender a clock, if it has none.
pub(crate) async fn create(client: &Client, sender: &Sender, rate: Rate) -> Result<(), BatchFailure> {
    let create = client.prepare_cached(CREATE).await.map_err(classify)?;
    client.execute(&create, &[&sender.as_str(), &rate.as_per_second()]).await.map_err(classify)?;
    Ok(())
}

/// What the server said of itself.
pub(crate) fn reading(row: &Row) -> ClockReading {
    ClockReading { now: row.get("now"), server_started_at: row.get("server_started_at") }
}

fn reservation(row: &Row) -> Reservation {
    let place: Timestamp = row.get("place");
    let from = match row.get("verdict") {
        "idle" | "ahead" => place,
        "owed" => row.get("owing_from"),
        _ => return Reservation::Full,
    };
    Reservation::Granted { from, place, count: u32::try_from(row.get::<_, i32>("count")).unwrap_or_default() }
}

fn count(segments: u32) -> i32 {
    i32::try_from(segments).unwrap_or(i32::MAX)
}
