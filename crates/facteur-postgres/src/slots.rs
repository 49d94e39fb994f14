//! Pacing: one clock per sender, in one row, shared by all workers. The arithmetic is that of
//! `facteur_core::gcra`; the row lock puts the reservations of all workers in a line.

use std::time::Duration;

use facteur_core::gcra::{Rate, block_size};
use facteur_core::ledger::Slots;
use facteur_core::limits::SLOT_BLOCK;

use crate::batch_error::{BatchFailure, classify};
use crate::pool::{Client, Database};

const RESERVE: &str = "UPDATE facteur.rate_slots \
     SET tat = greatest(tat, clock_timestamp()) + $2::float8 * interval '1 second' \
     WHERE sender = $1 AND tat <= clock_timestamp() + $3::float8 * interval '1 second' \
     RETURNING extract(epoch FROM tat - clock_timestamp())::float8 - $2::float8 AS first_in_s";

/// A displaced job comes back when those displaced before it have gone; each moves the clock of the
/// displaced on by its cost, so that they return in line instead of all at once.
const DISPLACE: &str = "UPDATE facteur.rate_slots \
     SET displaced_until = greatest(displaced_until, tat, clock_timestamp()) + $2::float8 * interval '1 second' \
     WHERE sender = $1 \
     RETURNING extract(epoch FROM displaced_until - clock_timestamp())::float8 - $2::float8 AS wait_s";

const CREATE: &str = "INSERT INTO facteur.rate_slots (sender, rate, tat, displaced_until) \
     VALUES ($1, $2, clock_timestamp(), clock_timestamp()) ON CONFLICT DO NOTHING";

/// `$1` is the rate of senders that have none of their own. Asked first, and nearly always answered with no: the plan of
/// [`REPACE`] may walk through all that waits before it finds that nothing has changed.
const IS_CHANGED: &str = "SELECT EXISTS (SELECT FROM facteur.rate_slots r \
         LEFT JOIN facteur.senders s ON s.address = r.sender WHERE r.rate IS DISTINCT FROM coalesce(s.rate, $1::float8))";

/// What lies ahead of a clock is worth so many segments;
/// at another rate they take another time, and so do the waits of the jobs that were displaced. A sender without a
/// rate has no clock, and lets its displaced go at once.
const REPACE: &str = "WITH changed AS (SELECT r.sender, r.rate AS old, coalesce(s.rate, $1::float8) AS new \
         FROM facteur.rate_slots r LEFT JOIN facteur.senders s ON s.address = r.sender \
         WHERE r.rate IS DISTINCT FROM coalesce(s.rate, $1::float8) FOR UPDATE OF r SKIP LOCKED), \
     kept AS (UPDATE facteur.rate_slots r SET rate = c.new, \
             tat = clock_timestamp() + greatest(r.tat - clock_timestamp(), interval '0') * (c.old / c.new), \
             displaced_until = clock_timestamp() \
                 + greatest(r.displaced_until - clock_timestamp(), interval '0') * (c.old / c.new) \
         FROM changed c WHERE r.sender = c.sender AND c.new IS NOT NULL), \
     gone AS (DELETE FROM facteur.rate_slots r USING changed c WHERE r.sender = c.sender AND c.new IS NULL), \
     called AS (UPDATE facteur.jobs j SET \
             not_before = clock_timestamp() + (j.not_before - clock_timestamp()) * coalesce(c.old / c.new, 0), \
             due_at = least(j.deadline, \
                 clock_timestamp() + (j.not_before - clock_timestamp()) * coalesce(c.old / c.new, 0)) \
         FROM changed c JOIN facteur.messages m ON m.sender = c.sender \
         WHERE j.id = m.id AND j.status = 'waiting' AND j.reason = 'rate_limit' AND j.not_before > clock_timestamp() \
           AND j.due_at IS NOT NULL) \
     SELECT count(*) FROM changed";

/// Reserves a block of slots for a message of `needed` segments. If none is free within `horizon`, nothing is
/// reserved and the message is given its place among the displaced.
pub(crate) async fn reserve(
    client: &Client,
    sender: &str,
    rate: Rate,
    needed: u32,
    horizon: Duration,
) -> Result<Slots, BatchFailure> {
    let count = block_size(rate, SLOT_BLOCK, needed);
    let block_s = f64::from(count) / rate.as_per_second();
    let horizon_s = horizon.as_secs_f64();
    let reserve = client.prepare_cached(RESERVE).await.map_err(classify)?;
    loop {
        if let Some(row) =
            client.query_opt(&reserve, &[&sender, &block_s, &horizon_s]).await.map_err(classify)?
        {
            let first_in = seconds(row.get("first_in_s"));
            return Ok(Slots::Granted { first_in, period: rate.period(), count });
        }
        // No row was moved: either the clock is beyond the horizon, or the sender has none yet.
        if !create(client, sender, rate).await? {
            return Ok(Slots::Displaced { wait: displace(client, sender, rate, needed).await? });
        }
    }
}

/// Moves the clock of the sender's displaced on by one message, and says when that message may come back.
pub(crate) async fn displace(
    client: &Client,
    sender: &str,
    rate: Rate,
    needed: u32,
) -> Result<Duration, BatchFailure> {
    let cost_s = f64::from(needed.max(1)) / rate.as_per_second();
    let displace = client.prepare_cached(DISPLACE).await.map_err(classify)?;
    loop {
        if let Some(row) = client.query_opt(&displace, &[&sender, &cost_s]).await.map_err(classify)? {
            return Ok(seconds(row.get("wait_s")));
        }
        create(client, sender, rate).await?;
    }
}

/// Lets changed rates act on what waits for them. Returns how many senders were changed.
///
/// # Errors
/// The database's, classified.
pub async fn repace(database: &Database, default_rate: Option<Rate>) -> Result<i64, BatchFailure> {
    let client = database.client().await?;
    let default_rate = default_rate.map(Rate::as_per_second);
    let is_changed = client.prepare_cached(IS_CHANGED).await.map_err(classify)?;
    if !client.query_one(&is_changed, &[&default_rate]).await.map_err(classify)?.get::<_, bool>(0) {
        return Ok(0);
    }
    let repace = client.prepare_cached(REPACE).await.map_err(classify)?;
    Ok(client.query_one(&repace, &[&default_rate]).await.map_err(classify)?.get(0))
}

/// Whether the sender had no clock and has one now.
async fn create(client: &Client, sender: &str, rate: Rate) -> Result<bool, BatchFailure> {
    let create = client.prepare_cached(CREATE).await.map_err(classify)?;
    Ok(client.execute(&create, &[&sender, &rate.as_per_second()]).await.map_err(classify)? == 1)
}

/// A slot of the past few microseconds is one of now.
fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value.max(0.0)).unwrap_or_default()
}
