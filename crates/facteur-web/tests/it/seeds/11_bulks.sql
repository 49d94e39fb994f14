-- The bulks that examples cancel, pause and resume, and a paused one's pause.
INSERT INTO facteur.bulks (id, tenant, document, channel, category, sender, lane, state, total, head_digest, digest,
    created_by, accepted_at)
SELECT id::uuid, 'default', '{}', 'sms', 'marketing', '+15005550006', 'normal', 'processing', 0, '\x01', '\x01',
       'cli:ops', now()
FROM unnest(ARRAY['0197c1de-0000-7000-8000-00000000fe12', '0197c1de-0000-7000-8000-00000000fe13', '0197c1de-0000-7000-8000-00000000fe14']) AS id;
INSERT INTO facteur.pauses (scope, key, reason, actor)
VALUES ('bulk', '0197c1de-0000-7000-8000-00000000fe14', 'the text is being checked', 'cli:ops');
