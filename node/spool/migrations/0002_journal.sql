-- level: 1
-- A journal stands in front of the database: `journal` is the number of the last of its batches that is in here.
-- A version that does not know of it must not open this spool: it would leave behind what only the journal holds.
INSERT INTO meta (key, value) VALUES ('journal', 0);
