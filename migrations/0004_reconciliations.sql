-- Attempts of which nobody knows whether Twilio took the message, and the search for evidence. A row stays when its
-- search is over: what was held may still be mistaken for a twin, and `facteur status` tells what was looked for.
CREATE TABLE facteur.reconciliations (
    job_id        uuid PRIMARY KEY,
    attempt       integer NOT NULL,
    -- The Twilio account of the attempt.
    account       text NOT NULL,
    recipient     text NOT NULL,
    -- When the call started and ended, or, after a lost lease, may have.
    started_at    timestamptz NOT NULL,
    ended_at      timestamptz NOT NULL,
    -- How long the search has gone on with the list readable and callbacks arriving: the grace that has passed.
    searched_s    double precision NOT NULL DEFAULT 0,
    checks        integer NOT NULL DEFAULT 0,
    checked_at    timestamptz,
    -- Whether the last look could tell something: the grace passes between two such looks.
    was_clear     boolean NOT NULL DEFAULT false,
    -- NULL once the search is over.
    next_check_at timestamptz,
    -- Whether the list has shown a message of ours that was accepted after this attempt.
    later_listed  boolean NOT NULL DEFAULT false,
    -- What was found so far, for a person.
    finding       text NOT NULL DEFAULT 'not looked for yet',
    -- How it ended: found, not_taken, resent, held, or overtaken by a callback or a late record.
    verdict       text,
    closed_at     timestamptz,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX reconciliations_due ON facteur.reconciliations (next_check_at) WHERE next_check_at IS NOT NULL;
CREATE INDEX reconciliations_twins ON facteur.reconciliations (account, recipient);
