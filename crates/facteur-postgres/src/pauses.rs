//! Pauses: what a person keeps back, why, and until when. The claim asks this table, so a pause holds from its commit on.

use std::time::Duration;

use deadpool_postgres::GenericClient;
use facteur_core::Timestamp;
use facteur_core::hold::{Hold, Scope};
use serde_json::json;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::acts::{By, note};
use crate::audit::ALL_TENANTS;
use crate::batch_error::{BatchFailure, classify};
use crate::pool::{Client, Database};
use crate::words::{ACTOR_CHARS_MAX, check_words};

/// Longest reason, in characters.
const REASON_CHARS_MAX: usize = 500;
/// Furthest end.
const AHEAD_MAX: Duration = Duration::from_hours(366 * 24);
/// Most pauses at one time.
const OPEN_MAX: i64 = 1_000;
/// Jobs of a line are counted up to this.
pub const COUNT_MAX: i64 = 100_000;
/// Jobs that expire within this time are called near their end.
pub const NEAR: Duration = Duration::from_hours(1);

const NOW: &str = "SELECT clock_timestamp() AS now, \
         (SELECT count(*) FROM (SELECT FROM facteur.pauses WHERE ended_at IS NULL LIMIT $1) AS n) AS open";

/// Closes those whose end has passed; a duty does it too, but a new pause must not wait for it.
const CLOSE_ENDED: &str = "UPDATE facteur.pauses SET ended_at = until, ended_by = 'its end' \
     WHERE id IN (SELECT id FROM facteur.pauses WHERE ended_at IS NULL AND until <= clock_timestamp() \
                  ORDER BY id FOR UPDATE SKIP LOCKED) \
     RETURNING scope, key, reason, actor, until, created_at";

const PAUSE: &str = "INSERT INTO facteur.pauses (scope, key, reason, actor, until) VALUES ($1, $2, $3, $4, $5) \
     ON CONFLICT (scope, key) WHERE ended_at IS NULL \
         DO UPDATE SET reason = excluded.reason, actor = excluded.actor, until = excluded.until \
     RETURNING scope, key, reason, actor, until, created_at, (xmax <> 0) AS was_open";

const RESUME: &str = "UPDATE facteur.pauses SET ended_at = clock_timestamp(), ended_by = $3, ended_why = $4 \
     WHERE scope = $1 AND key = $2 AND ended_at IS NULL AND (until IS NULL OR until > clock_timestamp()) \
     RETURNING scope, key, reason, actor, until, created_at";

const OPEN: &str = "SELECT scope, key, reason, actor, until, created_at FROM facteur.pauses \
     WHERE ended_at IS NULL AND (until IS NULL OR until > clock_timestamp()) ORDER BY created_at, id";

/// A bulk is its tenant's, or of whom its messages are where it has no row.
const OPEN_TO: &str = "SELECT p.scope, p.key, p.reason, p.actor, p.until, p.created_at FROM facteur.pauses p \
     WHERE p.ended_at IS NULL AND (p.until IS NULL OR p.until > clock_timestamp()) \
       AND ($1::text IS NULL OR CASE p.scope WHEN 'tenant' THEN p.key = $1 WHEN 'sender' THEN true \
           WHEN 'bulk' THEN coalesce((SELECT b.tenant FROM facteur.bulks b WHERE b.id = p.key::uuid), \
               (SELECT min(m.tenant) FROM facteur.messages m WHERE m.bulk_id IS NOT NULL AND m.bulk_id = p.key::uuid \
                HAVING min(m.tenant) = max(m.tenant))) = $1 \
           ELSE false END) \
     ORDER BY p.created_at, p.id";

const OF_SCOPE: &str = "SELECT scope, key, reason, actor, until, created_at FROM facteur.pauses \
     WHERE scope = $1 AND key = $2 AND ended_at IS NULL AND (until IS NULL OR until > clock_timestamp())";

