-- What people and programs read. Lists are keyset pages: id below the cursor, newest first.

-- name: caller_by_key
SELECT p.id, p.login, p.role, p.company_id,
       array(SELECT grid_id FROM person_grid g WHERE g.person_id = p.id) AS grids
FROM api_key k JOIN person p ON p.id = k.person_id
WHERE k.hash = %(hash)s AND k.revoked_at IS NULL AND p.active
  AND (k.expires_at IS NULL OR k.expires_at > %(now)s);

-- name: add_person
INSERT INTO person (login, name, role, company_id, password_hash)
SELECT %(login)s, %(name)s, %(role)s, c.id, %(password_hash)s
FROM (VALUES (1)) one LEFT JOIN company c ON c.code = %(company)s
WHERE %(company)s::text IS NULL OR c.id IS NOT NULL
RETURNING id;

-- name: add_person_grid
INSERT INTO person_grid (person_id, grid_id) SELECT %(person_id)s, id FROM grid WHERE code = %(grid)s
RETURNING grid_id;

-- name: add_key
INSERT INTO api_key (person_id, hash, label, created_at)
VALUES (%(person_id)s, %(hash)s, %(label)s, %(now)s);

-- name: sites
SELECT s.id, s.code, s.name, s.address, s.latitude, s.longitude, s.repair_phone, g.code AS grid,
       co.code AS company, count(k.connector_id) AS connectors,
       count(*) FILTER (WHERE k.status = 'available' AND k.errors = '[]') AS available,
       count(*) FILTER (WHERE k.status IN ('faulted', 'unavailable')) AS out_of_order,
       count(*) FILTER (WHERE k.status = 'unknown') AS unknown
FROM site s
JOIN grid g ON g.id = s.grid_id
LEFT JOIN company co ON co.id = s.company_id
LEFT JOIN connector_now(%(now)s) k ON k.site_id = s.id
WHERE (%(code)s::text IS NULL OR s.code = %(code)s) AND s.id > %(after)s
GROUP BY s.id, g.code, co.code
ORDER BY s.id LIMIT %(limit)s;

-- name: connectors
SELECT k.connector_id AS id, c.code AS charger, k.number AS connector, s.code AS site, c.kind,
       c.label, k.online, k.stale, k.status, k.said, k.errors, k.heard_at,
       extract(epoch FROM %(now)s - k.heard_at)::double precision AS age_s,
       st.power_w, st.energy_wh, st.voltage_v, st.current_a, st.temperature_c, st.soc,
       st.session_id
FROM connector_now(%(now)s) k
JOIN charger c ON c.id = k.charger_id
JOIN site s ON s.id = k.site_id
LEFT JOIN connector_state st ON st.connector_id = k.connector_id
WHERE k.connector_id > %(after)s
  AND (%(site)s::text IS NULL OR s.code = %(site)s)
  AND (%(charger)s::text IS NULL OR c.code = %(charger)s)
  AND (%(connector)s::integer IS NULL OR k.number = %(connector)s)
ORDER BY k.connector_id LIMIT %(limit)s;

-- name: chargers
SELECT c.id, c.code, s.code AS site, g.code AS gateway, c.kind, c.label,
       coalesce(h.vendor, c.vendor) AS vendor, coalesce(h.model, c.model) AS model, h.firmware,
       h.last_seen_at, h.rssi_dbm,
       coalesce(h.last_seen_at >= coalesce(h.offline_said_at, '-infinity')
                AND h.last_seen_at > %(now)s - h.heartbeat_s * interval '3 s', false) AS online
FROM charger c
JOIN site s ON s.id = c.site_id
LEFT JOIN gateway g ON g.id = c.gateway_id
LEFT JOIN charger_state h ON h.charger_id = c.id
WHERE c.active AND c.id > %(after)s
  AND (%(site)s::text IS NULL OR s.code = %(site)s)
  AND (%(code)s::text IS NULL OR c.code = %(code)s)
ORDER BY c.id LIMIT %(limit)s;

-- name: incidents
SELECT i.id, i.code, i.family, i.severity, i.effect, i.detector, i.phase, i.subject_kind,
       s.code AS site, g.code AS gateway, c.code AS charger, n.number AS connector, i.parent_id,
       i.ticket_id, i.started_at, i.opened_at, i.quiet_since, i.ended_at, i.evidence
