-- What the pages show. `stopping` are the fault codes that put a port out of order.

-- name: zone
SELECT timezone FROM area ORDER BY id LIMIT 1;

-- name: site_list
-- Counted by word first, so that each port is judged once.
SELECT s.code, s.name, s.address, g.name AS grid, coalesce(sum(p.ports), 0)::int AS ports,
       coalesce(sum(p.ports) FILTER (WHERE p.shown = 'free'), 0)::int AS free,
       coalesce(sum(p.ports) FILTER (WHERE p.shown = 'busy'), 0)::int AS busy,
       coalesce(sum(p.ports) FILTER (WHERE p.shown IN ('broken', 'reported', 'off')), 0)::int
           AS broken,
       coalesce(sum(p.ports) FILTER (WHERE p.shown = 'unknown'), 0)::int AS unknown
FROM site s
JOIN grid g ON g.id = s.grid_id
LEFT JOIN (
    SELECT site_id, shown, count(*) AS ports FROM port_now(%(now)s, %(stopping)s)
    GROUP BY site_id, shown
) p ON p.site_id = s.id
GROUP BY s.id, g.id
ORDER BY g.id, s.name LIMIT 500;

-- name: site
SELECT s.id, s.code, s.name, s.address, coalesce(s.repair_phone, co.phone) AS phone,
       a.timezone
FROM site s
JOIN grid g ON g.id = s.grid_id
JOIN area a ON a.id = g.area_id
LEFT JOIN company co ON co.id = s.company_id
WHERE s.code = %(code)s;

-- name: charger
SELECT c.id, c.code, c.label, c.kind, s.id AS site_id, s.code AS site, s.name AS site_name,
       s.address, coalesce(s.repair_phone, co.phone) AS phone, a.timezone
FROM charger c
JOIN site s ON s.id = c.site_id
JOIN grid g ON g.id = s.grid_id
JOIN area a ON a.id = g.area_id
LEFT JOIN company co ON co.id = s.company_id
WHERE c.code = %(code)s AND c.active;

-- name: ports
-- With the most urgent live ticket of the port or of its whole pile.
SELECT c.code AS charger, c.label, c.kind, p.connector_id, p.number, p.shown, p.errors,
       p.heard_at, t.code AS ticket_code, t.state AS ticket_state, t.deadline_at,
       (SELECT count(*) FROM report r WHERE r.ticket_id = t.id) AS reports
FROM port_now(%(now)s, %(stopping)s) p
JOIN charger c ON c.id = p.charger_id
JOIN site s ON s.id = p.site_id
LEFT JOIN LATERAL (
    SELECT t.id, t.code, t.state, t.deadline_at FROM ticket t
    WHERE t.state NOT IN ('closed', 'rejected', 'merged')
      AND ((t.subject_kind = 'connector' AND t.subject_id = p.connector_id)
           OR (t.subject_kind = 'charger' AND t.subject_id = c.id))
    ORDER BY t.severity, t.id LIMIT 1
) t ON true
WHERE (%(site)s::text IS NULL OR s.code = %(site)s)
  AND (%(charger)s::text IS NULL OR c.code = %(charger)s)
ORDER BY c.label, c.id, p.number;

-- name: receipt_place
SELECT s.code AS site, s.name AS site_name, c.code AS charger, c.label, n.number, a.timezone,
       coalesce(s.repair_phone, co.phone) AS phone, t.deadline_at
FROM report r
JOIN site s ON s.id = r.site_id
JOIN grid g ON g.id = s.grid_id
JOIN area a ON a.id = g.area_id
LEFT JOIN company co ON co.id = s.company_id
LEFT JOIN charger c ON c.id = r.charger_id
LEFT JOIN connector n ON n.id = r.connector_id
LEFT JOIN ticket t ON t.id = r.ticket_id
WHERE r.id = %(id)s;

-- name: tickets
-- Live ones by urgency, or a single one in any state, or a charger's latest. `late`: a promise is
-- broken, as views.overdue has it.
SELECT t.id, t.state, t.code, t.family, t.severity, t.subject_kind, t.opened_at, t.deadline_at,
       t.accept_by_at, t.arrive_by_at, t.accepted_at, t.arrived_at, t.paused_at, t.pause_reason,
       t.paused_s, greatest(t.accept_level, t.arrive_level, t.repair_level,
                (SELECT max(o.level) FROM work_order o
                 WHERE o.ticket_id = t.id AND o.settled_at IS NULL)) AS escalation_level,
       (SELECT q.to_at FROM silence_over(t.subject_kind, t.subject_id, t.code, t.severity,
                                         %(now)s) q) AS silenced_until,
       t.claimed_at, t.verify_by_at, t.verified_at, t.closed_at, t.evidence, t.cause, t.remedy,
       t.part, t.merged_into, t.reopened, t.version, t.site_id, s.code AS site,
       s.name AS site_name, gw.code AS gateway, c.code AS charger, c.label, n.number,
       co.name AS company, co.code AS company_code, p.name AS assignee, p.login AS assignee_login,
       (SELECT count(*) FROM report r WHERE r.ticket_id = t.id) AS reports
