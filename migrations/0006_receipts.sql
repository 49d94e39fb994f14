-- Messages whose receipt did not come in time. A duty walks over `attempts` behind a watermark and puts here what is
-- still `sent`; a poller asks Twilio about it.
CREATE INDEX IF NOT EXISTS attempts_created ON facteur.attempts USING brin (created_at) WITH (pages_per_range = 32);

CREATE TABLE facteur.missing_receipts (
    job_id       uuid PRIMARY KEY,
    attempt      integer NOT NULL,
    sid          text NOT NULL,
    accepted_at  timestamptz NOT NULL,
    polls        integer NOT NULL DEFAULT 0,
    next_poll_at timestamptz NOT NULL
);
CREATE INDEX missing_receipts_due ON facteur.missing_receipts (next_poll_at);

-- How far the walk has come: one row.
CREATE TABLE facteur.receipts_watermark (
    id        boolean PRIMARY KEY DEFAULT true CHECK (id),
    walked_to timestamptz NOT NULL
);