FROM incident i
JOIN site s ON s.id = i.site_id
LEFT JOIN gateway g ON i.subject_kind = 'gateway' AND g.id = i.subject_id
LEFT JOIN charger c ON c.id = i.charger_id
LEFT JOIN connector n ON n.id = i.connector_id
WHERE i.id < %(before)s
  AND (%(id)s::bigint IS NULL OR i.id = %(id)s)
  AND (%(phase)s::text IS NULL OR i.phase = %(phase)s)
  AND (%(site)s::text IS NULL OR s.code = %(site)s)
  AND (%(company_id)s::bigint IS NULL OR s.company_id = %(company_id)s)
  AND (%(grids)s::bigint[] IS NULL OR s.grid_id = ANY(%(grids)s))
ORDER BY i.id DESC LIMIT %(limit)s;

-- name: tickets
SELECT t.id, t.state, t.code, t.family, t.severity, t.subject_kind, s.code AS site,
       g.code AS gateway, c.code AS charger, n.number AS connector, co.code AS company,
       p.login AS assignee, t.opened_at, t.deadline_at, t.claimed_at, t.verify_by_at,
       t.verified_at, t.closed_at, t.evidence, t.cause, t.remedy, t.part, t.merged_into,
       t.reopened, t.version, (SELECT count(*) FROM report r WHERE r.ticket_id = t.id) AS reports
FROM ticket t
JOIN site s ON s.id = t.site_id
LEFT JOIN gateway g ON t.subject_kind = 'gateway' AND g.id = t.subject_id
LEFT JOIN charger c ON c.id = t.charger_id
LEFT JOIN connector n ON n.id = t.connector_id
LEFT JOIN company co ON co.id = t.company_id
LEFT JOIN person p ON p.id = t.assignee_id
WHERE t.id < %(before)s
  AND (%(id)s::bigint IS NULL OR t.id = %(id)s)
  AND (%(state)s::text IS NULL OR t.state = %(state)s)
  AND (%(site)s::text IS NULL OR s.code = %(site)s)
  AND (%(charger)s::text IS NULL OR c.code = %(charger)s)
  AND (%(code)s::text IS NULL OR t.code = %(code)s)
  AND (%(company_id)s::bigint IS NULL OR t.company_id = %(company_id)s
       OR t.assignee_id = %(person_id)s)
  AND (%(grids)s::bigint[] IS NULL OR s.grid_id = ANY(%(grids)s))
ORDER BY t.id DESC LIMIT %(limit)s;

-- name: timeline
SELECT e.at, e.actor_kind AS actor, p.login AS person, e.action, e.from_state, e.to_state, e.note,
       e.data
FROM ticket_entry e LEFT JOIN person p ON p.id = e.person_id
WHERE e.ticket_id = %(id)s ORDER BY e.id;

-- name: company_id
SELECT id FROM company WHERE code = %(code)s;

-- name: person_id
SELECT id FROM person WHERE login = %(login)s AND active;

-- name: find_place
SELECT s.id AS site_id, s.grid_id, c.id AS charger_id, n.id AS connector_id
FROM site s
LEFT JOIN charger c ON c.code = %(charger)s AND c.site_id = s.id AND c.active
LEFT JOIN connector n ON n.charger_id = c.id AND n.number = %(connector)s AND n.active
WHERE (%(site)s::text IS NULL OR s.code = %(site)s)
  AND (%(charger)s::text IS NULL OR c.id IS NOT NULL)
  AND (%(connector)s::integer IS NULL OR n.id IS NOT NULL)
LIMIT 1;

-- name: audit
INSERT INTO audit (at, person_id, action, object, before, after)
VALUES (%(now)s, %(person_id)s, %(action)s, %(object)s, %(before)s, %(after)s);

-- name: quarantine
SELECT id, received_at, topic, size, reason, charger_code AS charger FROM quarantine
WHERE id < %(before)s ORDER BY id DESC LIMIT %(limit)s;

-- name: unknown_chargers
SELECT code, first_seen_at, last_seen_at, messages FROM unknown_charger
ORDER BY last_seen_at DESC LIMIT %(limit)s;

-- name: ready
SELECT max(version) AS version FROM schema_migration;
