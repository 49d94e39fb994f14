-- Processes that are at work, so that they can be counted, and those with another configuration told.
CREATE TABLE facteur.workers (
    id         uuid PRIMARY KEY,
    role       text NOT NULL,
    version    text NOT NULL,
    -- The settings that all workers must share, as JSON; no secrets.
    settings   jsonb NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX workers_seen ON facteur.workers (seen_at);
