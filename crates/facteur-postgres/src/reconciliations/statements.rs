//! The statements of the search for evidence.

use crate::rows::bury;

pub(super) const TAKE: &str = "WITH picked AS (SELECT job_id FROM facteur.reconciliations WHERE next_check_at <= (SELECT clock_timestamp()) \
         ORDER BY next_check_at LIMIT $1 FOR UPDATE SKIP LOCKED), \
     taken AS (UPDATE facteur.reconciliations r SET next_check_at = clock_timestamp() + $2::float8 * interval '1 second' \
         WHERE r.job_id = ANY (ARRAY(SELECT job_id FROM picked)) \
         RETURNING r.job_id, r.account, r.recipient, r.started_at, r.ended_at) \
     SELECT t.*, m.channel FROM taken t \
     CROSS JOIN LATERAL (SELECT channel FROM facteur.messages WHERE id = t.job_id LIMIT 1) m";

/// Twins are attempts with the same recipient and text that were, or are, under way at the same time and of which it is
/// not known what became of them: other searches that are open or ended in `held`, and claims (their leases end within
/// a minute, which is how the index on `due_at` finds them).
///
/// Callbacks are taken to arrive unless a message that was accepted long enough ago has not been called back. `OFFSET 0`
/// keeps the question for a SID away from the index over SIDs, which would serve it by reading all of the table.
pub(super) const KNOWN: &str = "WITH mine AS (SELECT r.*, m.channel, m.text, m.category FROM unnest($1::uuid[]) AS i(id) \
         CROSS JOIN LATERAL (SELECT * FROM facteur.reconciliations WHERE job_id = i.id LIMIT 1) r \
         CROSS JOIN LATERAL (SELECT channel, text, category FROM facteur.messages WHERE id = i.id LIMIT 1) m), \
     sending AS MATERIALIZED (SELECT j.id, m.recipient, m.channel, m.text, j.updated_at \
         FROM facteur.jobs j CROSS JOIN LATERAL \
             (SELECT recipient, channel, text FROM facteur.messages WHERE id = j.id LIMIT 1) m \
         WHERE j.due_at <= (SELECT clock_timestamp() + interval '61 seconds') AND j.status = 'sending'), \
     callbacks AS (SELECT p.account, p.attempt_started_at, NOT EXISTS (SELECT FROM \
             (SELECT a.sid, a.started_at, a.account FROM facteur.attempts a WHERE a.created_at > p.attempt_started_at \
                  AND a.created_at <= (SELECT clock_timestamp() - $3::float8 * interval '1 second') OFFSET 0) a \
             WHERE a.sid IS NOT NULL AND a.started_at > p.attempt_started_at \
               AND coalesce(a.account, p.account) = p.account) AS are_arriving \
         FROM facteur.webhook_proofs p WHERE p.account IN (SELECT account FROM mine)) \
     SELECT r.job_id, r.attempt, r.account, r.recipient, r.channel, r.text, r.category, r.started_at, r.ended_at, r.searched_s, \
            r.checks, r.was_clear, r.later_listed, \
            extract(epoch FROM clock_timestamp() - r.checked_at)::float8 AS since_look_s, \
            extract(epoch FROM clock_timestamp() - r.created_at)::float8 AS age_s, clock_timestamp() AS now, \
            j.status, j.attempt AS job_attempt, j.lane, j.failures, j.parks, j.deadline, \
            coalesce(c.attempt_started_at > r.ended_at, false) AS later_called_back, \
            coalesce(c.are_arriving, false) AS callbacks_arrive, \
            EXISTS (SELECT FROM facteur.breakers b WHERE b.scope = 'integration' AND b.key = r.account \
                    AND b.state = 'open') AS breaker_open, \
            EXISTS (SELECT FROM facteur.reconciliations o CROSS JOIN LATERAL \
                        (SELECT channel, text FROM facteur.messages WHERE id = o.job_id LIMIT 1) m \
                    WHERE o.account = r.account AND o.recipient = r.recipient AND o.job_id <> r.job_id \
                      AND (o.closed_at IS NULL OR o.verdict = 'held') AND m.channel = r.channel \
                      AND m.text IS NOT DISTINCT FROM r.text \
                      AND o.started_at <= r.ended_at + $2::float8 * interval '1 second' \
                      AND r.started_at <= o.ended_at + $2::float8 * interval '1 second') \
            OR EXISTS (SELECT FROM sending s WHERE s.id <> r.job_id AND s.recipient = r.recipient \
                       AND s.channel = r.channel AND s.text IS NOT DISTINCT FROM r.text \
                       AND s.updated_at <= r.ended_at + $2::float8 * interval '1 second') AS has_twin \
     FROM mine r CROSS JOIN LATERAL (SELECT status, attempt, lane, failures, parks, deadline FROM facteur.jobs \
         WHERE id = r.job_id LIMIT 1) j LEFT JOIN callbacks c ON c.account = r.account";

