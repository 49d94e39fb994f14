-- The key that the examples of /v1/keys name; nobody has it.
INSERT INTO facteur.api_keys (id, digest, prefix, name, tenant, role, created_by)
VALUES ('0197c1de-0000-7000-8000-00000000fa01', '\x00', 'fk_2sV9qWxY', 'back office', 'default', 'sender', 'cli:ops');
