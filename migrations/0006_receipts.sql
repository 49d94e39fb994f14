-- Messages whose receipt did not come in time. A duty walks over `attempts` behind a watermark and puts here what is
-- still `sent`; a poller asks Twilio about it.
--
-- What was inserted since the index was last summarised is read whole, hence autosummarize: vacuum comes too seldom
-- to a table that only grows.
CREATE INDEX IF NOT EXISTS attempts_created ON facteur.attempts USING brin (created_at)
WITH (pages_per_range = 32, autosummarize = on);

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

-- An attempt whose SID was learnt later (evidence about an uncertain one) may lie behind the walk already.
CREATE FUNCTION facteur.miss_late_receipt() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO facteur.missing_receipts (job_id, attempt, sid, accepted_at, next_poll_at)
    VALUES (NEW.job_id, NEW.number, NEW.sid, NEW.created_at, clock_timestamp() + interval '10 minutes')
    ON CONFLICT (job_id) DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER attempts_miss_late_receipt AFTER UPDATE OF sid ON facteur.attempts
FOR EACH ROW WHEN (OLD.sid IS NULL AND NEW.sid IS NOT NULL)
EXECUTE FUNCTION facteur.miss_late_receipt();
