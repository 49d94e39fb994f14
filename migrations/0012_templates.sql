-- Templates: channels, events, subjects; the versions stay.
ALTER TABLE facteur.templates
    ADD COLUMN id         uuid NOT NULL DEFAULT gen_random_uuid(),
    -- The channel that it is written for; NULL: any.
    ADD COLUMN channel    text CHECK (channel IN ('sms', 'mms', 'whatsapp')),
    -- What it is sent at, such as ticket_created; NULL: when somebody names it.
    ADD COLUMN event      text,
    -- For people and applications; no channel of ours sends one.
    ADD COLUMN subject    text,
    -- Nobody finds one that is not, and a built-in one of its name takes its place.
    ADD COLUMN is_active  boolean NOT NULL DEFAULT true,
    ADD COLUMN changed_by text,
    ADD COLUMN created_at timestamptz NOT NULL DEFAULT clock_timestamp();
CREATE UNIQUE INDEX templates_id ON facteur.templates (id);
CREATE INDEX templates_list ON facteur.templates (created_at DESC, id DESC);
CREATE INDEX templates_list_tenant ON facteur.templates (tenant, created_at DESC, id DESC);
CREATE INDEX templates_event ON facteur.templates (tenant, event) WHERE event IS NOT NULL;

ALTER TABLE facteur.template_versions ADD COLUMN changed_by text;
-- A template's name and language may be corrected: its versions follow.
ALTER TABLE facteur.template_versions
    DROP CONSTRAINT template_versions_tenant_name_language_fkey,
    ADD CONSTRAINT template_versions_tenant_name_language_fkey FOREIGN KEY (tenant, name, language)
        REFERENCES facteur.templates ON UPDATE CASCADE ON DELETE CASCADE;

-- What was sent under a version can be read as long as the template is there.
CREATE FUNCTION facteur.keep_template_version() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a version of a template is never changed: write a new one' USING ERRCODE = 'check_violation';
END
$$;
CREATE TRIGGER template_versions_stay BEFORE UPDATE ON facteur.template_versions
FOR EACH ROW WHEN (NEW.text IS DISTINCT FROM OLD.text OR NEW.version IS DISTINCT FROM OLD.version)
EXECUTE FUNCTION facteur.keep_template_version();

-- Who agreed to be written to when something happens. What they withdraw by STOP stands in `suppressions`.
CREATE TABLE facteur.contact_consents (
    tenant    text NOT NULL,
    recipient text NOT NULL,
    channel   text NOT NULL CHECK (channel IN ('sms', 'mms', 'whatsapp')),
    given_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Who told us: the bearer that the call came from.
    source    text NOT NULL,
    PRIMARY KEY (tenant, recipient, channel)
);

-- What another application calls a tenant, such as the company_id of a shared inbox.
CREATE TABLE IF NOT EXISTS facteur.tenant_aliases (
    alias      text PRIMARY KEY CHECK (char_length(alias) BETWEEN 1 AND 200),
    tenant     text NOT NULL,
    changed_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Messages that hold a password: text and variables are removed when their job has ended, and the header with them, so
-- that the index holds what is still to be done.
ALTER TABLE facteur.messages ADD COLUMN redacted_at timestamptz;
CREATE INDEX IF NOT EXISTS messages_secret ON facteur.messages (id) WHERE headers ? 'facteur-secret';
