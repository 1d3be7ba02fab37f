-- Every query of the spool but those of `pairing.sql`. `-- fragment:` pieces are put in at `:::name`; `/*rows*/ (...)` marks what a bulk
-- statement repeats. Times are milliseconds. Kept to SQLite 3.34.

-- The terms of the partial index `parked`, word for word: SQLite uses it only for a query that repeats them.
-- fragment: parked
r.state IN ('in_flight', 'unknown', 'held', 'dead')

-- What a Filter asks of a message (m); a recipient must meet all its three conditions at once.
-- fragment: meets
(:client = '' OR m.client = :client)
  AND m.received_ms >= :since_ms AND (:until_ms = 0 OR m.received_ms < :until_ms)
  AND (:sender_lo = '' OR m.sender BETWEEN :sender_lo AND :sender_hi OR m.env_sender BETWEEN :sender_lo AND :sender_hi)
  AND ((:states = '' AND :reason = '' AND :recipient_lo = '') OR EXISTS (
    SELECT 1 FROM recipients AS r WHERE r.message = m.seq
      AND (:states = '' OR instr(:states, ',' || r.state || ',') > 0)
      AND (:reason = '' OR r.reason = :reason)
      AND (:recipient_lo = '' OR r.address BETWEEN :recipient_lo AND :recipient_hi
        OR r.original BETWEEN :recipient_lo AND :recipient_hi)))

-- fragment: fits
:::meets
ORDER BY m.received_ms DESC, m.seq DESC LIMIT :limit

-- Beyond a place in the order of history: newest first, what was received in one millisecond by id.
-- fragment: beyond
m.received_ms >= :since_ms AND m.received_ms <= :to_ms AND (m.received_ms < :before_ms OR m.id < :before_id)

-- fragment: entry
r.idx, r.state, r.due_ms, l.name, r.attempts, r.reason, r.reply, r.way, r.trace, r.tried_ms

-- ---- unit of work: loading -------------------------------------------------------------------------------------

-- name: load_messages
SELECT json_group_array(json_array(
  m.seq, m.id, m.finished_ms, b.size_bytes, b.file, c.pairing, c.state, c.careful))
FROM json_each(:ids) AS j JOIN messages AS m ON m.id = j.value LEFT JOIN bodies AS b ON b.message = m.seq
LEFT JOIN copies AS c ON c.message = m.seq

-- name: load_recipients
SELECT json_group_array(json_array(r.message, json_array(:::entry)))
FROM json_each(:seqs) AS j CROSS JOIN recipients AS r ON r.message = j.value CROSS JOIN lanes AS l ON l.id = r.lane

-- name: load_attempts
SELECT json_group_array(json_array(a.id, a.message_id, a.indexes, a.path, a.account, a.tenant, a.grant_id, a.external,
  a.started_ms, a.traceparent, a.dot_ms, a.finished_ms, a.mail_sent))
FROM json_each(:ids) AS j JOIN attempts AS a ON a.id = j.value

-- name: last_seq
SELECT coalesce(max(seq), 0) FROM messages

-- name: last_id
SELECT coalesce(max(id), '') FROM messages

-- name: lane_ids
SELECT name, id FROM lanes

-- ---- unit of work: writing -------------------------------------------------------------------------------------

-- name: add_lane
INSERT INTO lanes (id, name) VALUES (?, ?)

-- name: add_messages
INSERT INTO messages (seq, id, received_ms, expires_ms, client, sender, env_sender, facts)
VALUES /*rows*/ (?, ?, ?, ?, ?, ?, ?, ?)

-- name: add_recipients
INSERT INTO recipients (message, idx, state, due_ms, lane, address, original, received_ms)
VALUES /*rows*/ (?, ?, ?, ?, ?, ?, ?, ?)

-- name: add_bodies
INSERT INTO bodies (message, size_bytes, file, data) VALUES /*rows*/ (?, ?, ?, ?)

