-- What keeps jobs back: pauses that a person made, breakers that failures opened, and bulks that were cancelled.
CREATE TABLE facteur.pauses (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scope      text NOT NULL CHECK (scope IN ('lane', 'tenant', 'sender', 'integration', 'bulk')),
    -- Which one: the lane's name, the tenant's slug, the sender's address, the account's SID, the bulk's id.
    key        text NOT NULL,
    reason     text NOT NULL,
    actor      text NOT NULL,
    -- Ends by itself at this instant; NULL: only when somebody resumes.
    until      timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at   timestamptz,
    ended_by   text,
    ended_why  text
);
CREATE UNIQUE INDEX pauses_open ON facteur.pauses (scope, key) WHERE ended_at IS NULL;

-- One row for each breaker that ever opened. While `open`, its jobs stand in the line `breaker:<scope>:<key>`.
CREATE TABLE facteur.breakers (
    scope       text NOT NULL CHECK (scope IN ('integration', 'sender')),
    key         text NOT NULL,
    state       text NOT NULL CHECK (state IN ('closed', 'open', 'half_open')),
    -- Why it opened: a stable code and a sentence.
    reason      text NOT NULL,
    sentence    text NOT NULL,
    -- How often in a row it opened without closing.
    openings    integer NOT NULL DEFAULT 1,
    opened_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- When it is tried again.
    retry_at    timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (scope, key)
);

-- Bulks that were cancelled; their jobs that are still in a queue end when they come out of it.
CREATE TABLE facteur.bulk_cancels (
    bulk_id    uuid PRIMARY KEY,
    reason     text NOT NULL,
    actor      text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Tenants that have a share of their own: in a lane, a tenant of weight 3 gets three turns where others get one.
CREATE TABLE facteur.tenants (
    slug       text PRIMARY KEY,
    weight     integer NOT NULL DEFAULT 1 CHECK (weight BETWEEN 1 AND 100),
    changed_by text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Who set the sender's rate last; NULL for one that was set in SQL.
ALTER TABLE facteur.senders ADD COLUMN changed_by text;

-- The messages of a bulk, for its cancellation.
CREATE INDEX IF NOT EXISTS messages_bulk ON facteur.messages (bulk_id, id) WHERE bulk_id IS NOT NULL;
