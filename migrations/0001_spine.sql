-- The spine: jobs and their outcomes, dead letters, outbox, pacing, templates and suppressions.
CREATE SCHEMA IF NOT EXISTS facteur;

-- The hot state of a job: narrow, and the only table that is updated again and again.
CREATE TABLE facteur.jobs (
    id          uuid PRIMARY KEY,
    fingerprint bytea NOT NULL,
    tenant      text NOT NULL,
    lane        text NOT NULL CHECK (lane IN ('urgent', 'normal', 'bulk')),
    status      text NOT NULL CHECK (status IN ('scheduled', 'waiting', 'sending', 'retrying', 'uncertain',
                    'sent', 'delivered', 'read', 'undelivered', 'failed', 'expired', 'canceled', 'suppressed', 'dead')),
    -- Why it stands there: a stable code and, where there is more to say, a sentence.
    reason      text NOT NULL,
    sentence    text,
    -- Raised with every decision to try again; an envelope of another turn is stale.
    turn        integer NOT NULL DEFAULT 0,
    -- Number of the attempt that was claimed last.
    attempt     integer NOT NULL DEFAULT 0,
    -- Counted failures, and waits in a row that were not counted.
    failures    integer NOT NULL DEFAULT 0,
    parks       integer NOT NULL DEFAULT 0,
    not_before  timestamptz,
    -- When somebody must look: the end of a lease, or the instant by which a wake-up must have come.
    due_at      timestamptz,
    claim_token uuid,
    -- Worthless after this instant: the producer's expires_at or the lane's age limit.
    deadline    timestamptz NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at  timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX jobs_due ON facteur.jobs (due_at) WHERE due_at IS NOT NULL;

-- What is sent: written once.
CREATE TABLE facteur.messages (
    id          uuid PRIMARY KEY,
    tenant      text NOT NULL,
    direction   text NOT NULL DEFAULT 'outbound' CHECK (direction IN ('outbound', 'inbound')),
    lane        text,
    category    text NOT NULL,
    channel     text NOT NULL CHECK (channel IN ('sms', 'mms', 'whatsapp')),
    recipient   text NOT NULL,
    sender      text,
    text        text,
    segments    integer NOT NULL,
    -- The job as its producer wrote it (JSON), and the headers that its wake-ups keep.
    document    bytea NOT NULL,
    headers     jsonb NOT NULL DEFAULT '{}',
    bulk_id     uuid,
    enqueued_at timestamptz,
    expires_at  timestamptz,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX messages_history ON facteur.messages (tenant, created_at DESC, id DESC);

-- One row for each HTTP call that left for Twilio.
CREATE TABLE facteur.attempts (
    job_id        uuid NOT NULL,
    number        integer NOT NULL,
    claim_token   uuid NOT NULL,
    started_at    timestamptz NOT NULL,
    duration_ms   integer NOT NULL,
    outcome       text NOT NULL CHECK (outcome IN ('accepted', 'refused', 'throttled', 'unreachable', 'uncertain')),
    code          integer,
    http_status   integer,
    sid           text,
    twilio_status text,
    cause         text,
    -- What was decided, and why.
    next_status   text NOT NULL,
    reason        text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (job_id, number)
);
CREATE UNIQUE INDEX attempts_sid ON facteur.attempts (sid) WHERE sid IS NOT NULL;

-- What a person must look at.
CREATE TABLE facteur.dead_letters (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    job_id      uuid,
    tenant      text NOT NULL DEFAULT 'default',
    code        text NOT NULL,
    field       text,
    sentence    text NOT NULL,
    body        bytea NOT NULL,
    headers     jsonb NOT NULL DEFAULT '{}',
    routing_key text NOT NULL,
    -- Set on what came through the dead-letter queue: the same envelope again is counted, not filed twice.
    digest      bytea,
    copies      integer NOT NULL DEFAULT 1,
    state       text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'requeued', 'discarded', 'resolved')),
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    closed_at   timestamptz
);
CREATE UNIQUE INDEX dead_letters_open_job ON facteur.dead_letters (job_id) WHERE state = 'open' AND job_id IS NOT NULL;
CREATE UNIQUE INDEX dead_letters_open_digest ON facteur.dead_letters (digest) WHERE state = 'open' AND digest IS NOT NULL;
CREATE INDEX dead_letters_job ON facteur.dead_letters (job_id) WHERE job_id IS NOT NULL;
CREATE INDEX dead_letters_list ON facteur.dead_letters (state, created_at DESC, id DESC);

