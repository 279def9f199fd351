-- People, their keys and their second factors.

-- name: caller_by_key
SELECT p.id, p.login, p.role, p.company_id, grids_of(p) AS grids, areas_of(p) AS areas,
       k.scopes, k.id AS key_id
FROM api_key k JOIN person p ON p.id = k.person_id
WHERE k.hash = %(hash)s AND k.revoked_at IS NULL AND p.active
  AND (k.expires_at IS NULL OR k.expires_at > %(now)s);

-- name: add_person
INSERT INTO person (login, name, role) VALUES (%(login)s, %(name)s, %(role)s) RETURNING id;

-- name: lock_person
-- As `persons` shows it; a narrowed admin sees whom the areas hold.
SELECT p.id FROM person p
WHERE p.id = %(id)s AND (%(areas)s::bigint[] IS NULL OR person_within(p, %(areas)s)) FOR UPDATE;

-- name: change_person
UPDATE person SET name = %(name)s, role = %(role)s, email = %(email)s, active = %(active)s,
                  company_id = (SELECT id FROM company WHERE code = %(company)s),
                  version = version + 1
WHERE id = %(id)s;

-- name: unknown_codes
-- What is named and not in the registry.
SELECT 'company' AS kind, %(company)s::text AS code
WHERE %(company)s::text IS NOT NULL
  AND NOT EXISTS (SELECT FROM company WHERE code = %(company)s)
UNION ALL
SELECT 'grid', w.code FROM unnest(%(grids)s::text[]) w(code)
WHERE NOT EXISTS (SELECT FROM grid g WHERE g.code = w.code)
UNION ALL
SELECT 'area', w.code FROM unnest(%(areas)s::text[]) w(code)
WHERE NOT EXISTS (SELECT FROM area a WHERE a.code = w.code);

-- name: drop_grids
DELETE FROM person_grid WHERE person_id = %(id)s;

-- name: set_grids
INSERT INTO person_grid (person_id, grid_id)
SELECT %(id)s, id FROM grid WHERE code = ANY(%(grids)s);

-- name: drop_areas
DELETE FROM person_area WHERE person_id = %(id)s;

-- name: set_areas
INSERT INTO person_area (person_id, area_id)
SELECT %(id)s, id FROM area WHERE code = ANY(%(areas)s);

-- name: persons
SELECT p.id, p.login, p.name, p.role, p.email, p.active, p.version, co.code AS company,
       array(SELECT g.code FROM person_grid w JOIN grid g ON g.id = w.grid_id
             WHERE w.person_id = p.id ORDER BY g.code) AS grids,
       array(SELECT a.code FROM person_area w JOIN area a ON a.id = w.area_id
             WHERE w.person_id = p.id ORDER BY a.code) AS areas,
       p.password_hash IS NOT NULL AS password, p.totp_since IS NOT NULL AS totp,
       array(SELECT issuer || ' ' || subject FROM identity i WHERE i.person_id = p.id
             ORDER BY issuer, subject) AS identities
FROM person p
LEFT JOIN company co ON co.id = p.company_id
WHERE p.id > %(after)s
  AND (%(id)s::bigint IS NULL OR p.id = %(id)s)
  AND (%(login)s::text IS NULL OR p.login = %(login)s)
  AND (%(role)s::text IS NULL OR p.role = %(role)s)
  AND (%(active)s::boolean IS NULL OR p.active = %(active)s)
  AND (%(areas)s::bigint[] IS NULL OR person_within(p, %(areas)s))
ORDER BY p.id LIMIT %(limit)s;

-- name: add_key
INSERT INTO api_key (person_id, hash, label, created_at, scopes, expires_at)
VALUES (%(person_id)s, %(hash)s, %(label)s, %(now)s, %(scopes)s, %(expires_at)s)
RETURNING id;

-- name: keys
SELECT id, label, scopes, created_at, expires_at, revoked_at,
       revoked_at IS NULL AND (expires_at IS NULL OR expires_at > %(now)s) AS valid
FROM api_key
WHERE person_id = %(person_id)s AND (%(id)s::bigint IS NULL OR id = %(id)s)
  AND id < %(before)s
ORDER BY id DESC LIMIT %(limit)s;

-- name: revoke_key
UPDATE api_key SET revoked_at = %(now)s
WHERE id = %(id)s AND person_id = %(person_id)s AND revoked_at IS NULL RETURNING id;

-- name: end_streams
-- Live streams of this person end, and are opened anew with the rights of then.
SELECT pg_notify('pilewatch_person', %(person_id)s::text);

-- name: second_factor
SELECT id, login, totp_secret, totp_since FROM person WHERE id = %(person_id)s FOR UPDATE;

-- name: offer_totp
-- A secret that waits for its first code; the one that waits already stays.
UPDATE person SET totp_secret = coalesce(totp_secret, %(secret)s)
WHERE id = %(person_id)s AND totp_since IS NULL
RETURNING totp_secret;

-- name: begin_totp
UPDATE person SET totp_since = %(now)s, version = version + 1
WHERE id = %(person_id)s AND totp_since IS NULL RETURNING id;

-- name: end_totp
UPDATE person SET totp_secret = NULL, totp_since = NULL, version = version + 1
WHERE id = %(person_id)s;

-- name: use_step
-- No code is taken twice, nor one older than the last.
UPDATE person SET totp_last_step = %(step)s
WHERE id = %(person_id)s AND totp_last_step < %(step)s RETURNING id;

-- name: drop_recovery_codes
DELETE FROM recovery_code WHERE person_id = %(person_id)s;

-- name: add_recovery_code
INSERT INTO recovery_code (person_id, hash) VALUES (%(person_id)s, %(hash)s);

-- name: use_recovery_code
DELETE FROM recovery_code WHERE person_id = %(person_id)s AND hash = %(hash)s RETURNING hash;

-- name: recovery_codes_left
SELECT count(*) AS left FROM recovery_code WHERE person_id = %(person_id)s;

-- name: identity
SELECT p.id, p.role, p.totp_since FROM identity i JOIN person p ON p.id = i.person_id
WHERE i.issuer = %(issuer)s AND i.subject = %(subject)s AND p.active
  AND p.role <> 'device';

-- name: person_by_email
-- Only whom nobody has linked yet at this issuer; admins are linked by hand.
SELECT p.id, p.role, p.totp_since FROM person p
WHERE lower(p.email) = lower(%(email)s) AND p.active AND p.role NOT IN ('admin', 'device')
  AND NOT EXISTS (SELECT FROM identity i
                  WHERE i.person_id = p.id AND i.issuer = %(issuer)s)
FOR UPDATE;

-- name: link
INSERT INTO identity (issuer, subject, person_id, linked_at)
VALUES (%(issuer)s, %(subject)s, %(person_id)s, %(now)s)
ON CONFLICT DO NOTHING RETURNING subject;

-- name: unlink
DELETE FROM identity WHERE person_id = %(person_id)s;

-- name: begin_oidc
INSERT INTO oidc_login (state, browser, nonce, verifier, next, expires_at)
VALUES (%(state)s, %(browser)s, %(nonce)s, %(verifier)s, %(next)s, %(expires_at)s);

-- name: end_oidc
DELETE FROM oidc_login WHERE state = %(state)s RETURNING browser, nonce, verifier, next, expires_at;

-- name: forget_oidc
DELETE FROM oidc_login WHERE expires_at <= %(now)s;
