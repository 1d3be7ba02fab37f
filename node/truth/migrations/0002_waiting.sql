-- Reports that may yet fit: asked again until they do, or their time is over. `aside` is the row people see meanwhile.
CREATE TABLE waiting (
  aside INTEGER PRIMARY KEY,
  at_ms INTEGER NOT NULL,
  due_ms INTEGER NOT NULL,
  claim BLOB NOT NULL
);
CREATE INDEX waiting_by_due ON waiting (due_ms);
