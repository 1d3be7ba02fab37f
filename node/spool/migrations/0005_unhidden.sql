-- With keyed hashes in place of addresses, history is gone through row by row; these were passed and have their addresses
-- still, because they were not settled then, or are kept for a person to send again. `hidden` in meta is the last row
-- passed.
CREATE TABLE unhidden (
  message INTEGER PRIMARY KEY
);
