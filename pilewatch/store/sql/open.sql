-- What others are told of places and ports. `stopping` are the fault codes that put a port out of
-- order.

-- name: lock_told
SELECT pg_advisory_xact_lock(hashtext('told'));

-- name: tell_sites
-- A row for each site that is new or is not what was told before. Only these are written: to look is
-- no work for the disk.
WITH present AS (
    SELECT s.id AS site_id, h.week,
           sha256(convert_to(jsonb_build_array(s.code, s.name, s.address, s.latitude, s.longitude,
               s.city, s.postal_code, h.week, a.name, a.timezone, co.name,
               s.repair_phone)::text, 'UTF8')) AS told
    FROM site s
    JOIN grid g ON g.id = s.grid_id
    JOIN area a ON a.id = g.area_id
    LEFT JOIN company co ON co.id = s.company_id
    LEFT JOIN LATERAL (
        SELECT o.week FROM opening_hours o
        WHERE o.site_id = s.id
          AND o.from_on <= (%(now)s::timestamptz AT TIME ZONE a.timezone)::date
        ORDER BY o.from_on DESC LIMIT 1
    ) h ON true
)
INSERT INTO told_site AS t (site_id, told, week, updated_at)
SELECT p.site_id, p.told, p.week, %(now)s
FROM present p LEFT JOIN told_site b ON b.site_id = p.site_id
WHERE b.told IS DISTINCT FROM p.told
ON CONFLICT (site_id) DO UPDATE SET told = excluded.told, week = excluded.week, updated_at = excluded.updated_at
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
SELECT p.connector_id, p.site_id, p.status, p.told,
       CASE WHEN b.told = p.told THEN b.equipped_at ELSE %(now)s END, %(now)s
FROM present p LEFT JOIN told_connector b ON b.connector_id = p.connector_id
WHERE (b.site_id, b.status, b.told) IS DISTINCT FROM (p.site_id, p.status, p.told)
ON CONFLICT (connector_id) DO UPDATE SET
    site_id = excluded.site_id, status = excluded.status, told = excluded.told,
    equipped_at = excluded.equipped_at, updated_at = excluded.updated_at
RETURNING connector_id, site_id, status, equipped_at = updated_at AS whole;

-- name: told_places
-- Sites by what was last told of them or of their ports.
SELECT s.id, s.code, s.name, s.address, s.city, s.postal_code, s.latitude, s.longitude,
       t.week, a.name AS area, a.timezone, co.name AS operator,
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

-- name: feed
-- The matters of a site, latest change first; no words of people.
SELECT t.id, t.code, t.state, t.severity, t.opened_at, c.label AS charger, n.number,
       coalesce(e.at, t.opened_at) AS updated_at
FROM ticket t
JOIN site s ON s.id = t.site_id
LEFT JOIN charger c ON c.id = t.charger_id
LEFT JOIN connector n ON n.id = t.connector_id
LEFT JOIN LATERAL (
    SELECT max(at) AS at FROM ticket_entry x
    WHERE x.ticket_id = t.id AND x.to_state IS DISTINCT FROM x.from_state
) e ON true
WHERE s.code = %(code)s AND t.state <> 'merged'
ORDER BY updated_at DESC, t.id DESC LIMIT %(limit)s;

-- name: service_requests
-- Tickets as Open311 tells them; no words of people. The stored word of what is over is `closed`.
SELECT t.id, t.code, t.state, t.opened_at, t.deadline_at, coalesce(e.at, t.opened_at) AS updated_at,
       s.code AS site, s.name AS site_name, s.address, s.postal_code, s.latitude, s.longitude,
       c.code AS charger, c.label, n.number, co.name AS company
FROM ticket t
JOIN site s ON s.id = t.site_id
LEFT JOIN charger c ON c.id = t.charger_id
LEFT JOIN connector n ON n.id = t.connector_id
LEFT JOIN company co ON co.id = t.company_id
LEFT JOIN LATERAL (SELECT max(at) AS at FROM ticket_entry x WHERE x.ticket_id = t.id) e ON true
WHERE (%(ids)s::bigint[] IS NULL OR t.id = ANY(%(ids)s))
  AND (%(from_at)s::timestamptz IS NULL OR t.opened_at >= %(from_at)s)
  AND (%(to_at)s::timestamptz IS NULL OR t.opened_at <= %(to_at)s)
  AND (%(codes)s::text[] IS NULL OR t.code = ANY(%(codes)s))
  AND (%(closed)s::boolean IS NULL
       OR (t.state IN ('verified', 'closed', 'rejected', 'merged')) = %(closed)s)
ORDER BY t.opened_at DESC, t.id DESC LIMIT 1000;