FROM ticket t
JOIN site s ON s.id = t.site_id
LEFT JOIN gateway gw ON t.subject_kind = 'gateway' AND gw.id = t.subject_id
LEFT JOIN charger c ON c.id = t.charger_id
LEFT JOIN connector n ON n.id = t.connector_id
LEFT JOIN company co ON co.id = t.company_id
LEFT JOIN person p ON p.id = t.assignee_id
WHERE (%(id)s::bigint IS NULL OR t.id = %(id)s)
  AND (NOT %(live)s OR t.state NOT IN ('closed', 'rejected', 'merged'))
  AND (%(charger)s::text IS NULL OR c.code = %(charger)s)
  AND (%(site)s::text IS NULL OR s.code = %(site)s)
  AND (%(severity)s::smallint IS NULL OR t.severity = %(severity)s)
  AND (%(state)s::text IS NULL OR t.state = %(state)s)
  AND (%(since)s::timestamptz IS NULL OR t.opened_at >= %(since)s)
  AND (NOT %(late)s OR (t.state IN ('open', 'assigned', 'accepted', 'repairing', 'reopened')
       AND least(CASE WHEN t.accepted_at IS NULL THEN t.accept_by_at END,
                 CASE WHEN t.arrived_at IS NULL THEN t.arrive_by_at END, t.deadline_at)
           < coalesce(t.paused_at, %(now)s)))
  AND (%(company_id)s::bigint IS NULL OR t.company_id = %(company_id)s
       OR s.company_id = %(owner_id)s OR t.assignee_id = %(person_id)s)
  AND (%(grids)s::bigint[] IS NULL OR s.grid_id = ANY(%(grids)s))
ORDER BY CASE WHEN %(live)s THEN t.severity END,
         CASE WHEN %(live)s THEN t.paused_at IS NOT NULL END,
         CASE WHEN %(live)s THEN least(
             CASE WHEN t.accepted_at IS NULL THEN t.accept_by_at END,
             CASE WHEN t.arrived_at IS NULL THEN t.arrive_by_at END, t.deadline_at) END,
         t.id DESC
LIMIT %(limit)s OFFSET %(offset)s;

-- name: photos
SELECT p.report_id, p.number, p.added_at FROM report_photo p JOIN report r ON r.id = p.report_id
WHERE r.ticket_id = %(ticket)s ORDER BY p.added_at, p.report_id, p.number LIMIT 30;

-- name: incidents
-- Those of some tickets; members come with their parent's id.
SELECT i.id, i.code, i.severity, i.phase, i.detector, i.subject_kind, i.started_at, i.opened_at,
       i.quiet_since, i.ended_at, i.parent_id, i.ticket_id, i.evidence, i.planned_until,
       EXISTS (SELECT FROM self_repair r
               WHERE r.incident_id = i.id AND r.ended_at IS NULL) AS on_trial,
       s.code AS site,
       s.name AS site_name, gw.code AS gateway, c.code AS charger, c.label, n.number
FROM incident i
JOIN site s ON s.id = i.site_id
LEFT JOIN gateway gw ON i.subject_kind = 'gateway' AND gw.id = i.subject_id
LEFT JOIN charger c ON c.id = i.charger_id
LEFT JOIN connector n ON n.id = i.connector_id
LEFT JOIN ticket t ON t.id = incident_ticket(i)
WHERE (NOT %(live)s OR i.phase IN ('pending', 'open', 'clearing', 'member'))
  AND (%(tickets)s::bigint[] IS NULL OR i.ticket_id = ANY(%(tickets)s) OR i.parent_id IN (
           SELECT parent.id FROM incident parent WHERE parent.ticket_id = ANY(%(tickets)s)))
  AND (%(company_id)s::bigint IS NULL OR %(company_id)s IN (s.company_id, t.company_id)
       OR t.assignee_id = %(person_id)s)
  AND (%(grids)s::bigint[] IS NULL OR s.grid_id = ANY(%(grids)s))
ORDER BY i.id DESC LIMIT %(limit)s;

-- name: timeline
SELECT e.at, e.actor_kind, p.name AS person, e.action, e.from_state, e.to_state, e.note, e.data,
       co.name AS to_company, who.name AS to_person
FROM ticket_entry e
LEFT JOIN person p ON p.id = e.person_id
LEFT JOIN company co ON co.id = (e.data ->> 'company_id')::bigint
LEFT JOIN person who ON who.id = (e.data ->> 'assignee_id')::bigint
WHERE e.ticket_id = %(id)s ORDER BY e.id;

-- name: companies
SELECT id, code, name FROM company ORDER BY name LIMIT 500;

-- name: repairers
SELECT p.id, p.login, p.name, co.name AS company
FROM person p LEFT JOIN company co ON co.id = p.company_id
WHERE p.role = 'repairer' AND p.active ORDER BY co.name, p.name LIMIT 500;

-- name: site_names
SELECT code, name FROM site ORDER BY name LIMIT 500;

-- name: charger_state
SELECT c.kind, c.label, coalesce(h.vendor, c.vendor) AS vendor,
       coalesce(h.model, c.model) AS model, h.firmware, h.last_seen_at, h.rssi_dbm, h.uptime_s,
       gw.code AS gateway
FROM charger c
LEFT JOIN charger_state h ON h.charger_id = c.id
LEFT JOIN gateway gw ON gw.id = c.gateway_id
WHERE c.id = %(id)s;

-- name: connectors
SELECT k.number, k.status, k.said, k.online, k.stale, k.errors, k.heard_at, st.power_w,
       st.energy_wh, st.voltage_v, st.current_a, st.temperature_c
FROM connector_now(%(now)s) k
LEFT JOIN connector_state st ON st.connector_id = k.connector_id
WHERE k.charger_id = %(id)s ORDER BY k.number;

-- name: observations
SELECT observed_at, connector, kind, status, errors, session_id, reason, power_w, energy_wh,
       temperature_c
FROM observation
WHERE charger_id = %(id)s AND observed_at > %(now)s - interval '24 hours'
  AND observed_at <= %(now)s + interval '10 minutes'
ORDER BY observed_at DESC LIMIT 30;

-- name: unknown_chargers
SELECT code, first_seen_at, last_seen_at, messages FROM unknown_charger
ORDER BY last_seen_at DESC LIMIT 100;
