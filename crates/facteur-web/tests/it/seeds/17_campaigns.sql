-- The message and the bulk that the examples of /twilio name.
INSERT INTO facteur.jobs (id, fingerprint, tenant, lane, status, reason, deadline)
VALUES ('0197c1de-0000-7000-8000-00000000fe01', '\x01', 'default', 'normal', 'sent', 'accepted', now() + interval '1 day');
INSERT INTO facteur.messages (id, tenant, lane, category, channel, recipient, sender, text, segments, document)
VALUES ('0197c1de-0000-7000-8000-00000000fe01', 'default', 'normal', 'transactional', 'sms', '+33612345678',
        '+15005550006', 'Bonjour', 1, '{"to": "+33612345678", "body": "Bonjour"}');
INSERT INTO facteur.bulks (id, tenant, document, channel, category, sender, lane, state, total, head_digest, digest,
    created_by, accepted_at)
VALUES ('0197c1de-0000-7000-8000-00000000fe02', 'default', '{}', 'sms', 'marketing', '+15005550006', 'normal',
        'processing', 1, '\x01', '\x01', 'cli:ops', now());
INSERT INTO facteur.bulk_recipients (bulk_id, line, recipient, digest, state, code, field, sentence)
VALUES ('0197c1de-0000-7000-8000-00000000fe02', 1, '12', '\x01', 'refused', 'number_invalid', 'to', 'is too short');
