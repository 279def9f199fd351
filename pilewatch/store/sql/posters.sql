-- Posters: what hangs at each pile, and what patrols have seen there.

-- name: poster_piles
-- What a poster tells of its pile, its newest version, and the version that was seen last.
SELECT c.id, c.code, c.label, c.kind, s.code AS site, s.name AS site_name, s.address,
       coalesce(s.repair_phone, co.phone) AS phone, p.number, p.digest, p.content, p.key_id,
       p.made_at, seen.poster_number AS seen_number, seen.inspected_at AS seen_at
FROM charger c
JOIN site s ON s.id = c.site_id
LEFT JOIN company co ON co.id = s.company_id
LEFT JOIN LATERAL (
    SELECT * FROM poster x WHERE x.charger_id = c.id ORDER BY x.number DESC LIMIT 1
) p ON true
LEFT JOIN LATERAL (
    SELECT i.poster_number, i.inspected_at FROM inspection i
    WHERE i.charger_id = c.id AND i.poster_number IS NOT NULL
    ORDER BY i.inspected_at DESC LIMIT 1
) seen ON true
WHERE c.active AND c.id > %(after)s
  AND (%(site)s::text IS NULL OR s.code = %(site)s)
  AND (%(charger)s::text IS NULL OR c.code = %(charger)s)
  AND (%(company_id)s::bigint IS NULL OR s.company_id = %(company_id)s)
  AND (%(grids)s::bigint[] IS NULL OR s.grid_id = ANY(%(grids)s))
ORDER BY c.id LIMIT %(limit)s;

-- name: lock_charger
SELECT id FROM charger WHERE id = %(charger_id)s FOR NO KEY UPDATE;

-- name: add_poster
-- Unless the newest version says the same.
INSERT INTO poster (charger_id, number, digest, content, key_id, made_at, made_by)
SELECT %(charger_id)s, coalesce(max(number), 0) + 1, %(digest)s, %(content)s, %(key_id)s, %(now)s,
       %(person_id)s
FROM poster WHERE charger_id = %(charger_id)s
HAVING NOT coalesce(
    (array_agg(digest ORDER BY number DESC))[1] = %(digest)s, false)
RETURNING number;