pub(super) const SIDS: &str = "SELECT sid, started_at FROM facteur.attempts WHERE sid = ANY ($1::text[])";

pub(super) const GO_ON: &str = "UPDATE facteur.reconciliations SET checks = checks + 1, checked_at = clock_timestamp(), \
         was_clear = $3, searched_s = $4, later_listed = later_listed OR $5, finding = $6, \
         next_check_at = clock_timestamp() + $7::float8 * interval '1 second' \
     WHERE job_id = $1 AND attempt = $2 AND closed_at IS NULL";

/// Whoever else moved the job (a callback, a late record) has answered.
pub(super) const OVERTAKEN: &str = "UPDATE facteur.reconciliations SET next_check_at = NULL, verdict = 'overtaken', \
         closed_at = clock_timestamp() \
     WHERE job_id = $1 AND attempt = $2 AND closed_at IS NULL AND NOT EXISTS (SELECT FROM facteur.jobs j \
         WHERE j.id = $1 AND j.status = 'uncertain' AND j.attempt = $2)";

pub(super) const LATER: &str = "UPDATE facteur.reconciliations SET next_check_at = clock_timestamp() + $2::float8 * interval '1 second' \
     WHERE job_id = ANY ($1::uuid[]) AND closed_at IS NULL";

/// A SID goes to its attempt, whose row a worker that died has not written.
pub(super) const APPLY: &str = concat!(
    "WITH locked AS (SELECT j.id, j.claim_token FROM facteur.jobs j \
         WHERE j.id = $1 AND j.status = 'uncertain' AND j.attempt = $2 FOR UPDATE), \
     moved AS (UPDATE facteur.jobs j SET status = $3, reason = $4, sentence = $5, \
             turn = j.turn + ($6::float8 IS NOT NULL)::int4, failures = j.failures + $14::bool::int4, \
             parks = 0, waits_for = NULL, not_before = clock_timestamp() + $6::float8 * interval '1 second', \
             due_at = clock_timestamp() + $6::float8 * interval '1 second', updated_at = clock_timestamp() \
         FROM locked l WHERE j.id = l.id RETURNING j.id, j.tenant, j.lane, l.claim_token), \
     closed AS (UPDATE facteur.reconciliations r SET checks = checks + 1, checked_at = clock_timestamp(), \
             searched_s = $11, later_listed = later_listed OR $12, finding = $13, next_check_at = NULL, verdict = $10, \
             closed_at = clock_timestamp() FROM moved WHERE r.job_id = moved.id), \
     attempted AS (INSERT INTO facteur.attempts (job_id, number, claim_token, started_at, duration_ms, outcome, code, \
             sid, twilio_status, cause, next_status, reason, account) \
         SELECT m.id, $2, coalesce(m.claim_token, gen_random_uuid()), r.started_at, \
                (extract(epoch FROM r.ended_at - r.started_at) * 1000)::int4, 'uncertain', $9::int4, $7::text, \
                $8::text, 'its worker did not come back', $3, $4, r.account \
         FROM moved m JOIN facteur.reconciliations r ON r.job_id = m.id WHERE $7::text IS NOT NULL \
         ON CONFLICT (job_id, number) DO UPDATE SET sid = excluded.sid, twilio_status = excluded.twilio_status, \
             code = coalesce(excluded.code, attempts.code)), \
     heard AS (INSERT INTO facteur.status_events (job_id, attempt, sid, twilio_status, code, source) \
         SELECT id, $2, $7::text, $8::text, coalesce($9::int4, 0), 'list' FROM moved WHERE $7::text IS NOT NULL \
         ON CONFLICT DO NOTHING), \
     buried AS (",
    bury!(
        "SELECT m.id, m.tenant, $4, NULL, $5, s.document, s.headers, 'send.' || m.lane \
         FROM moved m JOIN facteur.messages s USING (id) WHERE $3 = 'dead'"
    ),
    ") SELECT count(*) FROM moved"
);

pub(super) const OPEN: &str = "SELECT count(*) FROM facteur.reconciliations WHERE next_check_at IS NOT NULL";

pub(super) const OF_JOB: &str = "SELECT attempt, started_at, ended_at, searched_s, checks, checked_at, next_check_at, later_listed, \
         finding, verdict, closed_at, r.created_at, \
         coalesce((SELECT p.attempt_started_at > r.ended_at FROM facteur.webhook_proofs p WHERE p.account = r.account), \
                  false) AS later_called_back \
     FROM facteur.reconciliations r WHERE job_id = $1";