-- Who sent a dead letter back to work, and why.
CREATE TABLE facteur.requeues (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dead_letter_id uuid NOT NULL,
    job_id         uuid,
    actor          text NOT NULL,
    reason         text NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Publications that were decided in a transaction and are still to be made. A claimed row that is not
-- deleted in time is published again.
CREATE TABLE facteur.outbox (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- The relay that carries it: a lane, or `events`.
    relay         text NOT NULL CHECK (relay IN ('urgent', 'normal', 'bulk', 'events')),
    exchange      text NOT NULL CHECK (exchange IN ('jobs', 'events')),
    routing_key   text NOT NULL,
    message_id    uuid NOT NULL,
    kind          text NOT NULL,
    headers       jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(headers) = 'object'),
    body          bytea NOT NULL,
    claimed_until timestamptz,
    claim_token   uuid,
    tries         integer NOT NULL DEFAULT 0,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX outbox_relay ON facteur.outbox (relay, id);

-- Senders that have a rate (segments a second) or an owner of their own.
CREATE TABLE facteur.senders (
    address    text PRIMARY KEY,
    tenant     text,
    rate       double precision CHECK (rate BETWEEN 0.00001 AND 100000),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- One clock per sender: everything up to `tat` is spoken for; jobs that had to step aside come back one
-- after the other up to `displaced_until`.
CREATE TABLE facteur.rate_slots (
    sender          text PRIMARY KEY,
    -- The rate that both clocks were moved at: when it changes, what lies ahead of them is stretched or shortened.
    rate            double precision NOT NULL,
    tat             timestamptz NOT NULL,
    displaced_until timestamptz NOT NULL
) WITH (fillfactor = 20);

-- Who must not be written to. An empty sender stands for all of the tenant's senders.
CREATE TABLE facteur.suppressions (
    tenant     text NOT NULL,
    recipient  text NOT NULL,
    sender     text NOT NULL DEFAULT '',
    reason     text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, recipient, sender)
);

-- A tenant's own templates; the built-in notification types stand behind them.
CREATE TABLE facteur.templates (
    tenant     text NOT NULL,
    name       text NOT NULL,
    language   text NOT NULL,
    version    integer NOT NULL,
    category   text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, name, language)
);
CREATE TABLE facteur.template_versions (
    tenant     text NOT NULL,
    name       text NOT NULL,
    language   text NOT NULL,
    version    integer NOT NULL,
    text       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, name, language, version),
    FOREIGN KEY (tenant, name, language) REFERENCES facteur.templates ON DELETE CASCADE
);

-- For producers that enqueue inside their own transaction: the job leaves when, and only if, they commit.
CREATE FUNCTION facteur.enqueue(job jsonb, lane text DEFAULT 'normal') RETURNS uuid
LANGUAGE plpgsql AS $$
DECLARE
    job_id uuid;
BEGIN
    IF jsonb_typeof(job) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION 'facteur.enqueue: the job is not a JSON object' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF job ->> 'to' IS NULL THEN
        RAISE EXCEPTION 'facteur.enqueue: the field "to" is missing' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF lane IS NULL OR lane NOT IN ('urgent', 'normal', 'bulk') THEN
        RAISE EXCEPTION 'facteur.enqueue: lane is "%"; urgent, normal and bulk exist', lane
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    job_id := coalesce((job ->> 'id')::uuid, gen_random_uuid());
    INSERT INTO facteur.outbox (relay, exchange, routing_key, message_id, kind, headers, body)
    VALUES (lane, 'jobs', 'send.' || lane, job_id, 'facteur.job.v1',
            jsonb_build_object('facteur-enqueued-at-ms', floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint),
            convert_to((job || jsonb_build_object('id', job_id))::text, 'UTF8'));
    RETURN job_id;
END
$$;

-- Events: whoever ends a message, by whatever path, tells the applications through the outbox. Connections
-- that set `facteur.events` to anything but `on` tell nothing.
CREATE FUNCTION facteur.tell_event() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.status = NEW.status THEN
        RETURN NULL;
    END IF;
    INSERT INTO facteur.outbox (relay, exchange, routing_key, message_id, kind, body)
    VALUES ('events', 'events', 'message.' || NEW.status, gen_random_uuid(), 'facteur.event.v1',
            convert_to(json_build_object('event', 'message.' || NEW.status, 'id', NEW.id, 'tenant', NEW.tenant,
                'status', NEW.status, 'reason', NEW.reason, 'attempts', NEW.attempt, 'at', NEW.updated_at,
                'sid', (SELECT sid FROM facteur.attempts WHERE job_id = NEW.id AND number = NEW.attempt))::text,
                'UTF8'));
    RETURN NULL;
END
$$;
CREATE TRIGGER jobs_tell_event AFTER INSERT OR UPDATE OF status ON facteur.jobs
FOR EACH ROW WHEN (NEW.status IN ('sent', 'delivered', 'read', 'undelivered', 'failed', 'expired', 'canceled',
                                  'suppressed', 'dead') AND current_setting('facteur.events', true) = 'on')
EXECUTE FUNCTION facteur.tell_event();

-- For people who ask in SQL.
CREATE VIEW facteur.overview AS
SELECT j.id, j.tenant, j.lane, j.status, j.reason, j.sentence, m.channel, m.sender, m.segments, j.attempt AS attempts,
       a.sid, a.twilio_status, a.code AS twilio_code, j.not_before, j.deadline, j.created_at, j.updated_at
FROM facteur.jobs j
LEFT JOIN facteur.messages m USING (id)
LEFT JOIN LATERAL (
    SELECT sid, twilio_status, code FROM facteur.attempts WHERE job_id = j.id ORDER BY number DESC LIMIT 1
) a ON true;