/// Read along the index, so that a long line costs no more than what is counted.
const LINE: &str = "SELECT count(*) AS waiting, \
         count(*) FILTER (WHERE deadline <= clock_timestamp() + $3::float8 * interval '1 second') AS near_end \
     FROM (SELECT deadline FROM facteur.jobs WHERE waits_for = $1 LIMIT $2) AS line";

const IS_SEEN: &str = "SELECT EXISTS (SELECT FROM facteur.messages WHERE bulk_id IS NOT NULL AND bulk_id = $1::uuid) \
     OR EXISTS (SELECT FROM facteur.messages WHERE tenant = $2::text)";

/// When a pause ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PauseEnd {
    /// Never: only when somebody resumes.
    Open,
    /// After this time, by the database's clock.
    After(Duration),
    /// At this instant.
    At(Timestamp),
}

/// Whom a pause concerns, for the audit log; nobody in particular for a lane.
const WHOSE: &str = "SELECT CASE $1::text WHEN 'tenant' THEN $2::text \
         WHEN 'sender' THEN (SELECT tenant FROM facteur.senders WHERE address = $2) \
         WHEN 'integration' THEN coalesce((SELECT tenant FROM facteur.integrations WHERE id = $3::uuid), \
             (SELECT tenant FROM facteur.accounts WHERE sid = $2)) \
         WHEN 'bulk' THEN coalesce((SELECT tenant FROM facteur.bulks WHERE id = $3), \
             (SELECT tenant FROM facteur.messages WHERE bulk_id IS NOT NULL AND bulk_id = $3 LIMIT 1)) END";

/// A pause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// What is paused.
    pub scope: Scope,
    /// Why.
    pub reason: String,
    /// By whom.
    pub actor: String,
    /// When it ends by itself, if it does.
    pub until: Option<Timestamp>,
    /// Since when.
    pub created_at: Timestamp,
}

/// A pause and its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PauseLine {
    /// The pause.
    pub pause: Pause,
    /// Jobs in its line; at most [`COUNT_MAX`] are counted.
    pub waiting: i64,
    /// How many of those expire within [`NEAR`].
    pub near_end: i64,
}

/// Pauses, from the commit on: what is claimed already still leaves, nothing else does. What is paused already gets the
/// new reason and end. Returns the pause, and whether it stood before.
///
/// # Errors
/// [`BatchFailure::Data`] with a sentence if reason or end are not as they must be, or there are 1,000 pauses already;
/// otherwise the database's, classified.
pub async fn pause(
    database: &Database,
    scope: &Scope,
    reason: &str,
    by: impl Into<By<'_>>,
    end: PauseEnd,
) -> Result<(Pause, bool), BatchFailure> {
    let by = by.into();
    let mut client = database.client().await?;
    close_with(&client).await?;
    let transaction = client.transaction().await.map_err(classify)?;
    let (pause, was_open) = pause_within(&transaction, scope, reason, by.actor, end).await?;
    let details = json!({
        "scope": scope.kind(), "reason": reason, "until": pause.until.map(|until| until.to_string())
    });
    tell(&transaction, by, "pause_set", scope, details).await?;
    transaction.commit().await.map_err(classify)?;
    Ok((pause, was_open))
}

/// Pauses within a transaction; the caller tells the audit log.
pub(crate) async fn pause_within(
    client: &impl GenericClient,
    scope: &Scope,
    reason: &str,
    actor: &str,
    end: PauseEnd,
) -> Result<(Pause, bool), BatchFailure> {
    check_words("reason", reason, REASON_CHARS_MAX)?;
    check_words("actor", actor, ACTOR_CHARS_MAX)?;
    let statement = client.prepare_cached(NOW).await.map_err(classify)?;
    let row = client.query_one(&statement, &[&OPEN_MAX]).await.map_err(classify)?;
    let until = until(end, row.get("now")).map_err(BatchFailure::Data)?;
    if row.get::<_, i64>("open") >= OPEN_MAX {
        return Err(BatchFailure::Data(format!("there are {OPEN_MAX} pauses already: resume some first")));
    }
    let statement = client.prepare_cached(PAUSE).await.map_err(classify)?;
    let row = client
        .query_one(&statement, &[&scope.kind(), &scope.key(), &reason, &actor, &until])
        .await
        .map_err(classify)?;
    let pause = of_row(&row).ok_or_else(unreadable)?;
    Ok((pause, row.get("was_open")))
}

