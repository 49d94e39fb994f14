-- Waiting lines: jobs that wait for something else than time stand in a line, by what they wait for.
ALTER TABLE facteur.jobs
    -- What it waits for, such as rate:+33700000001, breaker:integration:AC… or pause:lane:bulk; NULL outside of any line.
    -- Compared byte by byte, so that the lines of one kind are one range of the index.
    ADD COLUMN waits_for text COLLATE "C",
    -- Its place in the line; kept when it comes out and has to go back in.
    ADD COLUMN in_line_since timestamptz;
CREATE INDEX IF NOT EXISTS jobs_line ON facteur.jobs (waits_for, lane, in_line_since) WHERE waits_for IS NOT NULL;
