-- Who may use the API, and who did what.
CREATE TABLE facteur.api_keys (
    id           uuid PRIMARY KEY,
    -- SHA-256 of the key, which is random: nothing slower is needed, and the key itself is never stored.
    digest       bytea NOT NULL UNIQUE,
    -- Its first characters, by which a person tells it from others.
    prefix       text NOT NULL,
    name         text NOT NULL,
    -- Whose; NULL for all tenants, which only a superadmin's key may be.
    tenant       text,
    role         text NOT NULL CHECK (role IN ('viewer', 'sender', 'admin', 'superadmin')),
    created_by   text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    revoked_by   text,
    last_used_at timestamptz,
    CHECK ((tenant IS NULL) = (role = 'superadmin'))
) WITH (fillfactor = 70);
CREATE INDEX api_keys_list ON facteur.api_keys (created_at DESC, id DESC);
CREATE INDEX api_keys_list_of_tenant ON facteur.api_keys (tenant, created_at DESC, id DESC);

-- One record for each call that sends, and for each act of an administrator.
CREATE TABLE facteur.audit_log (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    tenant     text NOT NULL,
    actor      text NOT NULL,
    -- A stable word: send_sms, send_bulk_sms, key_created, …
    action     text NOT NULL,
    -- What it was about: a message, a bulk, a key; many messages of one call stand in `details`.
    subject    text,
    request_id text,
    details    jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_log_list ON facteur.audit_log (tenant, at DESC, id DESC);
-- For those who administer all tenants.
CREATE INDEX audit_log_list_all ON facteur.audit_log (at DESC, id DESC);
