//! The statements of the acceptance.

use std::collections::HashMap;

use facteur_core::Timestamp;
use facteur_core::limits::OUTBOX_GRACE;
use facteur_core::reason::ReasonCode;
use facteur_core::status::Status;
use tokio_postgres::Row;
use tokio_postgres::types::{Json, ToSql};
use uuid::Uuid;

use super::{Acceptance, Accepted, Known, Left, NewMessage, Outcome, Places};
use crate::batch_error::{BatchFailure, classify};
use crate::pool::Client;
use crate::rows::{JobColumns, is_same, job_input, store_messages};

/// A request whose idempotency key is there already is left alone as a whole. What comes back is what was left: a
/// request without a message, or a message whose id is there already.
const INSERT: &str = concat!(
    job_input!("$18::timestamptz[], $19::int4[]", "not_before, request"),
    ", requests AS (SELECT * FROM unnest($20::int4[], $21::text[], $22::text[], $23::bytea[], $24::uuid[], $25::jsonb[], \
         $26::text[], $27::text[], $28::text[], $29::text[], $30::jsonb[]) \
         AS r(number, tenant, key, digest, token, outcomes, actor, action, subject, request_id, details)), \
     kept AS (INSERT INTO facteur.idempotency_keys (tenant, key, digest, token, outcomes) \
         SELECT tenant, key, digest, token, outcomes FROM requests WHERE key IS NOT NULL ORDER BY tenant, key \
         ON CONFLICT DO NOTHING RETURNING token), \
     refused AS MATERIALIZED (SELECT number FROM requests \
         WHERE key IS NOT NULL AND token NOT IN (SELECT token FROM kept)), \
     taken AS MATERIALIZED (SELECT * FROM input WHERE request NOT IN (SELECT number FROM refused)), \
     inserted AS (INSERT INTO facteur.jobs \
         (id, fingerprint, tenant, lane, status, reason, turn, not_before, due_at, deadline) \
         SELECT id, fingerprint, tenant, lane, CASE WHEN not_before IS NULL THEN 'waiting' ELSE 'scheduled' END, \
                CASE WHEN not_before IS NULL THEN 'enqueued' ELSE 'scheduled' END, turn, not_before, \
                least(coalesce(not_before, clock_timestamp() + $31::float8 * interval '1 second'), deadline), deadline \
         FROM taken ORDER BY id ON CONFLICT (id) DO NOTHING RETURNING id), \
     stored AS (",
    store_messages!("taken"),
    "), woken AS (INSERT INTO facteur.outbox (relay, exchange, routing_key, message_id, kind, headers, body) \
         SELECT lane, 'jobs', 'send.' || lane, id, 'facteur.job.v1', \
                headers || jsonb_build_object('facteur-turn', turn), document \
         FROM taken JOIN inserted USING (id) WHERE not_before IS NULL), \
     audited AS (INSERT INTO facteur.audit_log (tenant, actor, action, subject, request_id, details) \
         SELECT tenant, actor, action, subject, request_id, details FROM requests \
         WHERE action IS NOT NULL \
           AND number IN (SELECT request FROM taken WHERE id IN (SELECT id FROM inserted))) \
     SELECT number AS request, NULL::uuid AS id FROM refused \
     UNION ALL SELECT request, id FROM taken WHERE id NOT IN (SELECT id FROM inserted)"
);

const EARLIER: &str = "SELECT r.number, k.digest = r.digest AS is_same, k.token = r.token AS is_own, k.outcomes \
     FROM unnest($1::int4[], $2::text[], $3::text[], $4::bytea[], $5::uuid[]) AS r(number, tenant, key, digest, token) \
     CROSS JOIN LATERAL (SELECT digest, token, outcomes FROM facteur.idempotency_keys \
         WHERE tenant = r.tenant AND key = r.key LIMIT 1) k";

const KNOWN: &str = concat!(
    "SELECT i.request, i.place, j.status, ",
    is_same!("j"),
    " FROM unnest($1::int4[], $2::int4[], $3::uuid[], $4::bytea[], $5::text[]) AS i(request, place, id, fingerprint, tenant) \
     CROSS JOIN LATERAL (SELECT status, fingerprint, tenant FROM facteur.jobs WHERE id = i.id LIMIT 1) j"
);

const CORRECT: &str =
    "UPDATE facteur.idempotency_keys SET outcomes = $4 WHERE tenant = $1 AND key = $2 AND token = $3";

