-- The shared inbox: contacts, conversations, inbound messages and their media. What we sent stands in `messages`, and
-- belongs to the conversation of the same tenant, number and sender; whether somebody opted out, in `suppressions`.

-- Who wrote to a tenant, or was written to from its inbox.
CREATE TABLE facteur.contacts (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant        text NOT NULL,
    -- In E.164, or whatever else Twilio names somebody by, such as a short code.
    number        text NOT NULL,
    name          text,
    first_seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_seen_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (tenant, number)
) WITH (fillfactor = 80);
CREATE INDEX contacts_list ON facteur.contacts (tenant, first_seen_at DESC, id DESC);

-- One for each contact and sender of ours.
CREATE TABLE facteur.conversations (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant          text NOT NULL,
    number          text NOT NULL,
    -- The Messaging Service, if the number that was written to is one's; else that number.
    sender          text NOT NULL,
    channel         text NOT NULL CHECK (channel IN ('sms', 'whatsapp')),
    -- NULL: the account of the environment.
    integration_id  uuid,
    status          text NOT NULL
                    CHECK (status IN ('new', 'open', 'waiting_for_us', 'waiting_for_them', 'closed')),
    assignee        text,
    -- Inbound messages that nobody of us has seen.
    unread          integer NOT NULL DEFAULT 0,
    last_message_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (tenant, number, sender)
) WITH (fillfactor = 70);
CREATE INDEX conversations_list ON facteur.conversations (tenant, last_message_at DESC, id DESC);

-- What contacts wrote, once for each SID of Twilio's.
CREATE TABLE facteur.inbound_messages (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    sid         text NOT NULL UNIQUE,
    account     text NOT NULL,
    tenant      text NOT NULL,
    number      text NOT NULL,
    sender      text NOT NULL,
    -- Our address as the contact wrote to it; another one than `sender` behind a Messaging Service.
    written_to  text NOT NULL,
    channel     text NOT NULL CHECK (channel IN ('sms', 'mms', 'whatsapp')),
    text        text NOT NULL,
    segments    integer NOT NULL,
    -- The whole text is a word by which a contact leaves, comes back or asks for help.
    keyword     text CHECK (keyword IN ('stop', 'start', 'help')),
    -- Every other parameter that Twilio sent.
    parameters  jsonb NOT NULL DEFAULT '{}',
    received_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX inbound_messages_of_number ON facteur.inbound_messages (tenant, number, received_at DESC, id DESC);

-- Media of inbound messages, by reference: they stay at Twilio.
CREATE TABLE facteur.media (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    message_id   uuid NOT NULL,
    place        smallint NOT NULL,
    tenant       text NOT NULL,
    account      text NOT NULL,
    url          text NOT NULL,
    -- As Twilio announced it.
    content_type text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (message_id, place)
);

-- What was written to a number. On a large table an administrator creates it CONCURRENTLY beforehand.
CREATE INDEX IF NOT EXISTS messages_recipient ON facteur.messages (tenant, recipient, created_at DESC, id DESC);
