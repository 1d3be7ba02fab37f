-- level: 1
-- The first schema of truth.db. Never edited once released; later changes are files with the next number.

CREATE TABLE meta (
  key TEXT PRIMARY KEY,
  value NOT NULL
) WITHOUT ROWID;

-- Where each mailbox is read on from.
CREATE TABLE cursors (
  mailbox TEXT PRIMARY KEY,
  cursor TEXT NOT NULL,
  read_ms INTEGER NOT NULL
) WITHOUT ROWID;

-- Reports that changed nothing, their beginnings, for people to look at.
CREATE TABLE aside (
  id INTEGER PRIMARY KEY,
  at_ms INTEGER NOT NULL,
  outcome TEXT NOT NULL,
  why TEXT NOT NULL,
  came TEXT NOT NULL,
  size_bytes INTEGER NOT NULL,
  data BLOB NOT NULL
);

-- What owners have not been told yet.
CREATE TABLE news (
  id INTEGER PRIMARY KEY,
  tenant TEXT NOT NULL,
  owner TEXT NOT NULL,
  at_ms INTEGER NOT NULL,
  message_id TEXT NOT NULL,
  client TEXT NOT NULL,
  plan TEXT NOT NULL,
  recipient TEXT NOT NULL,
  reason TEXT NOT NULL,
  reply TEXT NOT NULL
);
CREATE INDEX news_by_owner ON news (tenant, owner, at_ms);

-- News beyond the number kept for one owner: only counted. And when the owner was last told.
CREATE TABLE owners (
  tenant TEXT NOT NULL,
  owner TEXT NOT NULL,
  told_ms INTEGER NOT NULL DEFAULT 0,
  uncounted INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant, owner)
) WITHOUT ROWID;

-- Addresses that failed for good, for the suppression list.
CREATE TABLE failing (
  address TEXT PRIMARY KEY,
  times INTEGER NOT NULL,
  first_ms INTEGER NOT NULL,
  last_ms INTEGER NOT NULL,
  reason TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX failing_by_time ON failing (last_ms);