-- name: add_attempts
INSERT INTO attempts (id, message_id, indexes, path, account, tenant, grant_id, external, started_ms, traceparent,
  dot_ms, finished_ms, mail_sent) VALUES /*rows*/ (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: add_lines
INSERT INTO journey (message, sequence, lines) VALUES /*rows*/ (?, ?, ?)

-- The state found when the unit was loaded guards the move: fewer rows changed than asked means a broken spool.
-- name: move_recipients
UPDATE recipients SET state = c.column4, due_ms = c.column5, attempts = c.column6, reason = c.column7,
  reply = c.column8, way = c.column9, trace = c.column10, tried_ms = c.column11
FROM (VALUES /*rows*/ (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)) AS c
WHERE recipients.message = c.column1 AND recipients.idx = c.column2 AND recipients.state = c.column3

-- name: touch_attempts
UPDATE attempts SET dot_ms = c.column2, finished_ms = c.column3, mail_sent = c.column4
FROM (VALUES /*rows*/ (?, ?, ?, ?)) AS c WHERE attempts.id = c.column1

-- name: finish_messages
UPDATE messages SET finished_ms = c.column2 FROM (VALUES /*rows*/ (?, ?)) AS c WHERE messages.seq = c.column1

-- name: drop_bodies
DELETE FROM bodies WHERE message IN (SELECT value FROM json_each(:seqs))

-- name: add_tally
INSERT INTO tally (lane, state, recipients) VALUES (?, ?, ?)
ON CONFLICT (lane, state) DO UPDATE SET recipients = recipients + excluded.recipients

-- name: add_body_bytes
UPDATE meta SET value = value + ? WHERE key = 'body_bytes'

-- name: set_meta
INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value

-- name: get_meta
SELECT value FROM meta WHERE key = ?

-- ---- dispatch --------------------------------------------------------------------------------------------------

-- name: lanes
SELECT l.name, t.waiting,
  (SELECT min(r.due_ms) FROM recipients AS r WHERE r.lane = l.id AND r.due_ms IS NOT NULL),
  (SELECT m.received_ms FROM messages AS m WHERE m.seq =
    (SELECT min(r.message) FROM recipients AS r WHERE r.lane = l.id AND r.due_ms IS NOT NULL))
FROM (SELECT lane, sum(recipients) AS waiting FROM tally WHERE state IN ('queued', 'deferred') GROUP BY lane) AS t
JOIN lanes AS l ON l.id = t.lane WHERE t.waiting > 0 ORDER BY l.name

-- Rows, not messages: the reader stops when it has seen enough messages.
-- name: peek_order
SELECT r.message FROM recipients AS r INDEXED BY waiting_by_due
WHERE r.lane = (SELECT id FROM lanes WHERE name = :lane) AND r.due_ms <= :now_ms
  AND r.message NOT IN (SELECT m.seq FROM json_each(:exclude) AS j JOIN messages AS m ON m.id = j.value)
ORDER BY r.due_ms, r.message

-- CROSS JOIN fixes the order of loops: a planner without statistics would walk the whole lane instead.
-- name: due_recipients
SELECT r.message, :::entry
FROM json_each(:seqs) AS j CROSS JOIN recipients AS r ON r.message = j.value CROSS JOIN lanes AS l ON l.id = r.lane
WHERE l.name = :lane AND r.due_ms <= :now_ms ORDER BY r.message, r.idx

-- name: unknown_order
SELECT DISTINCT r.message FROM recipients AS r INDEXED BY parked
WHERE :::parked AND r.state = 'unknown' ORDER BY r.message LIMIT :limit

-- name: expired_order
SELECT m.seq FROM messages AS m INDEXED BY messages_live
WHERE m.finished_ms = 0 AND m.expires_ms <= :now_ms AND EXISTS (
  SELECT 1 FROM recipients AS r WHERE r.message = m.seq AND r.state IN ('queued', 'deferred', 'unknown'))
ORDER BY m.expires_ms, m.seq LIMIT :limit

-- name: facts
SELECT m.seq, m.facts, m.finished_ms, m.id, c.pairing
FROM json_each(:seqs) AS j JOIN messages AS m ON m.seq = j.value LEFT JOIN copies AS c ON c.message = m.seq

-- name: all_recipients
SELECT r.message, :::entry
FROM json_each(:seqs) AS j CROSS JOIN recipients AS r ON r.message = j.value CROSS JOIN lanes AS l ON l.id = r.lane
ORDER BY r.message, r.idx

-- name: body
SELECT b.file, b.data FROM messages AS m JOIN bodies AS b ON b.message = m.seq WHERE m.id = ?

-- CROSS JOIN as above: the few messages first.
-- name: small_bodies
SELECT b.message, b.data FROM json_each(:seqs) AS j CROSS JOIN bodies AS b ON b.message = j.value
WHERE b.size_bytes <= :bytes AND b.data IS NOT NULL

-- name: seq_of
SELECT seq FROM messages WHERE id = ?

-- name: lines
SELECT lines FROM journey WHERE message = ? ORDER BY sequence

-- ---- recovery --------------------------------------------------------------------------------------------------

-- name: interrupted
SELECT m.id FROM messages AS m WHERE m.seq IN (
  SELECT r.message FROM recipients AS r INDEXED BY parked WHERE :::parked AND r.state = 'in_flight')

-- name: open_attempts
SELECT a.id FROM attempts AS a INDEXED BY attempts_open WHERE a.finished_ms = 0

-- Attempts whose MAIL was never said hold no budget.
-- name: recent_attempts
SELECT a.id, a.message_id, a.indexes, a.path, a.account, a.tenant, a.grant_id, a.external, a.started_ms, a.traceparent,
  a.dot_ms, a.finished_ms, a.mail_sent
FROM attempts AS a WHERE a.started_ms >= :since_ms AND a.mail_sent = 1 ORDER BY a.started_ms, a.id

-- ---- finding ---------------------------------------------------------------------------------------------------

-- name: find_by_id
SELECT m.seq FROM messages AS m WHERE m.id IN (SELECT value FROM json_each(:ids)) AND :::fits

-- name: find_by_recipient
SELECT m.seq FROM messages AS m WHERE m.seq IN (
  SELECT message FROM recipients WHERE address BETWEEN :recipient_lo AND :recipient_hi
  UNION SELECT message FROM recipients WHERE original IS NOT NULL AND original BETWEEN :recipient_lo AND :recipient_hi)
AND :::fits

-- name: find_by_sender
SELECT m.seq FROM messages AS m WHERE m.seq IN (
  SELECT seq FROM messages WHERE sender BETWEEN :sender_lo AND :sender_hi
  UNION SELECT seq FROM messages WHERE env_sender IS NOT NULL AND env_sender BETWEEN :sender_lo AND :sender_hi)
AND :::fits

-- name: find_parked
SELECT m.seq FROM messages AS m WHERE m.seq IN (
  SELECT r.message FROM recipients AS r INDEXED BY parked
  WHERE :::parked AND instr(:states, ',' || r.state || ',') > 0)
AND :::fits

-- name: find_waiting
SELECT m.seq FROM messages AS m WHERE m.seq IN (
  SELECT r.message FROM recipients AS r INDEXED BY waiting_by_due WHERE r.due_ms IS NOT NULL)
AND :::fits

-- name: find_by_client
SELECT m.seq FROM messages AS m INDEXED BY messages_by_client WHERE m.client = :client AND :::fits

-- name: find_by_time
SELECT m.seq FROM messages AS m INDEXED BY messages_by_time WHERE m.received_ms >= :since_ms AND :::fits

-- ---- history ---------------------------------------------------------------------------------------------------
-- Walks give places in order, newest first, with whether the rest of the filter is met: the reader stops when it has
-- enough. What was received in the same millisecond is sorted by id as it comes, nothing else is.

-- name: walk_time
SELECT m.received_ms, m.id, m.seq, (:::meets) FROM messages AS m INDEXED BY messages_by_time WHERE :::beyond
ORDER BY m.received_ms DESC, m.id DESC

-- name: walk_client
SELECT m.received_ms, m.id, m.seq, (:::meets) FROM messages AS m INDEXED BY messages_by_client
WHERE m.client = :client AND :::beyond ORDER BY m.received_ms DESC, m.id DESC

-- name: walk_sender
SELECT m.received_ms, m.id, m.seq, (:::meets) FROM messages AS m INDEXED BY messages_by_sender
WHERE m.sender = :sender_lo AND :::beyond ORDER BY m.received_ms DESC, m.id DESC

-- name: walk_env_sender
SELECT m.received_ms, m.id, m.seq, (:::meets) FROM messages AS m INDEXED BY messages_by_env_sender
WHERE m.env_sender IS NOT NULL AND m.env_sender = :sender_lo AND :::beyond ORDER BY m.received_ms DESC, m.id DESC

-- name: walk_recipient
SELECT x.received_ms, m.id, m.seq, (:::meets)
FROM recipients AS x INDEXED BY recipients_by_address CROSS JOIN messages AS m ON m.seq = x.message
WHERE x.address = :recipient_lo AND x.received_ms >= :since_ms AND x.received_ms <= :to_ms AND :::beyond
ORDER BY x.received_ms DESC, m.id DESC

-- name: walk_original
SELECT x.received_ms, m.id, m.seq, (:::meets)
FROM recipients AS x INDEXED BY recipients_by_original CROSS JOIN messages AS m ON m.seq = x.message
WHERE x.original IS NOT NULL AND x.original = :recipient_lo AND x.received_ms >= :since_ms AND x.received_ms <= :to_ms
  AND :::beyond
ORDER BY x.received_ms DESC, m.id DESC

-- What is few enough to be looked at whole, and sorted.
-- name: few_ids
SELECT m.seq FROM json_each(:ids) AS j JOIN messages AS m ON m.id = j.value LIMIT :few

-- name: few_recipients
SELECT message FROM recipients INDEXED BY recipients_by_address WHERE address BETWEEN :recipient_lo AND :recipient_hi
UNION ALL SELECT message FROM recipients INDEXED BY recipients_by_original
WHERE original IS NOT NULL AND original BETWEEN :recipient_lo AND :recipient_hi LIMIT :few

-- name: few_senders
SELECT seq FROM messages INDEXED BY messages_by_sender WHERE sender BETWEEN :sender_lo AND :sender_hi
UNION ALL SELECT seq FROM messages INDEXED BY messages_by_env_sender
WHERE env_sender IS NOT NULL AND env_sender BETWEEN :sender_lo AND :sender_hi LIMIT :few

-- name: few_clients
SELECT seq FROM messages INDEXED BY messages_by_client
WHERE client = :client AND received_ms >= :since_ms AND received_ms <= :to_ms LIMIT :few

-- name: few_times
SELECT seq FROM messages INDEXED BY messages_by_time WHERE received_ms >= :since_ms AND received_ms <= :to_ms LIMIT :few

-- name: few_parked
SELECT r.message FROM recipients AS r INDEXED BY parked
WHERE :::parked AND instr(:states, ',' || r.state || ',') > 0 LIMIT :few

-- name: few_waiting
SELECT r.message FROM recipients AS r INDEXED BY waiting_by_due WHERE r.due_ms IS NOT NULL LIMIT :few

-- name: of_few
SELECT m.received_ms, m.id, m.seq, (:::meets) FROM messages AS m
WHERE m.seq IN (SELECT value FROM json_each(:seqs)) AND :::beyond ORDER BY m.received_ms DESC, m.id DESC

-- ---- totals ----------------------------------------------------------------------------------------------------

-- name: totals
SELECT state, sum(recipients) FROM tally GROUP BY state

-- ---- keeping house ---------------------------------------------------------------------------------------------

-- Finished before means received before: what was received first is looked at first, and an index on finished_ms,
-- written by every delivery, is spared.
-- name: past
SELECT m.seq FROM messages AS m INDEXED BY messages_by_time
WHERE m.received_ms < :before_ms AND m.finished_ms > 0 AND m.finished_ms < :before_ms
ORDER BY m.received_ms LIMIT :limit

-- name: files_of
SELECT file, size_bytes FROM bodies WHERE message IN (SELECT value FROM json_each(:seqs))

-- name: tally_of
SELECT lane, state, -count(*) FROM recipients WHERE message IN (SELECT value FROM json_each(:seqs)) GROUP BY lane, state

-- name: prune_messages
DELETE FROM messages WHERE seq IN (SELECT value FROM json_each(:seqs))

-- name: prune_recipients
DELETE FROM recipients WHERE message IN (SELECT value FROM json_each(:seqs))

-- name: prune_journey
DELETE FROM journey WHERE message IN (SELECT value FROM json_each(:seqs))

-- name: prune_attempts
DELETE FROM attempts WHERE id IN (
  SELECT id FROM attempts WHERE started_ms < :before_ms AND finished_ms > 0 ORDER BY started_ms LIMIT :limit)

-- name: erase_candidates
SELECT m.seq FROM messages AS m WHERE m.finished_ms > 0 AND m.seq > :after AND m.seq IN (
  SELECT message FROM recipients WHERE address = :key
  UNION SELECT message FROM recipients WHERE original IS NOT NULL AND original = :key
  UNION SELECT seq FROM messages WHERE sender = :key
  UNION SELECT seq FROM messages WHERE env_sender IS NOT NULL AND env_sender = :key)
ORDER BY m.seq LIMIT :limit

-- What was settled before, beyond a row, with whether something of it is kept for a person to send again.
-- fragment: hideable
m.finished_ms > 0 AND m.finished_ms < :before_ms
AND NOT EXISTS (SELECT 1 FROM recipients AS r WHERE r.message = m.seq AND r.state = 'dead')

-- name: unhidden_beyond
SELECT m.seq, m.received_ms < :before_ms, :::hideable
FROM messages AS m WHERE m.seq > :after ORDER BY m.seq LIMIT :limit

-- name: unhidden_left
SELECT u.message, :::hideable FROM unhidden AS u CROSS JOIN messages AS m ON m.seq = u.message
WHERE u.message > :after ORDER BY u.message LIMIT :limit

-- name: leave_unhidden
INSERT OR IGNORE INTO unhidden SELECT value FROM json_each(:seqs)

-- name: now_hidden
DELETE FROM unhidden WHERE message IN (SELECT value FROM json_each(:seqs))

-- name: forget_unhidden
DELETE FROM unhidden WHERE message NOT IN (SELECT seq FROM messages)

-- name: rewrite_message
UPDATE messages SET sender = ?, env_sender = ?, facts = ? WHERE seq = ?

-- name: rewrite_recipient
UPDATE recipients SET address = ?, original = ?, reply = ? WHERE message = ? AND idx = ?

-- name: lines_with_sequence
SELECT sequence, lines FROM journey WHERE message = ? ORDER BY sequence

-- name: rewrite_lines
UPDATE journey SET lines = ? WHERE message = ? AND sequence = ?

-- ---- checking --------------------------------------------------------------------------------------------------

-- name: body_files
SELECT m.id, b.file, b.size_bytes FROM bodies AS b JOIN messages AS m ON m.seq = b.message WHERE b.file IS NOT NULL

-- name: bodiless
SELECT m.id FROM messages AS m INDEXED BY messages_live
WHERE m.finished_ms = 0 AND m.seq NOT IN (SELECT message FROM bodies)

-- name: recount
INSERT INTO tally (lane, state, recipients)
SELECT lane, state, count(*) FROM recipients GROUP BY lane, state

-- name: clear_tally
DELETE FROM tally

-- name: recount_received
UPDATE recipients SET received_ms = coalesce((SELECT received_ms FROM messages WHERE seq = recipients.message), 0)

-- name: recount_bodies
UPDATE meta SET value = (SELECT coalesce(sum(size_bytes), 0) FROM bodies) WHERE key = 'body_bytes'
