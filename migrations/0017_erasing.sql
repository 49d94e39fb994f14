-- Erasing a contact looks each of the tenant's bulks up for its number, also among the lines that were refused, which
-- `bulk_recipients_once` leaves out. On a large table an administrator creates it CONCURRENTLY beforehand.
CREATE INDEX IF NOT EXISTS bulk_recipients_refused ON facteur.bulk_recipients (bulk_id, recipient)
WHERE state = 'refused';