/// `$1`: seconds that a key is kept; `$2`: how many are removed. By their places: whatever the plan, none other is read.
pub(super) const FORGET: &str = "DELETE FROM facteur.idempotency_keys WHERE ctid = ANY (ARRAY( \
     SELECT ctid FROM facteur.idempotency_keys \
     WHERE created_at < (SELECT clock_timestamp() - $1::float8 * interval '1 second') \
     ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED))";

/// Inserts the requests of these indices.
pub(super) async fn insert(
    client: &Client,
    items: &[Acceptance],
    open: &[usize],
) -> Result<Left, BatchFailure> {
    if open.is_empty() {
        return Ok(Left::default());
    }
    let requests = || open.iter().map(|&index| (index, &items[index]));
    let messages: Vec<(usize, &NewMessage)> = requests()
        .flat_map(|(index, item)| item.messages.iter().map(move |message| (index, message)))
        .collect();
    let jobs = JobColumns::of(messages.iter().map(|(_, message)| &message.row));
    let not_before: Vec<Option<Timestamp>> = messages.iter().map(|(_, message)| message.not_before).collect();
    let of_request: Vec<i32> = messages.iter().map(|(index, _)| number(*index)).collect();
    let columns = RequestColumns::of(requests());
    let grace_s = OUTBOX_GRACE.as_secs_f64();
    let mut parameters = jobs.parameters();
    parameters.extend([&not_before as &(dyn ToSql + Sync), &of_request]);
    parameters.extend(columns.parameters());
    parameters.push(&grace_s);
    let statement = client.prepare_cached(INSERT).await.map_err(classify)?;
    let rows = client.query(&statement, &parameters).await.map_err(classify)?;
    Ok(left(items, &rows))
}

fn left(items: &[Acceptance], rows: &[Row]) -> Left {
    let mut left = Left { requests: Vec::new(), messages: Places::new() };
    for row in rows {
        let index = index(row, "request");
        match row.get::<_, Option<Uuid>>("id") {
            None => left.requests.push(index),
            Some(id) => {
                let place = items[index].messages.iter().position(|message| message.row.id.0 == id);
                left.messages.entry(index).or_default().extend(place);
            }
        }
    }
    left
}

/// What was answered to these requests before.
pub(super) async fn earlier(
    client: &Client,
    items: &[Acceptance],
    requests: &[usize],
) -> Result<Vec<(usize, Accepted)>, BatchFailure> {
    if requests.is_empty() {
        return Ok(Vec::new());
    }
    let columns = RequestColumns::of(requests.iter().map(|&index| (index, &items[index])));
    let statement = client.prepare_cached(EARLIER).await.map_err(classify)?;
    let parameters: [&(dyn ToSql + Sync); 5] =
        [&columns.numbers, &columns.tenants, &columns.keys, &columns.digests, &columns.tokens];
    let rows = client.query(&statement, &parameters).await.map_err(classify)?;
    let answer = |row: &Row| match (row.get("is_own"), row.get("is_same")) {
        // Our own commit, whose answer was lost.
        (true, _) => Accepted::Done(Vec::new()),
        (false, true) => Accepted::Replayed(row.get::<_, Json<Vec<Outcome>>>("outcomes").0),
        (false, false) => Accepted::KeyReused,
    };
    Ok(rows.iter().map(|row| (index(row, "number"), answer(row))).collect())
}

/// What the ids of these messages stand for.
pub(super) async fn known(
    client: &Client,
    items: &[Acceptance],
    places: &Places,
) -> Result<HashMap<usize, Vec<(usize, Known)>>, BatchFailure> {
    let mut found: HashMap<usize, Vec<(usize, Known)>> = HashMap::new();
    let asked: Vec<(usize, usize)> =
        places.iter().flat_map(|(&index, places)| places.iter().map(move |&place| (index, place))).collect();
    if asked.is_empty() {
        return Ok(found);
    }
    let row = |(index, place): &(usize, usize)| &items[*index].messages[*place].row;
    let requests: Vec<i32> = asked.iter().map(|(index, _)| number(*index)).collect();
    let numbers: Vec<i32> = asked.iter().map(|(_, place)| number(*place)).collect();
    let ids: Vec<Uuid> = asked.iter().map(|asked| row(asked).id.0).collect();
    let fingerprints: Vec<&[u8]> = asked.iter().map(|asked| &row(asked).fingerprint.0[..]).collect();
    let tenants: Vec<&str> = asked.iter().map(|asked| row(asked).tenant.as_str()).collect();
    let statement = client.prepare_cached(KNOWN).await.map_err(classify)?;
    let parameters: [&(dyn ToSql + Sync); 5] = [&requests, &numbers, &ids, &fingerprints, &tenants];
    for row in client.query(&statement, &parameters).await.map_err(classify)? {
        let status = Status::from_name(row.get("status")).unwrap_or(Status::Uncertain);
        let known = if row.get("is_same") { Known::Same(status) } else { Known::Other };
        found.entry(index(&row, "request")).or_default().push((index(&row, "place"), known));
    }
    Ok(found)
}