/// Ends a pause; its line is released within a second. Returns it, or `None` if nothing was paused there.
///
/// # Errors
/// As [`pause`].
pub async fn resume(
    database: &Database,
    scope: &Scope,
    reason: Option<&str>,
    by: impl Into<By<'_>>,
) -> Result<Option<Pause>, BatchFailure> {
    let by = by.into();
    let mut client = database.client().await?;
    let transaction = client.transaction().await.map_err(classify)?;
    let Some(pause) = resume_within(&transaction, scope, reason, by.actor).await? else { return Ok(None) };
    tell(&transaction, by, "pause_lifted", scope, json!({ "scope": scope.kind(), "reason": reason })).await?;
    transaction.commit().await.map_err(classify)?;
    Ok(Some(pause))
}

/// Ends a pause within a transaction; the caller tells the audit log.
pub(crate) async fn resume_within(
    client: &impl GenericClient,
    scope: &Scope,
    reason: Option<&str>,
    actor: &str,
) -> Result<Option<Pause>, BatchFailure> {
    reason.map_or(Ok(()), |reason| check_words("reason", reason, REASON_CHARS_MAX))?;
    check_words("actor", actor, ACTOR_CHARS_MAX)?;
    let statement = client.prepare_cached(RESUME).await.map_err(classify)?;
    let row = client
        .query_opt(&statement, &[&scope.kind(), &scope.key(), &actor, &reason])
        .await
        .map_err(classify)?;
    Ok(row.as_ref().and_then(of_row))
}

/// Every pause that stands, the oldest first.
///
/// # Errors
/// The database's, classified.
pub async fn open(database: &Database) -> Result<Vec<Pause>, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(OPEN).await.map_err(classify)?;
    Ok(client.query(&statement, &[]).await.map_err(classify)?.iter().filter_map(of_row).collect())
}

/// The pauses that stand and concern this tenant, its bulks or any sender, the oldest first: whose a sender is, is the
/// caller's to know. All that stand without a tenant.
///
/// # Errors
/// The database's, classified.
pub async fn open_to(database: &Database, tenant: Option<&str>) -> Result<Vec<Pause>, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(OPEN_TO).await.map_err(classify)?;
    Ok(client.query(&statement, &[&tenant]).await.map_err(classify)?.iter().filter_map(of_row).collect())
}

/// Every pause that stands, with its line, the oldest first.
///
/// # Errors
/// The database's, classified.
pub async fn list(database: &Database) -> Result<Vec<PauseLine>, BatchFailure> {
    let pauses = open(database).await?;
    let client = database.client().await?;
    let statement = client.prepare_cached(LINE).await.map_err(classify)?;
    let mut listed = Vec::with_capacity(pauses.len());
    for pause in pauses {
        let line = Hold::Pause(pause.scope.clone()).to_string();
        let row = client
            .query_one(&statement, &[&line, &COUNT_MAX, &NEAR.as_secs_f64()])
            .await
            .map_err(classify)?;
        listed.push(PauseLine { pause, waiting: row.get("waiting"), near_end: row.get("near_end") });
    }
    Ok(listed)
}

/// Closes the pauses whose end has come, and returns them.
///
/// # Errors
/// The database's, classified.
pub async fn close_ended(database: &Database) -> Result<Vec<Pause>, BatchFailure> {
    close_with(&database.client().await?).await
}

