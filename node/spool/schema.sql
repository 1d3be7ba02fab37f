-- The schema as it stands after every migration, for readers; a test compares the two. Applied by nobody.

CREATE TABLE meta (
  key TEXT PRIMARY KEY,
  value NOT NULL
) WITHOUT ROWID;

CREATE TABLE lanes (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
);

-- One row a message, kept as history once finished. `facts` is the NewMessage; the other columns are for search.
-- sender and env_sender are search keys, domain first; env_sender only where it differs.
CREATE TABLE messages (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  received_ms INTEGER NOT NULL,
  expires_ms INTEGER NOT NULL,
  finished_ms INTEGER NOT NULL DEFAULT 0,
  client TEXT NOT NULL,
  sender TEXT NOT NULL,
  env_sender TEXT,
  facts BLOB NOT NULL
);
CREATE INDEX messages_by_time ON messages (received_ms);
CREATE INDEX messages_by_client ON messages (client, received_ms);
CREATE INDEX messages_by_sender ON messages (sender, received_ms);
CREATE INDEX messages_by_env_sender ON messages (env_sender, received_ms) WHERE env_sender IS NOT NULL;
CREATE INDEX messages_live ON messages (expires_ms) WHERE finished_ms = 0;

-- due_ms is set exactly while a recipient waits, so that the partial indexes hold the backlog and nothing else.
CREATE TABLE recipients (
  message INTEGER NOT NULL,
  idx INTEGER NOT NULL,
  state TEXT NOT NULL,
  due_ms INTEGER,
  lane INTEGER NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  reason TEXT NOT NULL DEFAULT '',
  reply TEXT NOT NULL DEFAULT '',
  way TEXT NOT NULL DEFAULT '',
  trace TEXT NOT NULL DEFAULT '',
  tried_ms INTEGER NOT NULL DEFAULT 0,
  address TEXT NOT NULL,
  original TEXT,
  received_ms INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (message, idx),
  CHECK ((due_ms IS NOT NULL) = (state IN ('queued', 'deferred')))
) WITHOUT ROWID;
CREATE INDEX waiting_by_due ON recipients (lane, due_ms, message) WHERE due_ms IS NOT NULL;
CREATE INDEX waiting_by_age ON recipients (lane, message) WHERE due_ms IS NOT NULL;
CREATE INDEX parked ON recipients (state, message) WHERE state IN ('in_flight', 'unknown', 'held', 'dead');
CREATE INDEX recipients_by_address ON recipients (address, received_ms);
CREATE INDEX recipients_by_original ON recipients (original, received_ms) WHERE original IS NOT NULL;

-- data is last: size and file are read without touching the pages the body overflows into.
CREATE TABLE bodies (
  message INTEGER PRIMARY KEY,
  size_bytes INTEGER NOT NULL,
  file TEXT,
  data BLOB
);
CREATE INDEX bodies_in_files ON bodies (file) WHERE file IS NOT NULL;

-- The ledger of what was tried in the last 25 h; names the message by its id, for it outlives a pruned one.
CREATE TABLE attempts (
  id TEXT PRIMARY KEY,
  message_id TEXT NOT NULL,
  indexes TEXT NOT NULL,
  path TEXT NOT NULL,
  account TEXT NOT NULL,
  tenant TEXT NOT NULL,
  grant_id TEXT NOT NULL,
  external INTEGER NOT NULL,
  started_ms INTEGER NOT NULL,
  traceparent TEXT NOT NULL,
  dot_ms INTEGER NOT NULL DEFAULT 0,
  finished_ms INTEGER NOT NULL DEFAULT 0,
  mail_sent INTEGER NOT NULL DEFAULT 1
) WITHOUT ROWID;
CREATE INDEX attempts_by_start ON attempts (started_ms);
CREATE INDEX attempts_open ON attempts (message_id) WHERE finished_ms = 0;

-- One row per message and transaction; lines is a msgpack array of steps.
CREATE TABLE journey (
  message INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  lines BLOB NOT NULL,
  PRIMARY KEY (message, sequence)
) WITHOUT ROWID;

-- How many recipients stand in each state of each lane, kept in the same transaction as the moves.
CREATE TABLE tally (
  lane INTEGER NOT NULL,
  state TEXT NOT NULL,
  recipients INTEGER NOT NULL,
  PRIMARY KEY (lane, state)
) WITHOUT ROWID;

-- Which pairing a message belongs to, and whether its copy is known to exist. A spool that was never in a cluster
-- has no row here: `paired` in meta says that every live message has one.
CREATE TABLE pairs (
  number INTEGER PRIMARY KEY,
  spool TEXT NOT NULL,
  shadow TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  store TEXT NOT NULL DEFAULT '',
  UNIQUE (spool, shadow, epoch)
);

-- message is messages.seq, id the same one's id, for its order. state: 0 live, not known to be kept twice; 1 live and
-- kept twice; 2 settled, and the other end has not heard (pairing > 0). pairing 0: it is here alone.
CREATE TABLE copies (
  message INTEGER PRIMARY KEY,
  id TEXT NOT NULL,
  pairing INTEGER NOT NULL,
  state INTEGER NOT NULL,
  careful INTEGER NOT NULL
);
CREATE INDEX copies_by_pairing ON copies (pairing, state, id);
CREATE INDEX copies_careful ON copies (pairing) WHERE careful = 1 AND state < 2;

-- With keyed hashes in place of addresses, history is gone through row by row; these were passed and have their addresses
-- still, because they were not settled then, or are kept for a person to send again. `hidden` in meta is the last row
-- passed.
CREATE TABLE unhidden (
  message INTEGER PRIMARY KEY
);

-- How many rows have state 0, whatever writes them: asked for every second, with a million of them.
CREATE TRIGGER copies_added AFTER INSERT ON copies WHEN new.state = 0
BEGIN UPDATE meta SET value = value + 1 WHERE key = 'unprotected'; END;
CREATE TRIGGER copies_gone AFTER DELETE ON copies WHEN old.state = 0
BEGIN UPDATE meta SET value = value - 1 WHERE key = 'unprotected'; END;
CREATE TRIGGER copies_changed AFTER UPDATE OF state ON copies WHEN (old.state = 0) <> (new.state = 0)
BEGIN UPDATE meta SET value = value + (new.state = 0) - (old.state = 0) WHERE key = 'unprotected'; END;

INSERT INTO meta (key, value)
VALUES ('sequence', 0), ('body_bytes', 0), ('journal', 0), ('unprotected', 0), ('paired', 0), ('told', 0);
