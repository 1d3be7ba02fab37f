-- Settled messages that have their addresses still, while keyed hashes shall stand in their place (`hiding` in meta is 1).
CREATE TABLE unhidden (id TEXT PRIMARY KEY) WITHOUT ROWID;
