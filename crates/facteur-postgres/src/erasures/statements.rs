//! The statements of an erasure. `$1` is the tenant and `$2` the number; where something changes, `$3` is what stands in
//! the number's place afterwards.

pub(super) const LOCK: &str = "SELECT id FROM facteur.contacts WHERE id = $1 FOR UPDATE";

/// The next open bulks after `$3`.
pub(super) const OPEN_BULKS: &str = "WITH open AS MATERIALIZED (SELECT id, tenant FROM facteur.bulks \
         WHERE state IN ('accepting', 'processing') AND id > $3 ORDER BY id LIMIT $4) \
     SELECT (SELECT id FROM open ORDER BY id DESC LIMIT 1) AS last, \
         EXISTS (SELECT FROM open o CROSS JOIN LATERAL (SELECT state FROM facteur.bulk_recipients \
             WHERE bulk_id = o.id AND recipient = $2 AND state <> 'refused' LIMIT 1) r \
             WHERE o.tenant = $1 AND r.state = 'pending') AS waits";

/// `$5`: the states in which the work is over.
pub(super) const STANDING: &str = "SELECT m.id, m.created_at, j.status <> ALL ($5::text[]) AS is_on_its_way \
     FROM (SELECT id, created_at FROM facteur.messages WHERE tenant = $1 AND recipient = $2 \
             AND (created_at, id) < (coalesce($3::timestamptz, 'infinity'), coalesce($4::uuid, \
                 'ffffffff-ffff-ffff-ffff-ffffffffffff')) \
           ORDER BY created_at DESC, id DESC LIMIT $6) m \
     CROSS JOIN LATERAL (SELECT status FROM facteur.jobs WHERE id = m.id LIMIT 1) j \
     ORDER BY m.created_at DESC, m.id DESC";

pub(super) const IS_LEFT: &str = "SELECT EXISTS (SELECT FROM (SELECT id FROM facteur.messages \
         WHERE tenant = $1 AND recipient = $2 ORDER BY created_at DESC, id DESC LIMIT 1000) m \
     CROSS JOIN LATERAL (SELECT FROM facteur.jobs WHERE id = m.id LIMIT 1) j)";

/// The SID stays: by it a webhook that comes again is known, and what Twilio has is found there.
pub(super) const INBOUND: &str = "WITH picked AS MATERIALIZED (SELECT id, sender, written_to \
         FROM facteur.inbound_messages WHERE tenant = $1 AND number = $2 ORDER BY received_at DESC, id DESC LIMIT $4), \
     media AS (DELETE FROM facteur.media WHERE message_id = ANY (ARRAY(SELECT id FROM picked))), \
     windows AS (DELETE FROM facteur.conversation_windows WHERE contact = $2 \
         AND sender = ANY (ARRAY(SELECT sender FROM picked UNION SELECT written_to FROM picked))), \
     forgotten AS (UPDATE facteur.inbound_messages SET number = $3, text = '', parameters = '{}' \
         WHERE id = ANY (ARRAY(SELECT id FROM picked)) RETURNING id) \
     SELECT count(*) FROM forgotten";

/// Whoever changes a message, a letter or a search of a job holds the job's row; a requeue comes before, or finds it
/// redacted. A letter can't be sent back to work then.
pub(super) const OUTBOUND: &str = "WITH picked AS MATERIALIZED (SELECT m.id FROM (SELECT id FROM facteur.messages \
             WHERE tenant = $1 AND recipient = $2 ORDER BY created_at DESC, id DESC) m \
         CROSS JOIN LATERAL (SELECT FROM facteur.jobs WHERE id = m.id AND status = ANY ($4::text[])) j LIMIT $5), \
     locked AS MATERIALIZED (SELECT j.id FROM (SELECT id FROM picked ORDER BY id) p CROSS JOIN LATERAL \
         (SELECT id, status FROM facteur.jobs WHERE id = p.id FOR UPDATE) j WHERE j.status = ANY ($4)), \
     letters AS (UPDATE facteur.dead_letters SET body = '', headers = '{}' \
         WHERE job_id IS NOT NULL AND job_id = ANY (ARRAY(SELECT id FROM locked))), \
     searched AS (UPDATE facteur.reconciliations SET recipient = $3 \
         WHERE job_id = ANY (ARRAY(SELECT id FROM locked))), \
     forgotten AS (UPDATE facteur.messages SET recipient = $3, text = NULL, document = '{}', headers = '{}', \
             redacted_at = coalesce(redacted_at, clock_timestamp()) \
         WHERE id = ANY (ARRAY(SELECT id FROM locked)) RETURNING id) \
     SELECT count(*) FROM forgotten";

/// The lines of the number in the next bulks. They are changed by their places: whatever the plan, none other is read.
pub(super) const LINES: &str = "WITH picked AS MATERIALIZED (SELECT id, created_at FROM facteur.bulks WHERE tenant = $1 \
         AND (created_at, id) < (coalesce($4::timestamptz, 'infinity'), coalesce($5::uuid, \
             'ffffffff-ffff-ffff-ffff-ffffffffffff')) ORDER BY created_at DESC, id DESC LIMIT $6), \
     lines AS MATERIALIZED (SELECT r.place FROM picked p CROSS JOIN LATERAL \
         ((SELECT ctid AS place FROM facteur.bulk_recipients \
               WHERE bulk_id = p.id AND recipient = $2 AND state <> 'refused') \
          UNION ALL (SELECT ctid FROM facteur.bulk_recipients \
               WHERE bulk_id = p.id AND recipient = $2 AND state = 'refused')) r LIMIT $6), \
     forgotten AS (UPDATE facteur.bulk_recipients SET recipient = $3, name = NULL, text = NULL, variables = NULL \
         WHERE ctid = ANY (ARRAY(SELECT place FROM lines)) AND recipient = $2 RETURNING line) \
     SELECT (SELECT count(*) FROM forgotten) AS lines, \
         (SELECT id FROM picked ORDER BY created_at, id LIMIT 1) AS last, \
         (SELECT created_at FROM picked ORDER BY created_at, id LIMIT 1) AS last_at";

/// `$6`, `$7`, `$8`: how much was forgotten of what.
pub(super) const END: &str = "WITH conversations AS (UPDATE facteur.conversations SET number = $3, status = 'closed', \
             unread = 0, updated_at = clock_timestamp() WHERE tenant = $1 AND number = $2), \
     consents AS (DELETE FROM facteur.contact_consents WHERE tenant = $1 AND recipient = $2), \
     gone AS (DELETE FROM facteur.contacts WHERE id = $4 RETURNING id) \
     INSERT INTO facteur.audit_log (tenant, actor, request_id, action, subject, details) \
     SELECT $1, $5::text, $9::text, 'contact_erased', id::text, jsonb_build_object('messages_from_it', $6::int8, \
         'messages_to_it', $7::int8, 'lines_of_bulks', $8::int8) FROM gone";
