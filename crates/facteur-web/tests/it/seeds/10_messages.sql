-- Messages that examples cancel, and a dead letter that they read.
INSERT INTO facteur.jobs (id, fingerprint, tenant, lane, status, reason, turn, due_at, deadline)
SELECT id::uuid, '\x01', 'default', 'normal', 'waiting', 'accepted', 0, now() + interval '1 hour', now() + interval '1 day'
FROM unnest(ARRAY['0197c1de-0000-7000-8000-00000000fe04', '0197c1de-0000-7000-8000-00000000fe05']) AS id;
INSERT INTO facteur.messages (id, tenant, lane, category, channel, recipient, sender, text, segments, document)
SELECT id::uuid, 'default', 'normal', 'transactional', 'sms', '+33612345678', '+15005550006', 'Bonjour', 1,
       '{"to": "+33612345678", "body": "Bonjour"}'
FROM unnest(ARRAY['0197c1de-0000-7000-8000-00000000fe04', '0197c1de-0000-7000-8000-00000000fe05']) AS id;
INSERT INTO facteur.dead_letters (id, tenant, code, sentence, body, routing_key)
VALUES ('0197c1de-0000-7000-8000-00000000fe06', 'default', 'malformed_json', 'the body is not JSON', '{', 'send.normal');
