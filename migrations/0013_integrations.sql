-- Integrations: the accounts at Twilio of tenants that have their own, what is sent over each, and pools of senders.
-- The account that the environment names needs no row.

-- One row for each account at Twilio. It belongs to one tenant, for who has its token can sign webhooks in its name;
-- whoever shares an account shares a tenant, or has a subaccount made.
CREATE TABLE facteur.accounts (
    sid         text PRIMARY KEY CHECK (sid ~ '^AC[0-9a-fA-F]{32}$'),
    tenant      text NOT NULL,
    -- The API key that authorises calls; NULL: the auth token does.
    api_key_sid text CHECK (api_key_sid ~ '^SK[0-9a-fA-F]{32}$'),
    -- The credentials, sealed by the key of that id, bound to this SID and tenant: nonce and ciphertext.
    key_id      text NOT NULL,
    secret      bytea NOT NULL,
    -- Raised with every change, so that workers read the credentials again.
    revision    bigint NOT NULL DEFAULT 1,
    changed_by  text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (sid, tenant)
);

-- What a tenant sends over an account. While `pauses` holds the scope `integration` with this id, it is not active:
-- what would leave over it waits in line.
CREATE TABLE facteur.integrations (
    id                    uuid PRIMARY KEY,
    tenant                text NOT NULL,
    name                  text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 100),
    integration_type      text NOT NULL CHECK (integration_type IN ('sms', 'whatsapp')),
    account_sid           text NOT NULL,
    -- From which a message leaves that names no sender: a Messaging Service goes before a number.
    phone_number          text,
    messaging_service_sid text CHECK (messaging_service_sid ~ '^MG[0-9a-fA-F]{32}$'),
    -- Of its tenant and type: what is sent over it unless the sender says otherwise.
    is_default            boolean NOT NULL DEFAULT false,
    -- The last look at the account with its credentials: a stable word, and the sentence.
    tested_at             timestamptz,
    test_result           text,
    test_sentence         text,
    changed_by            text NOT NULL,
    created_at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    FOREIGN KEY (account_sid, tenant) REFERENCES facteur.accounts (sid, tenant)
);
CREATE UNIQUE INDEX integrations_default ON facteur.integrations (tenant, integration_type) WHERE is_default;
CREATE UNIQUE INDEX integrations_name ON facteur.integrations (tenant, name);
CREATE INDEX integrations_list ON facteur.integrations (created_at DESC, id DESC);
CREATE INDEX integrations_account ON facteur.integrations (account_sid, tenant);

-- A tenant's named sets of senders. Who is written to from a pool always sees the same number of it.
CREATE TABLE facteur.sender_pools (
    tenant     text NOT NULL,
    name       text NOT NULL CHECK (name ~ '^[a-z0-9_-]{1,64}$'),
    channel    text NOT NULL CHECK (channel IN ('sms', 'whatsapp')),
    -- Messages of this tenant and channel that name no sender leave from this pool.
    is_default boolean NOT NULL DEFAULT false,
    changed_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, name)
);
CREATE UNIQUE INDEX sender_pools_default ON facteur.sender_pools (tenant, channel) WHERE is_default;

ALTER TABLE facteur.senders
    -- Over which integration it sends; its tenant is then that one's.
    ADD COLUMN integration_id uuid REFERENCES facteur.integrations (id),
    -- The pool of its tenant that it belongs to.
    ADD COLUMN pool text,
    ADD CONSTRAINT senders_pool FOREIGN KEY (tenant, pool) REFERENCES facteur.sender_pools (tenant, name),
    ADD CONSTRAINT senders_pool_has_tenant CHECK (pool IS NULL OR tenant IS NOT NULL);
CREATE INDEX senders_tenant ON facteur.senders (tenant, address) WHERE tenant IS NOT NULL;

-- Over which account the attempt that was claimed last goes; NULL if a release claimed it that knew of one account.
ALTER TABLE facteur.jobs ADD COLUMN account text;
-- Over which account the call went; NULL as above.
ALTER TABLE facteur.attempts ADD COLUMN account text;
