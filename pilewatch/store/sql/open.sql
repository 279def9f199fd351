-- What others are told of places and ports. `stopping` are the fault codes that put a port out of
-- order.

-- name: lock_told
SELECT pg_advisory_xact_lock(hashtext('told'));

-- name: tell_sites
-- A row for each site that is new or is not what was told before.
INSERT INTO told_site AS t (site_id, told, updated_at)
SELECT s.id, sha256(convert_to(jsonb_build_array(s.code, s.name, s.address, s.latitude,
           s.longitude, s.city, s.postal_code, s.opening_hours, a.name, a.timezone, co.name,
           s.repair_phone)::text, 'UTF8')), %(now)s
FROM site s
JOIN grid g ON g.id = s.grid_id
JOIN area a ON a.id = g.area_id
LEFT JOIN company co ON co.id = s.company_id
ON CONFLICT (site_id) DO UPDATE SET told = excluded.told, updated_at = excluded.updated_at
WHERE t.told <> excluded.told
RETURNING site_id;

-- name: tell_connectors
-- The status in OCPI's words; what somebody has reported is not available, and what has not been
-- heard of for too long is unknown. A row for each that is new or changed.
WITH present AS (
    SELECT n.id AS connector_id, c.site_id,
           sha256(convert_to(jsonb_build_array(n.number, n.max_power_w, n.plug, n.power_type,
               n.max_voltage_v, n.max_current_a, c.kind, c.label, c.code)::text, 'UTF8')) AS told,
           CASE
               WHEN p.connector_id IS NULL THEN 'REMOVED'
               WHEN p.shown = 'unknown' THEN 'UNKNOWN'
               WHEN p.shown IN ('broken', 'reported') THEN 'OUTOFORDER'
               WHEN p.shown = 'off' THEN 'INOPERATIVE'
               WHEN p.shown = 'busy' THEN
                   CASE st.status WHEN 'reserved' THEN 'RESERVED' ELSE 'CHARGING' END
               WHEN EXISTS (
                   SELECT FROM ticket t
                   WHERE t.code = 'blocked' AND t.state IN
                         ('open', 'assigned', 'accepted', 'repairing', 'reopened')
                     AND ((t.subject_kind = 'connector' AND t.subject_id = n.id)
                          OR (t.subject_kind = 'charger' AND t.subject_id = c.id)
                          OR (t.subject_kind = 'site' AND t.subject_id = c.site_id))
               ) THEN 'BLOCKED'
               ELSE 'AVAILABLE'
           END AS status
    FROM connector n
    JOIN charger c ON c.id = n.charger_id
    LEFT JOIN port_now(%(now)s, %(stopping)s) p ON p.connector_id = n.id
    LEFT JOIN connector_state st ON st.connector_id = n.id
)
INSERT INTO told_connector AS t (connector_id, site_id, status, told, equipped_at, updated_at)
SELECT connector_id, site_id, status, told, %(now)s, %(now)s FROM present
ON CONFLICT (connector_id) DO UPDATE SET
    site_id = excluded.site_id, status = excluded.status, told = excluded.told,
    equipped_at = CASE WHEN t.told = excluded.told THEN t.equipped_at
                       ELSE excluded.equipped_at END,
    updated_at = excluded.updated_at
WHERE (t.site_id, t.status, t.told)
    IS DISTINCT FROM (excluded.site_id, excluded.status, excluded.told)
RETURNING connector_id, site_id, status, equipped_at = updated_at AS whole;

-- name: told_places
-- Sites by what was last told of them or of their ports.
SELECT s.id, s.code, s.name, s.address, s.city, s.postal_code, s.latitude, s.longitude,
       s.opening_hours, a.name AS area, a.timezone, co.name AS operator,
       coalesce(s.repair_phone, co.phone) AS phone,
       greatest(t.updated_at, n.updated_at) AS updated_at, t.updated_at AS described_at,
       count(*) OVER () AS total
FROM site s
JOIN told_site t ON t.site_id = s.id
JOIN grid g ON g.id = s.grid_id
JOIN area a ON a.id = g.area_id
LEFT JOIN company co ON co.id = s.company_id
LEFT JOIN LATERAL (
    SELECT max(updated_at) AS updated_at FROM told_connector WHERE site_id = s.id
) n ON true
WHERE (%(id)s::bigint IS NULL OR s.id = %(id)s)
  AND (%(code)s::text IS NULL OR s.code = %(code)s)
  AND (NOT %(located)s OR (s.latitude IS NOT NULL AND s.longitude IS NOT NULL))
  AND (%(from_at)s::timestamptz IS NULL OR greatest(t.updated_at, n.updated_at) >= %(from_at)s)
  AND (%(to_at)s::timestamptz IS NULL OR greatest(t.updated_at, n.updated_at) < %(to_at)s)
ORDER BY s.id OFFSET %(offset)s LIMIT %(limit)s;

-- name: told_ports
SELECT t.site_id, n.id, n.number, c.code AS charger, c.label, c.kind, n.plug, n.power_type,
       n.max_voltage_v, n.max_current_a, n.max_power_w, t.status, t.equipped_at, t.updated_at
FROM told_connector t
JOIN connector n ON n.id = t.connector_id
JOIN charger c ON c.id = n.charger_id
WHERE t.site_id = ANY(%(sites)s)
ORDER BY t.site_id, c.label, c.id, n.number;

-- name: note_telling
UPDATE telling SET told_at = %(now)s;

-- name: telling_due
SELECT told_at <= %(now)s - interval '2 seconds' AND EXISTS (
    SELECT FROM ocpi_party WHERE push_url IS NOT NULL AND ended_at IS NULL) AS due
FROM telling;

-- name: pushed_parties
SELECT id FROM ocpi_party WHERE push_url IS NOT NULL AND ended_at IS NULL;

-- name: push
-- A change on its way to each party: written once, and sent at least once with what is so then.
-- Those of one object have one key: what waits leaves as one message.
WITH news AS (
    INSERT INTO outbox (key, topic, payload, created_at, due_at, routed_at)
    VALUES ('ocpi/' || %(object)s || '/' || gen_random_uuid(), 'ocpi.changed', %(payload)s,
            %(now)s, %(now)s, %(now)s)
    RETURNING id
)
INSERT INTO delivery (outbox_id, receiver, key, created_at, due_at)
SELECT news.id, 'ocpi-' || p.id, 'ocpi/' || %(object)s, %(now)s, %(now)s
FROM news, ocpi_party p WHERE p.push_url IS NOT NULL AND p.ended_at IS NULL;
