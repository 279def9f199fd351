-- Who is on duty when.

-- name: add_shift
INSERT INTO shift (person_id, scope_kind, scope_id, from_at, to_at, entered_by, entered_at)
VALUES (%(person_id)s, %(scope_kind)s, %(scope_id)s, %(from_at)s, %(to_at)s, %(entered_by)s,
        %(now)s)
RETURNING id;

-- name: lock_person
SELECT id FROM person WHERE id = %(id)s FOR NO KEY UPDATE;

-- name: shifts_of
-- A person's shifts that are not over.
SELECT person_id, from_at, to_at, scope_kind, scope_id FROM shift
WHERE person_id = %(person_id)s AND cancelled_at IS NULL AND to_at > %(now)s;

-- name: lock_shift
SELECT person_id, from_at, to_at, scope_kind, scope_id FROM shift
WHERE id = %(id)s AND cancelled_at IS NULL FOR UPDATE;

-- name: end_shift
UPDATE shift SET to_at = %(to_at)s, note = coalesce(%(note)s, note),
                 noted_at = CASE WHEN %(note)s::text IS NULL THEN noted_at ELSE %(now)s END
WHERE id = %(id)s;

-- name: cancel_shift
UPDATE shift SET cancelled_at = %(now)s WHERE id = %(id)s;

-- name: on_duty
-- Of each of these sites, who is on duty for it.
SELECT s.id AS site_id, array_agg(DISTINCT p.login) AS logins
FROM shift h
JOIN person p ON p.id = h.person_id AND p.active
JOIN site s ON h.scope_kind IS NULL OR EXISTS (
    SELECT FROM sites_of(h.scope_kind, h.scope_id) own WHERE own.id = s.id)
WHERE s.id = ANY(%(sites)s) AND h.cancelled_at IS NULL
  AND h.from_at <= %(now)s AND h.to_at > %(now)s
GROUP BY s.id;

-- name: shifts
-- Those that have to do with a site that the caller sees, and the own ones; cancelled ones only by
-- their id.
SELECT h.id, p.login AS person, p.name, h.person_id, h.scope_kind AS scope, h.scope_id,
       coalesce(a.code, g.code, s.code) AS code, coalesce(a.name, g.name, s.name) AS place,
       h.from_at, h.to_at, h.note, h.noted_at, e.login AS entered_by, h.entered_at,
       h.cancelled_at,
       h.cancelled_at IS NULL AND h.from_at <= %(now)s AND h.to_at > %(now)s AS on_duty
FROM shift h
JOIN person p ON p.id = h.person_id
JOIN person e ON e.id = h.entered_by
LEFT JOIN area a ON h.scope_kind = 'area' AND a.id = h.scope_id
LEFT JOIN grid g ON h.scope_kind = 'grid' AND g.id = h.scope_id
LEFT JOIN site s ON h.scope_kind = 'site' AND s.id = h.scope_id
WHERE h.id < %(before)s AND (%(id)s::bigint IS NULL OR h.id = %(id)s)
  AND (%(id)s::bigint IS NOT NULL OR h.cancelled_at IS NULL)
  AND (%(ends_after)s::timestamptz IS NULL OR h.to_at > %(ends_after)s)
  AND (h.scope_kind IS NULL OR h.person_id = %(person_id)s
       OR (%(company_id)s::bigint IS NULL AND %(grids)s::bigint[] IS NULL)
       OR EXISTS (
           SELECT FROM sites_of(h.scope_kind, h.scope_id) own
           WHERE (%(company_id)s::bigint IS NULL OR own.company_id = %(company_id)s)
             AND (%(grids)s::bigint[] IS NULL OR own.grid_id = ANY(%(grids)s))))
ORDER BY h.id DESC LIMIT %(limit)s;

-- name: duty_people
-- Who can be put on duty by this caller.
SELECT p.id, p.login, p.name FROM person p
WHERE p.active AND p.role = ANY(%(roles)s)
  AND (%(company_id)s::bigint IS NULL OR p.company_id = %(company_id)s)
ORDER BY p.name, p.login LIMIT 500;

-- name: duty_places
-- Areas and grids that the caller answers for as a whole, and the caller's sites.
SELECT k.kind, k.code, k.name FROM (
    SELECT 'area' AS kind, a.code, a.name, 1 AS place FROM area a
    WHERE %(company_id)s::bigint IS NULL AND (%(grids)s::bigint[] IS NULL OR NOT EXISTS (
        SELECT FROM grid g WHERE g.area_id = a.id AND NOT g.id = ANY(%(grids)s)))
    UNION ALL
    SELECT 'grid', g.code, g.name, 2 FROM grid g
    WHERE %(company_id)s::bigint IS NULL AND (%(grids)s::bigint[] IS NULL OR g.id = ANY(%(grids)s))
    UNION ALL
    SELECT 'site', s.code, s.name, 3 FROM site s
    WHERE (%(company_id)s::bigint IS NULL OR s.company_id = %(company_id)s)
      AND (%(grids)s::bigint[] IS NULL OR s.grid_id = ANY(%(grids)s))
) k
ORDER BY k.place, k.name LIMIT 600;

-- name: came_in
-- What a shift has brought: its own sites' tickets, of those that the caller sees.
SELECT count(*) AS opened, count(*) FILTER (WHERE t.severity = 1) AS danger,
       count(*) FILTER (WHERE t.state NOT IN ('closed', 'rejected', 'merged')) AS live
FROM ticket t
JOIN site s ON s.id = t.site_id
WHERE t.opened_at >= %(from_at)s
  AND (%(scope)s::text IS NULL
       OR s.id IN (SELECT own.id FROM sites_of(%(scope)s, %(scope_id)s) own))
  AND (%(company_id)s::bigint IS NULL OR t.company_id = %(company_id)s
       OR s.company_id = %(owner_id)s OR t.assignee_id = %(person_id)s)
  AND (%(grids)s::bigint[] IS NULL OR s.grid_id = ANY(%(grids)s));
