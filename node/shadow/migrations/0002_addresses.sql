-- level: 1
-- Whom settled messages came from and went to, for searches in history. Keys have the domain first, as in the spool.
-- role 0: a recipient, also as it was named before it was replaced; 1: a sender.
CREATE TABLE addresses (
  role INTEGER NOT NULL,
  key TEXT NOT NULL,
  id TEXT NOT NULL,
  PRIMARY KEY (role, key, id)
) WITHOUT ROWID;

-- The last settled message from before this table that is in it; each later one is put in as it is settled.
INSERT INTO meta (key, value) VALUES ('addressed', '');
