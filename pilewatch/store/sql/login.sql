-- Passwords and login sessions.

-- name: person_by_login
SELECT id, password_hash FROM person WHERE login = %(login)s AND active;

-- name: set_password
UPDATE person SET password_hash = %(password_hash)s WHERE login = %(login)s RETURNING id;

-- name: end_sessions_of
DELETE FROM login_session WHERE person_id = %(person_id)s;

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
INSERT INTO login_session (hash, person_id, csrf, created_at, expires_at)
VALUES (%(hash)s, %(person_id)s, %(csrf)s, %(now)s, %(expires_at)s);

-- name: end_session
DELETE FROM login_session WHERE hash = %(hash)s;

-- name: end_old_sessions
DELETE FROM login_session WHERE expires_at <= %(now)s;

-- name: caller_by_session
SELECT p.id, p.login, p.role, p.company_id, l.csrf,
       array(SELECT grid_id FROM person_grid g WHERE g.person_id = p.id) AS grids
FROM login_session l JOIN person p ON p.id = l.person_id
WHERE l.hash = %(hash)s AND l.expires_at > %(now)s AND p.active;
