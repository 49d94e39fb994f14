//! Budgets: the segments that a tenant may send in one day of its time zone.
//!
//! A job is counted once, by the claim of its first call, however often it is tried after that: an outage costs no
//! budget. The counter of tenant and day is locked from here to the claim's commit, so that no two claims spend the
//! same segments. What does not fit is given back and stands in the line `budget:<tenant>` until midnight, until the
//! budget is raised, or until it expires.

use std::collections::{BTreeMap, HashSet};

use deadpool_postgres::GenericClient;
use facteur_core::ids::{JobId, Tenant};
use facteur_core::ledger::JobRow;
use facteur_core::limits::WAKE_UP_GRACE;
use facteur_core::reason::ReasonCode;
use jiff::civil::Date;
use serde_json::json;
use tokio_postgres::types::{Json, ToSql};
use uuid::Uuid;

use crate::batch_error::{BatchFailure, classify};
use crate::pool::Database;

/// Locks the counters of these tenants' present days, in the order of tenants. A tenant without a budget has none.
const OPEN: &str = "WITH today AS MATERIALIZED (SELECT t.* FROM unnest($1::text[]) AS asked(slug) CROSS JOIN LATERAL \
         (SELECT slug, segments_per_day, (clock_timestamp() AT TIME ZONE time_zone)::date AS day \
          FROM facteur.tenants WHERE slug = asked.slug AND segments_per_day IS NOT NULL LIMIT 1) t), \
     opened AS (INSERT INTO facteur.tenant_usage AS u (tenant, day) SELECT slug, day FROM today ORDER BY slug \
         ON CONFLICT (tenant, day) DO UPDATE SET segments = u.segments RETURNING tenant, day, segments) \
     SELECT o.tenant, o.day, o.segments, t.segments_per_day FROM opened o JOIN today t ON t.slug = o.tenant";

/// Writes what was spent, marks the jobs that were counted, and gives back those that did not fit.
const CLOSE: &str = "WITH spent AS (INSERT INTO facteur.tenant_usage (tenant, day, segments) \
         SELECT * FROM unnest($1::text[], $2::date[], $3::int8[]) \
         ON CONFLICT (tenant, day) DO UPDATE SET segments = excluded.segments), \
     counted AS (UPDATE facteur.jobs SET counted_on = ($4::jsonb ->> tenant)::date WHERE id = ANY ($5::uuid[])) \
     UPDATE facteur.jobs SET status = 'waiting', reason = $7, sentence = NULL, attempt = attempt - 1, \
         claim_token = NULL, not_before = NULL, updated_at = clock_timestamp(), \
         due_at = clock_timestamp() + $8::float8 * interval '1 second' \
     WHERE id = ANY ($6::uuid[])";

/// What is left of a tenant's day, and what those at the head of its line cost, lane by lane.
const ROOM: &str = "SELECT t.segments_per_day - coalesce((SELECT u.segments FROM facteur.tenant_usage u \
         WHERE u.tenant = t.slug AND u.day = (clock_timestamp() AT TIME ZONE t.time_zone)::date), 0) AS room, \
         (SELECT m.segments FROM unnest($2::text[]) WITH ORDINALITY AS l(lane, nth) CROSS JOIN LATERAL \
             (SELECT id FROM facteur.jobs WHERE waits_for = $3 AND lane = l.lane ORDER BY in_line_since LIMIT 1) j \
             CROSS JOIN LATERAL (SELECT segments FROM facteur.messages WHERE id = j.id LIMIT 1) m \
             ORDER BY l.nth LIMIT 1) AS head \
     FROM facteur.tenants t WHERE t.slug = $1 AND t.segments_per_day IS NOT NULL";

const USAGE: &str =
    "SELECT day, segments FROM facteur.tenant_usage WHERE tenant = $1 ORDER BY day DESC LIMIT $2";

/// A counter of one tenant's day.
struct Day {
    date: Date,
    spent: i64,
    most: i64,
}