/// Keeps that messages were refused whose ids stand for others.
pub(super) async fn correct(
    client: &Client,
    request: &Acceptance,
    places: &[usize],
) -> Result<(), BatchFailure> {
    let Some(key) = &request.idempotency else { return Ok(()) };
    let refused: Vec<Uuid> = places.iter().map(|&place| request.messages[place].row.id.0).collect();
    let corrected: Vec<Outcome> = request
        .outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Accepted(id) if refused.contains(id) => Outcome::Refused {
                code: ReasonCode::IdConflict.as_str().to_owned(),
                sentence: "already stands for another recipient or text".to_owned(),
                field: Some("id".to_owned()),
            },
            outcome => outcome.clone(),
        })
        .collect();
    let statement = client.prepare_cached(CORRECT).await.map_err(classify)?;
    let parameters: [&(dyn ToSql + Sync); 4] = [&request.tenant, &key.key, &request.token, &Json(&corrected)];
    client.execute(&statement, &parameters).await.map(drop).map_err(classify)
}

/// Indices are below 256 requests and 1,000 messages.
fn number(index: usize) -> i32 {
    i32::try_from(index).unwrap_or(i32::MAX)
}

fn index(row: &Row, column: &str) -> usize {
    usize::try_from(row.get::<_, i32>(column)).unwrap_or(usize::MAX)
}

struct RequestColumns<'a> {
    numbers: Vec<i32>,
    tenants: Vec<&'a str>,
    keys: Vec<Option<&'a str>>,
    digests: Vec<Option<&'a [u8]>>,
    tokens: Vec<Uuid>,
    outcomes: Vec<Option<Json<&'a [Outcome]>>>,
    actors: Vec<Option<&'a str>>,
    actions: Vec<Option<&'static str>>,
    subjects: Vec<Option<&'a str>>,
    request_ids: Vec<Option<&'a str>>,
    details: Vec<Option<Json<&'a serde_json::Value>>>,
}

impl<'a> RequestColumns<'a> {
    fn of(requests: impl Iterator<Item = (usize, &'a Acceptance)> + Clone) -> Self {
        let items = || requests.clone().map(|(_, item)| item);
        let keys = || items().map(|item| item.idempotency.as_ref());
        let audits = || items().map(|item| item.audit.as_ref());
        Self {
            numbers: requests.clone().map(|(index, _)| number(index)).collect(),
            tenants: items().map(|item| item.tenant.as_str()).collect(),
            keys: keys().map(|key| key.map(|key| key.key.as_str())).collect(),
            digests: keys().map(|key| key.map(|key| &key.digest[..])).collect(),
            tokens: items().map(|item| item.token).collect(),
            outcomes: items()
                .map(|item| item.idempotency.is_some().then_some(Json(&item.outcomes[..])))
                .collect(),
            actors: audits().map(|audit| audit.map(|audit| audit.actor.as_str())).collect(),
            actions: audits().map(|audit| audit.map(|audit| audit.action)).collect(),
            subjects: audits().map(|audit| audit.and_then(|audit| audit.subject.as_deref())).collect(),
            request_ids: audits().map(|audit| audit.and_then(|audit| audit.request_id.as_deref())).collect(),
            details: audits().map(|audit| audit.map(|audit| Json(&audit.details))).collect(),
        }
    }

    /// `$20` to `$30`.
    fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![
            &self.numbers,
            &self.tenants,
            &self.keys,
            &self.digests,
            &self.tokens,
            &self.outcomes,
            &self.actors,
            &self.actions,
            &self.subjects,
            &self.request_ids,
            &self.details,
        ]
    }
}
