-- level: 1
-- When a recipient's message was received stands beside its address: the index gives what went to somebody newest first,
-- so that history is read page by page by its order, however much of it an address has.
ALTER TABLE recipients ADD COLUMN received_ms INTEGER NOT NULL DEFAULT 0;
UPDATE recipients SET received_ms = coalesce((SELECT received_ms FROM messages WHERE seq = recipients.message), 0);
DROP INDEX recipients_by_address;
DROP INDEX recipients_by_original;
CREATE INDEX recipients_by_address ON recipients (address, received_ms);
CREATE INDEX recipients_by_original ON recipients (original, received_ms) WHERE original IS NOT NULL;
