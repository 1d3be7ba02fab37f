-- level: 1
-- Copies of other nodes' mail. Facts and progress are msgpack. Times are milliseconds since the epoch.
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;

-- One row for each pairing and epoch. `expected` is the sequence of the next batch of the stream.
CREATE TABLE pairings (
  number INTEGER PRIMARY KEY,
  spool TEXT NOT NULL,
  shadow TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  node TEXT NOT NULL,
  stream INTEGER NOT NULL,
  expected INTEGER NOT NULL,
  messages INTEGER NOT NULL DEFAULT 0,
  size_bytes INTEGER NOT NULL DEFAULT 0,
  UNIQUE (spool, shadow, epoch)
);

-- Bodies stand last: what is read in chunks leaves their pages alone.
CREATE TABLE copies (
  seq INTEGER PRIMARY KEY,
  pairing INTEGER NOT NULL,
  id TEXT NOT NULL,
  cost_bytes INTEGER NOT NULL,
  size_bytes INTEGER NOT NULL,
  file TEXT,
  progress BLOB NOT NULL,
  facts BLOB NOT NULL,
  body BLOB
);
CREATE UNIQUE INDEX copies_by_id ON copies (pairing, id);
CREATE INDEX copies_in_files ON copies (file) WHERE file IS NOT NULL;

-- What was told of a message later: intents, outcomes, lines. It may come before a large body is complete.
CREATE TABLE told (
  seq INTEGER PRIMARY KEY,
  pairing INTEGER NOT NULL,
  id TEXT NOT NULL,
  kind INTEGER NOT NULL,
  what BLOB NOT NULL
);
CREATE INDEX told_by_id ON told (pairing, id, seq);

-- History of what is settled; one message may have come under several epochs.
CREATE TABLE past (
  id TEXT PRIMARY KEY,
  discarded_ms INTEGER NOT NULL,
  facts BLOB NOT NULL,
  lines BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX past_by_time ON past (discarded_ms);

INSERT INTO meta (key, value) VALUES ('sequence', 0);
