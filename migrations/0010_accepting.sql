-- Messages that were accepted over HTTP: idempotency keys. A key is kept for two days.
CREATE TABLE facteur.idempotency_keys (
    tenant     text NOT NULL,
    key        text NOT NULL,
    -- SHA-256 of what was asked: another request under the same key is refused.
    digest     bytea NOT NULL,
    -- The very request: one whose answer was lost finds itself.
    token      uuid NOT NULL,
    -- What became of each of its messages, in their order.
    outcomes   jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, key)
);
CREATE INDEX idempotency_keys_old ON facteur.idempotency_keys (created_at);

-- Lists of messages, the newest first: to one recipient, or of one bulk. On large tables an administrator creates them
-- CONCURRENTLY beforehand.
CREATE INDEX IF NOT EXISTS messages_recipient ON facteur.messages (tenant, recipient, created_at DESC, id DESC);
CREATE INDEX IF NOT EXISTS messages_bulk_history ON facteur.messages (bulk_id, created_at DESC, id DESC)
WHERE bulk_id IS NOT NULL;
