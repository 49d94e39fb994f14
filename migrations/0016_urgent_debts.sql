-- The places of urgent messages that leave before them, one for each segment: each is repaid when it comes. They replace
-- debt and debt_until, which only the previous release still reads and writes: while the two run side by side, each owes
-- for itself.
ALTER TABLE facteur.rate_slots ADD COLUMN debts timestamptz[] NOT NULL DEFAULT '{}';
