-- Conversations in which something is unread, and those of one status, without a look at all the others. On large tables
-- an administrator creates the indexes of this file CONCURRENTLY beforehand.
CREATE INDEX IF NOT EXISTS conversations_unread ON facteur.conversations (tenant, last_message_at DESC, id DESC)
WHERE unread > 0;
CREATE INDEX IF NOT EXISTS conversations_of_status ON facteur.conversations (tenant, status, last_message_at DESC, id DESC);

-- Takes the place of audit_log_list_all. The condition holds for every record: it keeps the index from being chosen for
-- the records of one tenant, for which all of the others' would be read. Until its end, the previous release sorts where
-- it lists the records of all tenants.
CREATE INDEX IF NOT EXISTS audit_log_of_all ON facteur.audit_log (at DESC, id DESC) WHERE id > 0;
DROP INDEX facteur.audit_log_list_all;

-- A status that is rare is in no sample. Where all that was sampled have one, the planner takes any for as common, and reads
-- a tenant's whole inbox in order to find the few.
ALTER TABLE facteur.conversations ALTER COLUMN status SET (n_distinct = 5);
