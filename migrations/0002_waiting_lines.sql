-- Waiting lines: jobs that wait for something else than time stand in a line, by what they wait for.
ALTER TABLE facteur.jobs
    -- What it waits for, such as rate:+33700000001, breaker:integration:AC… or pause:lane:bulk; NULL outside of any line.
    -- Compared byte by byte, so that the lines of one kind are one range of the index.
    ADD COLUMN waits_for text COLLATE "C",
    -- Its place in the line; kept when it comes out and has to go back in.
    ADD COLUMN in_line_since timestamptz;
CREATE INDEX IF NOT EXISTS jobs_line ON facteur.jobs (waits_for, lane, in_line_since) WHERE waits_for IS NOT NULL;

ALTER TABLE facteur.rate_slots
    -- Segments of urgent messages that left before their places, which end at `debt_until`.
    ADD COLUMN debt integer NOT NULL DEFAULT 0,
    ADD COLUMN debt_until timestamptz NOT NULL DEFAULT '-infinity',
    -- Only the previous release still moves it.
    ALTER COLUMN displaced_until SET DEFAULT clock_timestamp();
