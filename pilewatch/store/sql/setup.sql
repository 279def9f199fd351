-- The first steps of an installation.

-- name: admin_can_log_in
SELECT EXISTS (
    SELECT FROM person WHERE role = 'admin' AND active AND password_hash IS NOT NULL
) AS yes;

-- name: add_code
WITH old AS (DELETE FROM setup_code WHERE expires_at < %(now)s)
INSERT INTO setup_code (hash, expires_at) VALUES (%(hash)s, %(until)s);

-- name: is_code
SELECT FROM setup_code WHERE hash = %(hash)s AND expires_at > %(now)s;

-- name: use_code
-- Of several that were made, one is used and all end: there is one first admin.
WITH right_one AS (
    SELECT FROM setup_code WHERE hash = %(hash)s AND expires_at > %(now)s FOR UPDATE
)
DELETE FROM setup_code WHERE EXISTS (SELECT FROM right_one) RETURNING hash;

-- name: registered
SELECT (SELECT count(*) FROM area) AS areas, (SELECT count(*) FROM site) AS sites,
       (SELECT count(*) FROM charger WHERE active) AS chargers,
       (SELECT count(*) FROM unknown_charger) AS unknown;

-- name: chargers_by_word
-- Those that were heard last, then those that never were.
SELECT c.code, c.label, c.kind, h.last_seen_at
FROM charger c LEFT JOIN charger_state h ON h.charger_id = c.id
WHERE c.active AND (%(code)s::text IS NULL OR c.code = %(code)s)
ORDER BY h.last_seen_at DESC NULLS LAST, c.code LIMIT %(limit)s;

-- name: ask_test
INSERT INTO message_test (person_id, asked_at)
SELECT %(person_id)s, %(now)s
WHERE NOT EXISTS (SELECT FROM message_test WHERE done_at IS NULL)
RETURNING id;

-- name: last_test
SELECT id, asked_at, done_at, results FROM message_test ORDER BY id DESC LIMIT 1;

-- name: open_tests
SELECT id FROM message_test WHERE done_at IS NULL ORDER BY id;

-- name: end_test
UPDATE message_test SET done_at = %(now)s, results = %(results)s
WHERE id = %(id)s AND done_at IS NULL;
