-- What a tenant allows itself: countries, budget, quiet hours.
ALTER TABLE facteur.tenants
    -- The only countries that are written to, by their two letters; NULL: every country.
    ADD COLUMN countries_allowed text[],
    -- Most segments of one day of `time_zone`; NULL: no limit.
    ADD COLUMN segments_per_day  integer CHECK (segments_per_day BETWEEN 1 AND 1000000000),
    -- Whether marketing waits for the day where its recipient may be.
    ADD COLUMN quiet_hours       boolean NOT NULL DEFAULT false,
    -- Of templates, for jobs that name none.
    ADD COLUMN language          text,
    -- Of numbers without a country code; NULL: the configured one.
    ADD COLUMN default_country   text,
    -- Whose midnight renews the budget. A name that Postgres does not know raises an error here, and not in a claim.
    ADD COLUMN time_zone         text NOT NULL DEFAULT 'UTC'
        CHECK ((timestamptz '2000-01-01 00:00:00+00' AT TIME ZONE time_zone) IS NOT NULL);

-- What was counted of a budget: one row for each tenant and day, which the claims of that tenant take turns at.
CREATE TABLE facteur.tenant_usage (
    tenant   text NOT NULL,
    -- In the tenant's time zone.
    day      date NOT NULL,
    segments bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, day)
) WITH (fillfactor = 20);

-- On which day a budget counted the job; NULL: not yet, or there was no budget. A job is counted once.
ALTER TABLE facteur.jobs ADD COLUMN counted_on date;

-- When a contact last wrote to one of our WhatsApp senders: WhatsApp takes free text for 24 hours from then on.
CREATE TABLE facteur.conversation_windows (
    sender          text NOT NULL,
    contact         text NOT NULL,
    last_inbound_at timestamptz NOT NULL,
    PRIMARY KEY (sender, contact)
) WITH (fillfactor = 80);
