INSERT INTO facteur.pauses (scope, key, reason, actor) VALUES ('tenant', 'default', 'an example', 'seed');
