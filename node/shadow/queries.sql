-- Every query of the copy store. `/*rows*/ (...)` marks what a bulk statement repeats. Kept to SQLite 3.34.

-- name: get_meta
SELECT value FROM meta WHERE key = ?

-- name: set_meta
INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value

-- ---- pairings --------------------------------------------------------------------------------------------------

-- name: pairing
SELECT number, node, stream, expected FROM pairings WHERE spool = ? AND shadow = ? AND epoch = ?

-- name: count_pairings
SELECT count(*) FROM pairings

-- name: add_pairing
INSERT INTO pairings (spool, shadow, epoch, node, stream, expected) VALUES (?, ?, ?, ?, ?, 1)

-- name: begin_stream
UPDATE pairings SET stream = ?, expected = 1 WHERE number = ?

-- name: expect
UPDATE pairings SET expected = ? WHERE number = ?

-- name: add_numbers
UPDATE pairings SET messages = messages + ?, size_bytes = size_bytes + ? WHERE number = ?

-- name: total
SELECT coalesce(sum(size_bytes), 0) FROM pairings

-- name: held
SELECT spool, shadow, epoch, node, messages, size_bytes FROM pairings ORDER BY spool, shadow, epoch

-- name: holding
SELECT spool, shadow, epoch, node, messages, size_bytes FROM pairings
WHERE spool = ? AND shadow = ? AND epoch = ?

-- name: other_epochs
SELECT number FROM pairings WHERE spool = ? AND shadow = ? AND epoch <> ?

-- name: drop_pairing
DELETE FROM pairings WHERE number = ?

-- ---- copies ----------------------------------------------------------------------------------------------------

-- name: known
SELECT id FROM copies WHERE pairing = :pairing AND id IN (SELECT value FROM json_each(:ids))

-- The order of the join: a few pairings, of each the ids by the index.
-- name: kept_anywhere
SELECT DISTINCT copies.id FROM pairings CROSS JOIN json_each(:ids) AS asked CROSS JOIN copies
ON copies.pairing = pairings.number AND copies.id = asked.value WHERE pairings.messages > 0

-- name: ids_after
SELECT id FROM copies WHERE pairing = ? AND id > ? ORDER BY id LIMIT ?

-- name: add_copies
INSERT INTO copies (pairing, id, cost_bytes, size_bytes, file, progress, facts, body) VALUES
  /*rows*/ (?, ?, ?, ?, ?, ?, ?, ?)

-- name: renew_copy
UPDATE copies SET progress = ? WHERE pairing = ? AND id = ?

-- Intents and outcomes: a copy that comes again says where all recipients stand now.
-- name: drop_stale
DELETE FROM told WHERE pairing = ? AND id = ? AND kind IN (1, 2)

-- name: add_told
INSERT INTO told (pairing, id, kind, what) VALUES /*rows*/ (?, ?, ?, ?)

-- name: some
SELECT id, size_bytes, progress, facts FROM copies WHERE pairing = ? AND id > ? ORDER BY id LIMIT ?

-- name: told
SELECT id, kind, what FROM told
WHERE pairing = :pairing AND id IN (SELECT value FROM json_each(:ids)) ORDER BY id, seq

-- name: body
SELECT file, body FROM copies WHERE pairing = ? AND id = ?

-- name: chosen
SELECT id, cost_bytes, file, facts FROM copies
WHERE pairing = :pairing AND id IN (SELECT value FROM json_each(:ids))

-- name: drop_copies
DELETE FROM copies WHERE pairing = :pairing AND id IN (SELECT value FROM json_each(:ids))

-- name: drop_told
DELETE FROM told WHERE pairing = :pairing AND id IN (SELECT value FROM json_each(:ids))

-- name: first_ids
SELECT id FROM copies WHERE pairing = ? ORDER BY id LIMIT ?

-- name: files
SELECT seq, file, size_bytes FROM copies WHERE file IS NOT NULL

-- name: drop_seq
DELETE FROM copies WHERE seq = ?

-- name: drop_all_told
DELETE FROM told WHERE pairing = ?

-- name: recount
UPDATE pairings SET
  messages = (SELECT count(*) FROM copies WHERE pairing = number),
  size_bytes = (SELECT coalesce(sum(cost_bytes), 0) FROM copies WHERE pairing = number)

-- ---- history ---------------------------------------------------------------------------------------------------

-- name: past
SELECT id, discarded_ms, facts, lines FROM past WHERE id = ?

-- name: past_of
SELECT id, lines FROM past WHERE id IN (SELECT value FROM json_each(:ids))

-- name: add_past
INSERT INTO past (id, discarded_ms, facts, lines) VALUES /*rows*/ (?, ?, ?, ?)

-- name: renew_past
UPDATE past SET lines = ? WHERE id = ?

-- name: past_after
SELECT id, discarded_ms, facts, lines FROM past WHERE id > ? ORDER BY id LIMIT ?

-- name: rewrite_past
UPDATE past SET facts = ?, lines = ? WHERE id = ?

-- name: old
SELECT id, facts FROM past WHERE discarded_ms < ? ORDER BY discarded_ms LIMIT ?

-- name: prune
DELETE FROM past WHERE id IN (SELECT value FROM json_each(:ids))

-- Nothing is noted while addresses are kept in full.
-- name: note_unhidden
INSERT OR IGNORE INTO unhidden (id)
SELECT value FROM json_each(:ids) WHERE (SELECT value FROM meta WHERE key = 'hiding') = 1

-- name: first_unhidden
SELECT id FROM unhidden ORDER BY id LIMIT ?

-- name: drop_unhidden
DELETE FROM unhidden WHERE id IN (SELECT value FROM json_each(:ids))

-- name: drop_all_unhidden
DELETE FROM unhidden

-- ---- finding ---------------------------------------------------------------------------------------------------

-- name: add_addresses
INSERT OR IGNORE INTO searched (role, key, received_ms, id) VALUES /*rows*/ (?, ?, ?, ?)

-- name: drop_address
DELETE FROM searched WHERE role = ? AND key = ? AND received_ms = ? AND id = ?

-- name: past_by_ids
SELECT id, discarded_ms, facts, lines FROM past WHERE id IN (SELECT value FROM json_each(:ids)) ORDER BY id DESC

-- name: searched_before
SELECT received_ms, id FROM searched
WHERE role = :role AND key = :key AND (received_ms, id) < (:before_ms, :before_id) AND received_ms >= :since_ms
ORDER BY received_ms DESC, id DESC LIMIT :limit

-- name: naming
SELECT DISTINCT id FROM searched WHERE role IN (0, 1) AND key = ? LIMIT ?

-- name: drop_named
DELETE FROM searched WHERE role IN (0, 1) AND key = :key AND id IN (SELECT value FROM json_each(:ids))

-- name: searched_among
SELECT received_ms, id FROM searched WHERE role = :role AND key BETWEEN :first AND :last LIMIT :limit

-- name: kept_before
SELECT id, size_bytes, progress, facts FROM copies WHERE pairing = :pairing AND id < :before
ORDER BY id DESC LIMIT :limit
