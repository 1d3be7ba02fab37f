-- Queries about pairings and copies; read together with queries.sql, whose fragments they may use.

-- ---- what was given a number -----------------------------------------------------------------------------------

-- name: pairs
SELECT p.number, p.spool, p.shadow, p.epoch, p.store FROM pairs AS p ORDER BY p.number

-- name: pair_numbers
SELECT p.number FROM pairs AS p

-- name: pair_number
SELECT number FROM pairs WHERE spool = ? AND shadow = ? AND epoch = ?

-- Never a number that rows may carry still.
-- name: next_pair
SELECT 1 + max(coalesce((SELECT max(number) FROM pairs), 0), coalesce((SELECT max(pairing) FROM copies), 0))

-- name: add_pair
INSERT INTO pairs (number, spool, shadow, epoch) VALUES (?, ?, ?, ?)

-- name: name_store
UPDATE pairs SET store = ? WHERE number = ?

-- name: prune_pairs
DELETE FROM pairs WHERE number NOT IN (SELECT number FROM pairs ORDER BY number DESC LIMIT :newest)
  AND NOT EXISTS (SELECT 1 FROM copies AS c WHERE c.pairing = pairs.number)

-- ---- asking ----------------------------------------------------------------------------------------------------

-- The parts are index look-ups, however many messages there are; the last walks what is in flight.
-- name: here
SELECT
  EXISTS (SELECT 1 FROM copies AS c INDEXED BY copies_by_pairing WHERE c.pairing = :number AND c.state = 0),
  EXISTS (SELECT 1 FROM copies AS c INDEXED BY copies_by_pairing WHERE c.pairing = :number AND c.state = 1),
  EXISTS (SELECT 1 FROM copies AS c INDEXED BY copies_careful WHERE c.pairing = :number
    AND c.careful = 1 AND c.state < 2),
  EXISTS (SELECT 1 FROM recipients AS r INDEXED BY parked CROSS JOIN copies AS c ON c.message = r.message
    WHERE :::parked AND r.state = 'in_flight' AND c.pairing = :number)

-- name: standing_order
SELECT id, message, pairing, state FROM (
  SELECT * FROM (SELECT c.id, c.message, c.pairing, c.state FROM copies AS c INDEXED BY copies_by_pairing
    WHERE c.pairing = :number AND c.state = 0 AND c.id > :after ORDER BY c.id LIMIT :limit)
  UNION ALL
  SELECT * FROM (SELECT c.id, c.message, c.pairing, c.state FROM copies AS c INDEXED BY copies_by_pairing
    WHERE c.pairing = :number AND c.state = 1 AND c.id > :after ORDER BY c.id LIMIT :confirmed)
) ORDER BY id LIMIT :limit

-- As `standing_order`, of at most :scan messages each; the flag says whether something was written lately.
-- name: newer
SELECT id, message, pairing, state,
  EXISTS (SELECT 1 FROM journey AS y WHERE y.message = found.message AND y.sequence > :sequence)
FROM (
  SELECT * FROM (SELECT c.id, c.message, c.pairing, c.state FROM copies AS c INDEXED BY copies_by_pairing
    WHERE c.pairing = :number AND c.state = 0 AND c.id > :after ORDER BY c.id LIMIT :scan)
  UNION ALL
  SELECT * FROM (SELECT c.id, c.message, c.pairing, c.state FROM copies AS c INDEXED BY copies_by_pairing
    WHERE c.pairing = :number AND c.state = 1 AND c.id > :after ORDER BY c.id LIMIT :scan)
) AS found ORDER BY id LIMIT :scan

-- name: journeys
SELECT m.id, y.lines FROM json_each(:ids) AS j CROSS JOIN messages AS m ON m.id = j.value
CROSS JOIN journey AS y ON y.message = m.seq ORDER BY m.seq, y.sequence

-- name: sizes
SELECT b.message, b.size_bytes FROM json_each(:seqs) AS j CROSS JOIN bodies AS b ON b.message = j.value

-- name: lines_of_many
SELECT y.message, y.lines FROM json_each(:seqs) AS j CROSS JOIN journey AS y ON y.message = j.value
ORDER BY y.message, y.sequence

