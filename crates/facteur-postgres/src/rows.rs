//! Job rows as the columns of one `unnest`: a prepared statement serves batches of every size.

use std::collections::HashMap;

use facteur_core::Timestamp;
use facteur_core::ledger::JobRow;
use tokio_postgres::Row;
use tokio_postgres::types::{Json, ToSql};
use uuid::Uuid;

use facteur_core::envelope::Headers;

/// The common table expression that all statements over job rows start with; it takes `$1` to `$17`, and
/// `EXTRA_TYPES`/`EXTRA_NAMES` are appended by the statement.
macro_rules! job_input {
    ($types:literal, $names:literal) => {
        concat!(
            "WITH input AS (SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::int4[], $4::text[], $5::text[], \
             $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::int4[], $12::bytea[], $13::jsonb[], \
             $14::timestamptz[], $15::timestamptz[], $16::timestamptz[], $17::uuid[], ",
            $types,
            ") AS i(id, fingerprint, turn, tenant, lane, category, channel, recipient, sender, text, segments, \
             document, headers, enqueued_at, expires_at, deadline, bulk_id, ",
            $names,
            "))"
        )
    };
}
pub(crate) use job_input;

/// Whether a row is of the job that the input `i` brings. One that was cancelled before it was seen has an empty
/// fingerprint: whatever its tenant brings under its id is that job.
macro_rules! is_same {
    ($row:literal) => {
        concat!(
            $row,
            ".fingerprint = i.fingerprint OR ",
            $row,
            ".fingerprint = '' AND ",
            $row,
            ".tenant = i.tenant AS is_same"
        )
    };
}
pub(crate) use is_same;

/// The statement part that stores the messages of freshly `inserted` jobs.
macro_rules! store_messages {
    ($source:literal) => {
        concat!(
            "INSERT INTO facteur.messages (id, tenant, lane, category, channel, recipient, sender, text, segments, \
             document, headers, bulk_id, enqueued_at, expires_at) \
             SELECT id, tenant, lane, category, channel, recipient, sender, text, segments, document, headers, \
             bulk_id, enqueued_at, expires_at FROM ",
            $source,
            " JOIN inserted USING (id) ON CONFLICT (id) DO NOTHING"
        )
    };
}
pub(crate) use store_messages;

/// The statement part that buries the jobs of a SELECT (job_id, tenant, code, field, sentence, body, headers,
/// routing_key). An open letter of that job, about an envelope that could not be read, gives way: what a person
/// has to look at now is this.
macro_rules! bury {
    ($select:literal) => {
        concat!(
            "INSERT INTO facteur.dead_letters (job_id, tenant, code, field, sentence, body, headers, routing_key) ",
            $select,
            " ON CONFLICT (job_id) WHERE state = 'open' AND job_id IS NOT NULL DO UPDATE SET code = excluded.code, \
             field = excluded.field, sentence = excluded.sentence, body = excluded.body, \
             headers = excluded.headers, routing_key = excluded.routing_key, digest = NULL"
        )
    };
}
pub(crate) use bury;

/// The statement part that begins the search for evidence about the attempts of a SELECT (job_id, attempt, account,
/// recipient, started_at, ended_at, next_check_at). A job's earlier search gives way.
macro_rules! open_search {
    ($select:literal) => {
        concat!(
            "INSERT INTO facteur.reconciliations \
             (job_id, attempt, account, recipient, started_at, ended_at, next_check_at) ",
            $select,
            " ON CONFLICT (job_id) DO UPDATE SET attempt = excluded.attempt, account = excluded.account, \
             recipient = excluded.recipient, started_at = excluded.started_at, ended_at = excluded.ended_at, \
             next_check_at = excluded.next_check_at, searched_s = DEFAULT, checks = DEFAULT, checked_at = DEFAULT, \
             was_clear = DEFAULT, later_listed = DEFAULT, finding = DEFAULT, verdict = DEFAULT, closed_at = DEFAULT, \
             created_at = DEFAULT"
        )
    };
}
pub(crate) use open_search;

/// The answer's rows by the id of their job; each job is in a batch once.
pub(crate) fn by_id(rows: &[Row]) -> HashMap<Uuid, &Row> {
    rows.iter().map(|row| (row.get("id"), row)).collect()
}

/// The columns of many rows.
pub(crate) struct JobColumns<'a> {
    ids: Vec<Uuid>,
    fingerprints: Vec<&'a [u8]>,
    turns: Vec<i32>,
    tenants: Vec<&'a str>,
    lanes: Vec<&'static str>,
    categories: Vec<&'static str>,
    channels: Vec<&'static str>,
    recipients: Vec<&'a str>,
    senders: Vec<Option<&'a str>>,
    texts: Vec<Option<&'a str>>,
    segments: Vec<i32>,
    documents: Vec<&'a [u8]>,
    headers: Vec<Json<&'a Headers>>,
    enqueued_at: Vec<Option<Timestamp>>,
    expires_at: Vec<Option<Timestamp>>,
    deadlines: Vec<Timestamp>,
    bulk_ids: Vec<Option<Uuid>>,
}

impl<'a> JobColumns<'a> {
    pub(crate) fn of(rows: impl Iterator<Item = &'a JobRow> + Clone) -> Self {
        Self {
            ids: rows.clone().map(|row| row.id.0).collect(),
            fingerprints: rows.clone().map(|row| &row.fingerprint.0[..]).collect(),
            turns: rows.clone().map(|row| row.turn.0).collect(),
            tenants: rows.clone().map(|row| row.tenant.as_str()).collect(),
            lanes: rows.clone().map(|row| row.lane.as_str()).collect(),
            categories: rows.clone().map(|row| row.category.as_str()).collect(),
            channels: rows.clone().map(|row| row.recipient.channel.as_str()).collect(),
            recipients: rows.clone().map(|row| row.recipient.number.reveal()).collect(),
            senders: rows.clone().map(|row| row.sender.as_ref().map(|sender| sender.as_str())).collect(),
            texts: rows.clone().map(|row| row.text.as_deref()).collect(),
            segments: rows.clone().map(|row| i32::try_from(row.segments).unwrap_or(i32::MAX)).collect(),
            documents: rows.clone().map(|row| &row.document[..]).collect(),
            headers: rows.clone().map(|row| Json(&row.headers)).collect(),
            enqueued_at: rows.clone().map(|row| row.enqueued_at).collect(),
            expires_at: rows.clone().map(|row| row.expires_at).collect(),
            deadlines: rows.clone().map(|row| row.deadline).collect(),
            bulk_ids: rows.map(|row| row.bulk_id).collect(),
        }
    }

    /// `$1` to `$17`.
    pub(crate) fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![
            &self.ids,
            &self.fingerprints,
            &self.turns,
            &self.tenants,
            &self.lanes,
            &self.categories,
            &self.channels,
            &self.recipients,
            &self.senders,
            &self.texts,
            &self.segments,
            &self.documents,
            &self.headers,
            &self.enqueued_at,
            &self.expires_at,
            &self.deadlines,
            &self.bulk_ids,
        ]
    }
}
