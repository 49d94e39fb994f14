-- What Twilio tells later: each status callback once.
CREATE TABLE facteur.status_events (
    job_id        uuid NOT NULL,
    attempt       integer NOT NULL,
    sid           text NOT NULL,
    twilio_status text NOT NULL,
    -- 0 for none, so that a repeated callback is recognised.
    code          integer NOT NULL DEFAULT 0,
    source        text NOT NULL CHECK (source IN ('callback', 'poll', 'list')),
    received_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (job_id, sid, twilio_status, code)
);

-- The latest proof, for each account, that callbacks reach us: the start of the latest attempt of which one told.
CREATE TABLE facteur.webhook_proofs (
    account            text PRIMARY KEY,
    attempt_started_at timestamptz NOT NULL,
    received_at        timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 20);

-- Webhook requests that could not be verified or belong to no message of ours, kept for a look; the oldest are
-- removed beyond 10,000.
CREATE TABLE facteur.webhook_quarantine (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    route       text NOT NULL,
    why         text NOT NULL,
    account     text,
    -- The query string and the form as they came, at most 16 KiB.
    query       text NOT NULL,
    body        bytea NOT NULL,
    signature   text,
    remote      text,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