/// Counts jobs whose claims were granted in this transaction, in their order, and gives back those that don't fit any
/// more; returns these.
pub(crate) async fn count(
    client: &impl GenericClient,
    granted: &[&JobRow],
) -> Result<HashSet<JobId>, BatchFailure> {
    if granted.is_empty() {
        return Ok(HashSet::new());
    }
    let mut days = open(client, granted).await?;
    let (mut counted, mut beyond) = (Vec::new(), Vec::new());
    for row in granted {
        let Some(day) = days.get_mut(row.tenant.as_str()) else { continue };
        let spent = day.spent.saturating_add(i64::from(row.segments));
        if spent <= day.most {
            day.spent = spent;
            counted.push(row.id.0);
        } else {
            beyond.push(row.id.0);
        }
    }
    close(client, &days, &counted, &beyond).await?;
    Ok(beyond.into_iter().map(JobId).collect())
}

async fn open(
    client: &impl GenericClient,
    granted: &[&JobRow],
) -> Result<BTreeMap<String, Day>, BatchFailure> {
    let mut tenants: Vec<&str> = granted.iter().map(|row| row.tenant.as_str()).collect();
    tenants.sort_unstable();
    tenants.dedup();
    let statement = client.prepare_cached(OPEN).await.map_err(classify)?;
    let rows = client.query(&statement, &[&tenants]).await.map_err(classify)?;
    let day = |row: &tokio_postgres::Row| Day {
        date: row.get("day"),
        spent: row.get("segments"),
        most: i64::from(row.get::<_, i32>("segments_per_day")),
    };
    Ok(rows.iter().map(|row| (row.get("tenant"), day(row))).collect())
}

async fn close(
    client: &impl GenericClient,
    days: &BTreeMap<String, Day>,
    counted: &[Uuid],
    beyond: &[Uuid],
) -> Result<(), BatchFailure> {
    let tenants: Vec<&str> = days.keys().map(String::as_str).collect();
    let dates: Vec<Date> = days.values().map(|day| day.date).collect();
    let spent: Vec<i64> = days.values().map(|day| day.spent).collect();
    let by_tenant = days.iter().map(|(tenant, day)| (tenant.clone(), json!(day.date)));
    let by_tenant = Json(by_tenant.collect::<serde_json::Map<_, _>>());
    let (reason, grace_s) = (ReasonCode::BudgetExceeded.as_str(), WAKE_UP_GRACE.as_secs_f64());
    let statement = client.prepare_cached(CLOSE).await.map_err(classify)?;
    let parameters: [&(dyn ToSql + Sync); 8] =
        [&tenants, &dates, &spent, &by_tenant, &counted, &beyond, &reason, &grace_s];
    client.execute(&statement, &parameters).await.map_err(classify)?;
    Ok(())
}

/// How many jobs may be let out of a tenant's line now: as many as segments are left, none while the first of them does
/// not fit, and all if there is no budget any more.
///
/// # Errors
/// The database's, classified.
pub async fn room(database: &Database, tenant: &Tenant) -> Result<i64, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(ROOM).await.map_err(classify)?;
    let line = facteur_core::hold::Hold::Budget(tenant.clone()).to_string();
    let lanes = facteur_core::lane::Lane::ALL.map(facteur_core::lane::Lane::as_str).to_vec();
    let row = client.query_opt(&statement, &[&tenant.as_str(), &lanes, &line]).await.map_err(classify)?;
    let Some(row) = row else { return Ok(i64::MAX) };
    let (room, head): (i64, Option<i32>) = (row.get("room"), row.get("head"));
    Ok(if head.is_some_and(|head| i64::from(head) <= room) { room } else { 0 })
}

/// What a tenant has spent on one of its days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// The day, in the tenant's time zone.
    pub day: Date,
    /// Segments of the jobs whose first call was claimed on that day while the tenant had a budget.
    pub segments: i64,
}

/// The latest days of a tenant on which something was counted, the latest first.
///
/// # Errors
/// The database's, classified.
pub async fn usage(database: &Database, tenant: &Tenant, days_max: i64) -> Result<Vec<Usage>, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(USAGE).await.map_err(classify)?;
    let rows = client.query(&statement, &[&tenant.as_str(), &days_max]).await.map_err(classify)?;
    Ok(rows.iter().map(|row| Usage { day: row.get("day"), segments: row.get("segments") }).collect())
}
