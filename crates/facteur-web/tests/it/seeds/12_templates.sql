-- The templates that examples read, change and delete: one for each family of routes.
INSERT INTO facteur.templates (id, tenant, name, language, version, category) VALUES
    ('0197c1de-0000-7000-8000-00000000fa21', 'default', 'parcel', 'en', 1, 'transactional'),
    ('0197c1de-0000-7000-8000-00000000fa22', 'default', 'saved', 'fr', 1, 'transactional'),
    ('0197c1de-0000-7000-8000-00000000fa23', 'default', 'ticket', 'fr', 1, 'transactional');
INSERT INTO facteur.template_versions (tenant, name, language, version, text) VALUES
    ('default', 'parcel', 'en', 1, 'Hello {{name}}, your parcel has left.'),
    ('default', 'saved', 'fr', 1, 'Bonjour {{nom}}'),
    ('default', 'ticket', 'fr', 1, 'Bonjour {{customer_name}}, ticket {{ticket_number}}');

-- A notification.
INSERT INTO facteur.jobs (id, fingerprint, tenant, lane, status, reason, deadline)
VALUES ('0197c1de-0000-7000-8000-00000000fa24', '\x01', 'default', 'normal', 'sent', 'accepted', now() + interval '1 day');
INSERT INTO facteur.messages (id, tenant, lane, category, channel, recipient, sender, text, segments, document)
VALUES ('0197c1de-0000-7000-8000-00000000fa24', 'default', 'normal', 'transactional', 'sms', '+33612345678',
        '+15005550006', 'Bonjour', 1, '{"to": "+33612345678", "body": "Bonjour"}');
