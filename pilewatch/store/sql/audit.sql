-- The audit. `before` and `after` are read as the database writes them, for their seal.

-- name: record
INSERT INTO audit (at, person_id, key_id, session_id, request_id, action, object, before, after)
VALUES (%(now)s, %(person_id)s, %(key_id)s, %(session_id)s, %(request_id)s, %(action)s,
        %(object)s, %(before)s, %(after)s);

-- name: unsealed
SELECT id FROM audit WHERE seq IS NULL OR hash IS NULL ORDER BY id LIMIT 100;

-- name: chain
-- `at` in microseconds since 1970, null where it is no moment any more.
SELECT seq, id, CASE WHEN isfinite(at) THEN (extract(epoch FROM at) * 1000000)::bigint END AS at,
       person_id, key_id, session_id, request_id, action, object, before::text AS before,
       after::text AS after, hash
FROM audit WHERE seq IS NOT NULL AND hash IS NOT NULL ORDER BY seq;

-- name: entries
-- Newest first. A narrowed admin sees what people of the own areas did, and what was done with
-- tickets there.
SELECT a.id, a.seq, a.at, p.login AS person, a.key_id AS key, a.session_id AS session,
       a.request_id AS request, a.action, a.object, a.before, a.after,
       encode(a.hash, 'hex') AS hash
FROM audit a LEFT JOIN person p ON p.id = a.person_id
WHERE a.id < %(before)s
  AND (%(person)s::text IS NULL OR p.login = %(person)s)
  AND (%(action)s::text IS NULL OR a.action = %(action)s OR a.action LIKE %(action_in)s)
  AND (%(object)s::text IS NULL OR a.object = %(object)s)
  AND (%(from_at)s::timestamptz IS NULL OR a.at >= %(from_at)s)
  AND (%(to_at)s::timestamptz IS NULL OR a.at < %(to_at)s)
  AND (%(areas)s::bigint[] IS NULL OR person_within(p, %(areas)s) OR EXISTS (
      SELECT FROM ticket t JOIN site s ON s.id = t.site_id JOIN grid g ON g.id = s.grid_id
      WHERE a.object = 'ticket/' || t.id AND g.area_id = ANY(%(areas)s)))
ORDER BY a.id DESC LIMIT %(limit)s;