-- name: look
SELECT m.id, m.finished_ms, c.pairing, c.state,
  EXISTS (SELECT 1 FROM recipients AS r WHERE r.message = m.seq AND r.state = 'in_flight')
FROM json_each(:ids) AS j CROSS JOIN messages AS m ON m.id = j.value LEFT JOIN copies AS c ON c.message = m.seq

-- name: untold
SELECT c.id FROM copies AS c INDEXED BY copies_by_pairing
WHERE c.pairing = :number AND c.state = 2 ORDER BY c.id LIMIT :limit

-- ---- writing ---------------------------------------------------------------------------------------------------

-- name: add_copies
INSERT INTO copies (message, id, pairing, state, careful) VALUES /*rows*/ (?, ?, ?, ?, ?)

-- A message without recipients left to deliver lives again: alone.
-- name: reopen_copies
INSERT INTO copies (message, id, pairing, state, careful) VALUES (?, ?, 0, 0, ?)
ON CONFLICT (message) DO UPDATE SET pairing = 0, state = 0, careful = excluded.careful

-- name: settle_copies
UPDATE copies SET state = 2 WHERE message IN (SELECT value FROM json_each(:seqs))

-- name: drop_copies
DELETE FROM copies WHERE message IN (SELECT value FROM json_each(:seqs))

-- The pluses keep the planner at the rows named: by the index it would walk the whole pairing.
-- name: confirm
UPDATE copies SET state = 1 WHERE +pairing = :number AND +state = 0 AND message IN (
  SELECT m.seq FROM json_each(:ids) AS j CROSS JOIN messages AS m ON m.id = j.value)

-- name: unconfirm
UPDATE copies SET state = 0 WHERE message IN (
  SELECT c.message FROM copies AS c INDEXED BY copies_by_pairing WHERE c.pairing = :number AND c.state = 1
  LIMIT :limit)

-- name: told
DELETE FROM copies WHERE +state = 2 AND message IN (
  SELECT m.seq FROM json_each(:ids) AS j CROSS JOIN messages AS m ON m.id = j.value)

-- name: movable
SELECT m.seq, m.id FROM json_each(:ids) AS j CROSS JOIN messages AS m ON m.id = j.value
WHERE m.finished_ms = 0 AND NOT EXISTS (
  SELECT 1 FROM recipients AS r WHERE r.message = m.seq AND r.state = 'in_flight')

-- name: reattach
UPDATE copies SET pairing = :number, state = 0 WHERE message IN (SELECT value FROM json_each(:seqs))

-- name: live_of
SELECT m.seq, m.id, EXISTS (SELECT 1 FROM recipients AS r WHERE r.message = m.seq AND r.state = 'in_flight')
FROM json_each(:ids) AS j CROSS JOIN messages AS m ON m.id = j.value WHERE m.finished_ms = 0

-- Once in a spool's life: live messages that came in before it was in a cluster.
-- name: without_copies
SELECT m.seq, m.id, m.facts FROM messages AS m INDEXED BY messages_live
WHERE m.finished_ms = 0 AND NOT EXISTS (SELECT 1 FROM copies AS c WHERE c.message = m.seq)

-- ---- salvage ---------------------------------------------------------------------------------------------------

-- name: mend_orphans
DELETE FROM copies WHERE message NOT IN (SELECT seq FROM messages)

-- What the other end had heard of cannot be known: it hears again.
-- name: mend_settled
UPDATE copies SET state = 2 WHERE state < 2 AND message IN (SELECT seq FROM messages WHERE finished_ms > 0)

-- name: mend_strange
UPDATE copies SET pairing = 0, state = 0
WHERE (pairing > 0 AND pairing NOT IN (SELECT number FROM pairs)) OR (pairing = 0 AND state > 0)
  OR (state = 2 AND message IN (SELECT seq FROM messages WHERE finished_ms = 0))

-- name: mend_done
DELETE FROM copies WHERE pairing = 0 AND message IN (SELECT seq FROM messages WHERE finished_ms > 0)

-- name: any_copy
SELECT 1 FROM copies LIMIT 1

-- name: recount_copies
UPDATE meta SET value = (SELECT count(*) FROM copies WHERE state = 0) WHERE key = 'unprotected'
