-- Bulks, a ledger: every recipient in exactly one state.
CREATE TABLE facteur.bulks (
    id              uuid PRIMARY KEY,
    tenant          text NOT NULL,
    name            text,
    -- What all of its messages share, as a job's document without recipient and text.
    document        jsonb NOT NULL CHECK (jsonb_typeof(document) = 'object'),
    channel         text NOT NULL CHECK (channel IN ('sms', 'mms', 'whatsapp')),
    category        text NOT NULL,
    sender          text NOT NULL,
    -- Known once all of its lines are.
    lane            text CHECK (lane IN ('urgent', 'normal', 'bulk')),
    -- Where the texts came from, for people; NULL for a text of its own.
    template        text,
    -- `paused` is no state: a pause of the bulk stands in facteur.pauses.
    state           text NOT NULL DEFAULT 'accepting'
                    CHECK (state IN ('accepting', 'processing', 'completed', 'canceled', 'failed')),
    -- Why it failed, or was cancelled.
    reason          text,
    -- Messages a second; NULL: as fast as they can be displaced.
    rate            double precision CHECK (rate BETWEEN 0.001 AND 100000),
    -- Pauses itself when more than this share of what has ended has failed.
    error_ratio_max double precision CHECK (error_ratio_max > 0 AND error_ratio_max < 1),
    -- What was released since then is judged.
    ratio_since     timestamptz NOT NULL DEFAULT '-infinity',
    ratio_judged_at timestamptz NOT NULL DEFAULT '-infinity',
    starts_at       timestamptz,
    expires_at      timestamptz,
    -- Its rate's clock: what was released so far is spread up to here.
    paced_to        timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Lines that are staged, without gaps; all of them from `processing` on.
    total           integer NOT NULL DEFAULT 0,
    -- How often those that failed were tried anew.
    round           integer NOT NULL DEFAULT 0,
    idempotency_key text,
    -- SHA-256 of what its messages share, and, once it is accepted, of all of the request.
    head_digest     bytea NOT NULL,
    digest          bytea,
    -- Who may stage lines; a later upload of the same key takes over.
    upload_token    uuid,
    -- Whether nothing of a cancelled or failed bulk is pending any more.
    is_withdrawn    boolean NOT NULL DEFAULT false,
    created_by      text NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    accepted_at     timestamptz,
    ended_at        timestamptz
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX bulks_key ON facteur.bulks (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX bulks_list ON facteur.bulks (tenant, created_at DESC, id DESC);
CREATE INDEX bulks_all ON facteur.bulks (created_at DESC, id DESC);
CREATE INDEX bulks_open ON facteur.bulks (state, id) WHERE state IN ('accepting', 'processing');
-- Cancelled or failed bulks of which something is left to be withdrawn.
CREATE INDEX bulks_withdrawing ON facteur.bulks (id) WHERE state IN ('canceled', 'failed') AND NOT is_withdrawn;

CREATE TABLE facteur.bulk_recipients (
    bulk_id     uuid NOT NULL,
    -- From 1, in the order of the request.
    line        integer NOT NULL,
    -- E.164; what was given, shortened, if it is no number.
    recipient   text NOT NULL,
    name        text,
    -- What is sent: rendered when it was accepted. NULL where Twilio renders it, from `variables`.
    text        text,
    variables   jsonb,
    segments    integer NOT NULL DEFAULT 0,
    -- The job's fingerprint, and the digest of the line as it was given.
    fingerprint bytea,
    digest      bytea NOT NULL,
    -- `pending`: not released yet; `released`: its job tells where it stands; `settled`: its job had ended when it was
    -- last looked at, and still tells.
    state       text NOT NULL CHECK (state IN ('pending', 'released', 'settled', 'refused', 'canceled')),
    -- Why it was refused.
    code        text,
    field       text,
    sentence    text,
    -- Of its present round.
    job_id      uuid,
    round       integer NOT NULL DEFAULT 0,
    released_at timestamptz,
    PRIMARY KEY (bulk_id, line),
    CHECK ((state = 'refused') = (code IS NOT NULL)),
    CHECK (state = 'refused' OR job_id IS NOT NULL AND fingerprint IS NOT NULL)
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.05);
CREATE UNIQUE INDEX bulk_recipients_once ON facteur.bulk_recipients (bulk_id, recipient) WHERE state <> 'refused';
CREATE INDEX bulk_recipients_pending ON facteur.bulk_recipients (bulk_id, line) WHERE state = 'pending';
CREATE INDEX bulk_recipients_released ON facteur.bulk_recipients (bulk_id, line) WHERE state = 'released';
