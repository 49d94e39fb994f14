-- The conversation, the contacts and the medium that the examples of the inbox name.
INSERT INTO facteur.contacts (id, tenant, number, name)
VALUES ('0197c1de-0000-7000-8000-00000000ab02', 'default', '+33612345699', 'Jean Dupont'),
       ('0197c1de-0000-7000-8000-00000000ab05', 'default', '+33700000001', 'Jeanne Dupont');
INSERT INTO facteur.conversations (id, tenant, number, sender, channel, status, unread)
VALUES ('0197c1de-0000-7000-8000-00000000ab01', 'default', '+33612345699', '+15005550006', 'sms', 'new', 1);
INSERT INTO facteur.inbound_messages (id, sid, account, tenant, number, sender, written_to, channel, text, segments)
VALUES ('0197c1de-0000-7000-8000-00000000ab03', 'SM0000000000000000000000000000ab03',
        'AC00000000000000000000000000000000', 'default', '+33612345699', '+15005550006', '+15005550006', 'mms',
        'Bonjour', 1);
-- Its URL is set to that of a medium which the simulator has.
INSERT INTO facteur.media (id, message_id, place, tenant, account, url, content_type)
VALUES ('0197c1de-0000-7000-8000-00000000ab04', '0197c1de-0000-7000-8000-00000000ab03', 0, 'default',
        'AC00000000000000000000000000000000', '', 'image/png');
