-- The integration, sender and pools that the examples name. The token is sealed by the key of these tests.
INSERT INTO facteur.accounts (sid, tenant, key_id, secret, changed_by)
VALUES ('ACc0000000000000000000000000000003', 'default', '1', '\x0909090909090909090909090909090909090909090909096e02550ac82759c8d711d5ea8cf17772b7fdd44326f5a7bf4e60de5ec5927d640bd2b1a8154ec4', 'cli:ops');
INSERT INTO facteur.integrations (id, tenant, name, integration_type, account_sid, phone_number, is_default, changed_by)
VALUES ('0197c1de-0000-7000-8000-00000000fb01', 'default', 'seeded', 'sms', 'ACc0000000000000000000000000000003',
        '+33612345678', true, 'cli:ops');
INSERT INTO facteur.sender_pools (tenant, name, channel, changed_by)
VALUES ('default', 'main', 'sms', 'cli:ops'), ('default', 'old', 'sms', 'cli:ops');
INSERT INTO facteur.senders (address, tenant) VALUES ('+33612345678', 'default');
