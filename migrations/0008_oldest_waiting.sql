-- How long the oldest job of each lane has waited is asked every few seconds: one row of this index answers for a
-- lane, however many wait. On a large table an administrator creates it CONCURRENTLY beforehand.
CREATE INDEX IF NOT EXISTS jobs_oldest ON facteur.jobs (lane, created_at) WHERE status IN ('waiting', 'retrying');