/// Whether a message of this tenant or bulk was ever seen; `None` for what is not looked for.
///
/// # Errors
/// The database's, classified.
pub async fn is_seen(database: &Database, scope: &Scope) -> Result<Option<bool>, BatchFailure> {
    let (bulk, tenant) = match scope {
        Scope::Bulk(id) => (Some(*id), None),
        Scope::Tenant(tenant) => (None, Some(tenant.as_str())),
        Scope::Lane(_) | Scope::Sender(_) | Scope::Integration(_) => return Ok(None),
    };
    let client = database.client().await?;
    let statement = client.prepare_cached(IS_SEEN).await.map_err(classify)?;
    let row = client.query_one(&statement, &[&bulk, &tenant]).await.map_err(classify)?;
    Ok(Some(row.get(0)))
}

/// The pause of this scope, if it stands.
pub(crate) async fn of_scope(client: &Client, scope: &Scope) -> Result<Option<Pause>, BatchFailure> {
    let statement = client.prepare_cached(OF_SCOPE).await.map_err(classify)?;
    let row = client.query_opt(&statement, &[&scope.kind(), &scope.key()]).await.map_err(classify)?;
    Ok(row.as_ref().and_then(of_row))
}

async fn tell(
    client: &impl GenericClient,
    by: By<'_>,
    action: &str,
    scope: &Scope,
    details: serde_json::Value,
) -> Result<(), BatchFailure> {
    let key = scope.key();
    let statement = client.prepare_cached(WHOSE).await.map_err(classify)?;
    let id = key.parse::<Uuid>().ok();
    let row = client.query_one(&statement, &[&scope.kind(), &key, &id]).await.map_err(classify)?;
    let tenant = row.get::<_, Option<String>>(0);
    note(client, by, action, (tenant.as_deref().unwrap_or(ALL_TENANTS), &key), details).await
}

async fn close_with(client: &Client) -> Result<Vec<Pause>, BatchFailure> {
    let statement = client.prepare_cached(CLOSE_ENDED).await.map_err(classify)?;
    Ok(client.query(&statement, &[]).await.map_err(classify)?.iter().filter_map(of_row).collect())
}

fn until(end: PauseEnd, now: Timestamp) -> Result<Option<Timestamp>, String> {
    let latest = now.checked_add(AHEAD_MAX).unwrap_or(Timestamp::MAX);
    let until = match end {
        PauseEnd::Open => return Ok(None),
        PauseEnd::After(duration) => now.checked_add(duration).unwrap_or(Timestamp::MAX),
        PauseEnd::At(at) => at,
    };
    if until <= now {
        return Err(format!("the end of a pause lies in the future; {until:.0} is not after {now:.0}"));
    }
    if until > latest {
        return Err(format!(
            "a pause ends within a year, at the latest at {latest:.0}, or when it is resumed"
        ));
    }
    Ok(Some(until))
}

/// `None` for a scope that only a newer release knows.
fn of_row(row: &Row) -> Option<Pause> {
    Some(Pause {
        scope: Scope::parse(row.get("scope"), row.get("key"))?,
        reason: row.get("reason"),
        actor: row.get("actor"),
        until: row.get("until"),
        created_at: row.get("created_at"),
    })
}

fn unreadable() -> BatchFailure {
    BatchFailure::Data("the pause was stored, but is not read back as what it was".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_lies_in_the_future_but_not_beyond_a_year() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let at = |seconds: i64| Timestamp::from_second(1_800_000_000 + seconds).unwrap();
        assert_eq!(until(PauseEnd::Open, now), Ok(None));
        assert_eq!(until(PauseEnd::After(Duration::from_secs(5)), now), Ok(Some(at(5))));
        assert_eq!(until(PauseEnd::At(at(366 * 86_400)), now), Ok(Some(at(366 * 86_400))));
        for bad in [
            PauseEnd::After(Duration::ZERO),
            PauseEnd::At(at(0)),
            PauseEnd::At(at(-1)),
            PauseEnd::At(at(366 * 86_400 + 1)),
            PauseEnd::After(Duration::MAX),
        ] {
            assert!(until(bad, now).is_err(), "{bad:?}");
        }
    }
}
