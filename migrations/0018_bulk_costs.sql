-- What a bulk is estimated to cost, by the prices that were configured when its lines were judged. Without a price, and
-- for what the previous release staged, there is no estimate.
ALTER TABLE facteur.bulks ADD COLUMN currency text;
-- Millionths of the currency's unit: of all segments of the message.
ALTER TABLE facteur.bulk_recipients ADD COLUMN cost_micros bigint;