-- name: nearest_site
-- The nearest site within so many metres (equirectangular: exact enough for such distances).
SELECT id, code FROM (
    SELECT id, code, 111195 * sqrt(
        power(latitude - %(latitude)s, 2)
        + power((longitude - %(longitude)s) * cos(radians(%(latitude)s)), 2)) AS metres
    FROM site WHERE latitude IS NOT NULL AND longitude IS NOT NULL
) d WHERE metres <= %(within)s ORDER BY metres, id LIMIT 1;

-- name: address_id
-- The place that stands behind an address_id: a charger's code, or else a site's.
SELECT s.code AS site, c.code AS charger
FROM site s LEFT JOIN charger c ON c.site_id = s.id AND c.code = %(code)s AND c.active
WHERE c.id IS NOT NULL OR s.code = %(code)s
ORDER BY c.id NULLS LAST LIMIT 1;

-- name: busy_hours
-- Of each hour of the local week: how long ports were in use, of all the time that they had.
WITH zone AS (
    SELECT s.id, a.timezone FROM site s
    JOIN grid g ON g.id = s.grid_id JOIN area a ON a.id = g.area_id WHERE s.code = %(code)s
), ports AS (
    SELECT n.id FROM connector n JOIN charger c ON c.id = n.charger_id
    WHERE c.site_id = (SELECT id FROM zone) AND n.active AND c.active
), hours AS (
    SELECT extract(isodow FROM h AT TIME ZONE z.timezone)::int AS weekday,
           extract(hour FROM h AT TIME ZONE z.timezone)::int AS hour
    FROM zone z, generate_series(%(from_at)s::timestamptz, %(to_at)s::timestamptz
                                 - interval '1 hour', interval '1 hour') h
), used AS (
    SELECT range_agg(tstzrange(greatest(u.started_at, %(from_at)s), least(u.ended_at, %(to_at)s)))
               AS during
    FROM charging_session u
    WHERE u.connector_id IN (SELECT id FROM ports) AND u.ended_at > u.started_at
      AND u.ended_at > %(from_at)s AND u.started_at < %(to_at)s
    GROUP BY u.connector_id
), pieces AS (
    SELECT extract(isodow FROM h AT TIME ZONE z.timezone)::int AS weekday,
           extract(hour FROM h AT TIME ZONE z.timezone)::int AS hour,
           sum(extract(epoch FROM least(upper(r), h + interval '1 hour')
                                  - greatest(lower(r), h))) AS seconds
    FROM zone z CROSS JOIN used u CROSS JOIN LATERAL unnest(u.during) r
    CROSS JOIN LATERAL generate_series(
        date_trunc('hour', lower(r)), upper(r) - interval '1 microsecond', interval '1 hour') h
    GROUP BY 1, 2
), known AS (
    SELECT weekday, hour, count(*) AS times FROM hours GROUP BY weekday, hour
)
SELECT k.weekday, k.hour, k.times AS weeks,
       coalesce(p.seconds / nullif(3600 * k.times * (SELECT count(*) FROM ports), 0), 0)::float8
           AS busy
FROM known k LEFT JOIN pieces p USING (weekday, hour)
ORDER BY k.weekday, k.hour;

-- name: history_begins
-- Since when there have been sessions at this site.
SELECT min(u.started_at) AS at
FROM charging_session u
JOIN connector n ON n.id = u.connector_id
JOIN charger c ON c.id = n.charger_id
JOIN site s ON s.id = c.site_id
WHERE s.code = %(code)s;

-- name: add_waiter
INSERT INTO waiter (hash, site_id, since, expires_at)
SELECT %(hash)s, id, %(now)s, %(expires_at)s FROM site WHERE code = %(code)s
RETURNING site_id;

-- name: waiter
SELECT w.since, w.expires_at, w.free_at, w.expires_at <= %(now)s AS expired, s.code AS site,
       s.name AS site_name, a.timezone,
       (SELECT count(*) FROM port_now(%(now)s, %(stopping)s) p
        WHERE p.site_id = s.id AND p.shown = 'free') AS free,
       (SELECT count(*) FROM port_now(%(now)s, %(stopping)s) p WHERE p.site_id = s.id) AS ports
FROM waiter w
JOIN site s ON s.id = w.site_id
JOIN grid g ON g.id = s.grid_id
JOIN area a ON a.id = g.area_id
WHERE w.hash = %(hash)s;

-- name: waiter_hit
UPDATE waiter SET free_at = %(now)s WHERE hash = %(hash)s AND free_at IS NULL RETURNING free_at;

-- name: end_waiter
DELETE FROM waiter WHERE hash = %(hash)s RETURNING hash;

-- name: trim_waiters
DELETE FROM waiter WHERE expires_at < %(before)s;
