-- level: 1
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

-- How many rows have state 0, whatever writes them: asked for every second, with a million of them.
CREATE TRIGGER copies_added AFTER INSERT ON copies WHEN new.state = 0
BEGIN UPDATE meta SET value = value + 1 WHERE key = 'unprotected'; END;
CREATE TRIGGER copies_gone AFTER DELETE ON copies WHEN old.state = 0
BEGIN UPDATE meta SET value = value - 1 WHERE key = 'unprotected'; END;
CREATE TRIGGER copies_changed AFTER UPDATE OF state ON copies WHEN (old.state = 0) <> (new.state = 0)
BEGIN UPDATE meta SET value = value + (new.state = 0) - (old.state = 0) WHERE key = 'unprotected'; END;

INSERT INTO meta (key, value) VALUES ('unprotected', 0), ('paired', 0), ('told', 0);
