-- name: get_meta
SELECT value FROM meta WHERE key = ?;

-- name: set_meta
INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value;

-- name: cursor
SELECT cursor, read_ms FROM cursors WHERE mailbox = ?;

-- name: cursors
SELECT mailbox, read_ms FROM cursors ORDER BY mailbox;

-- name: set_cursor
INSERT INTO cursors (mailbox, cursor, read_ms) VALUES (?, ?, ?)
ON CONFLICT (mailbox) DO UPDATE SET cursor = excluded.cursor, read_ms = excluded.read_ms;

-- name: add_aside
INSERT INTO aside (at_ms, outcome, why, came, size_bytes, data) VALUES (?, ?, ?, ?, ?, ?);

-- name: trim_aside
DELETE FROM aside WHERE id <= (SELECT max(id) FROM aside) - ? OR at_ms < ?;

-- name: asides
SELECT id, at_ms, outcome, why, came, size_bytes FROM aside ORDER BY id DESC LIMIT ?;

-- name: aside_data
SELECT data FROM aside WHERE id = ?;

-- name: aside_all
SELECT id, data FROM aside WHERE id > ? ORDER BY id LIMIT ?;

-- name: last_aside
SELECT max(id) FROM aside;

-- name: judge_aside
UPDATE aside SET outcome = ?, why = ? WHERE id = ?;

-- name: add_waiting
INSERT OR REPLACE INTO waiting (aside, at_ms, due_ms, claim) VALUES (?, ?, ?, ?);

-- name: trim_waiting
DELETE FROM waiting WHERE aside <= (SELECT aside FROM waiting ORDER BY aside DESC LIMIT 1 OFFSET ?);

-- name: waiting_all
SELECT aside, claim FROM waiting;

-- name: waiting_due
SELECT aside, at_ms, claim FROM waiting WHERE due_ms <= ? ORDER BY due_ms LIMIT ?;

-- name: put_off
UPDATE waiting SET due_ms = ? WHERE aside = ?;

-- name: drop_waiting
DELETE FROM waiting WHERE aside = ?;

-- name: count_waiting
SELECT count(*) FROM waiting;

-- name: drop_aside
DELETE FROM aside WHERE id = ?;

-- name: count_news
SELECT count(*) FROM news WHERE tenant = ? AND owner = ?;

-- name: add_news
INSERT INTO news (tenant, owner, at_ms, message_id, client, plan, recipient, reason, reply)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: know_owner
INSERT INTO owners (tenant, owner) VALUES (?, ?) ON CONFLICT (tenant, owner) DO NOTHING;

-- name: uncounted
UPDATE owners SET uncounted = uncounted + ? WHERE tenant = ? AND owner = ?;

-- name: due_owners
SELECT news.tenant, news.owner, min(news.at_ms), owners.uncounted
FROM news JOIN owners ON owners.tenant = news.tenant AND owners.owner = news.owner
WHERE owners.told_ms <= ?
GROUP BY news.tenant, news.owner
HAVING min(news.at_ms) <= ?
LIMIT ?;

-- name: news_of
SELECT id, at_ms, message_id, client, plan, recipient, reason, reply FROM news
WHERE tenant = ? AND owner = ? ORDER BY id LIMIT ?;

-- name: drop_news
DELETE FROM news WHERE tenant = ? AND owner = ? AND id <= ?;

-- name: told_owner
UPDATE owners SET told_ms = ?, uncounted = 0 WHERE tenant = ? AND owner = ?;

-- name: fail
INSERT INTO failing (address, times, first_ms, last_ms, reason) VALUES (?, 1, ?, ?, ?)
ON CONFLICT (address) DO UPDATE SET times = times + 1, last_ms = excluded.last_ms, reason = excluded.reason;

-- name: failing
SELECT address, times, first_ms, last_ms, reason FROM failing
WHERE times >= ? AND last_ms >= ? ORDER BY last_ms DESC LIMIT ?;

-- name: forget_failing
DELETE FROM failing WHERE last_ms < ?;

-- name: trim_failing
DELETE FROM failing WHERE address IN (SELECT address FROM failing ORDER BY last_ms DESC LIMIT -1 OFFSET ?);

-- name: erase_news
UPDATE news SET recipient = 'erased' WHERE recipient = ?;

-- name: erase_owner_news
DELETE FROM news WHERE owner = ?;

-- name: erase_owner
DELETE FROM owners WHERE owner = ?;

-- name: erase_failing
DELETE FROM failing WHERE address = ?;

-- name: changes
SELECT changes();

-- name: drop_old_news
DELETE FROM news WHERE at_ms < ?;
