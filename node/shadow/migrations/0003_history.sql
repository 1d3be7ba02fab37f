-- level: 1
-- Settled messages in the order of history, which is the same on every node: when received, then id.
-- role 0: by recipient, also as it was named before it was replaced; 1: by sender; 2: by client; 3: all (key empty).
-- Keys of addresses have the domain first, as in the spool.
CREATE TABLE searched (
  role INTEGER NOT NULL,
  key TEXT NOT NULL,
  received_ms INTEGER NOT NULL,
  id TEXT NOT NULL,
  PRIMARY KEY (role, key, received_ms, id)
) WITHOUT ROWID;
DROP TABLE addresses;

-- What is settled already is put in again, part by part.
UPDATE meta SET value = '' WHERE key = 'addressed';
