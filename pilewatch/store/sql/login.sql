-- Passwords, attempts and login sessions.

-- name: person_by_login
SELECT id, password_hash, role, totp_since FROM person WHERE login = %(login)s AND active;

-- name: person_by_id
SELECT id, login, password_hash, role, totp_since FROM person WHERE id = %(id)s AND active;

-- name: set_password
UPDATE person SET password_hash = %(password_hash)s, version = version + 1
WHERE id = %(person_id)s;

-- name: end_sessions_of
DELETE FROM login_session
WHERE person_id = %(person_id)s AND id IS DISTINCT FROM %(but)s::bigint
  AND (%(id)s::bigint IS NULL OR id = %(id)s)
RETURNING id;

-- name: recent_attempts
SELECT count(*) FILTER (WHERE login = %(login)s AND address = %(address)s) AS together,
       count(*) FILTER (WHERE login = %(login)s) AS of_login,
       count(*) FILTER (WHERE address = %(address)s) AS of_address
FROM login_attempt WHERE at > %(since)s;

-- name: add_attempt
INSERT INTO login_attempt (at, login, address) VALUES (%(now)s, %(login)s, %(address)s);

-- name: forget_attempts
DELETE FROM login_attempt
WHERE at <= %(since)s OR (login = %(login)s AND address = %(address)s AND %(succeeded)s);

-- name: add_session
INSERT INTO login_session (hash, person_id, csrf, created_at, expires_at, stage, next)
VALUES (%(hash)s, %(person_id)s, %(csrf)s, %(now)s, %(expires_at)s, %(stage)s, %(next)s);

-- name: end_session
DELETE FROM login_session WHERE hash = %(hash)s;

-- name: end_old_sessions
DELETE FROM login_session WHERE expires_at <= %(now)s;

-- name: caller_by_session
SELECT p.id, p.login, p.role, p.company_id, grids_of(p) AS grids, areas_of(p) AS areas,
       l.id AS session_id, l.csrf
FROM login_session l JOIN person p ON p.id = l.person_id
WHERE l.hash = %(hash)s AND l.stage = 'full' AND l.expires_at > %(now)s AND p.active;

-- name: half_session
SELECT p.id AS person_id, p.login, p.role, p.totp_since, l.csrf, l.stage, l.next
FROM login_session l JOIN person p ON p.id = l.person_id
WHERE l.hash = %(hash)s AND l.stage <> 'full' AND l.expires_at > %(now)s AND p.active;

-- name: sessions
SELECT id, created_at, expires_at, coalesce(id = %(current)s::bigint, false) AS current
FROM login_session
WHERE person_id = %(person_id)s AND stage = 'full' AND expires_at > %(now)s
ORDER BY id DESC LIMIT 100;
