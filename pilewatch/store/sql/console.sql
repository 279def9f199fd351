-- What the pages of operators and repairers show beside what all staff see (pages.sql).

-- name: port_states
-- What each port said, where it changed; its last word before the time counts into it.
WITH said AS (
    SELECT connector AS number, observed_at AS at, seq, status FROM observation
    WHERE charger_id = %(id)s AND kind = 1 AND status IS NOT NULL
      AND observed_at >= %(from_at)s AND observed_at < %(to_at)s
    UNION ALL
    SELECT n.number, %(from_at)s, -1, before.status
    FROM connector n
    CROSS JOIN LATERAL (
        SELECT o.status FROM observation o
        WHERE o.charger_id = n.charger_id AND o.connector = n.number AND o.kind = 1
          AND o.status IS NOT NULL AND o.observed_at < %(from_at)s
        ORDER BY o.observed_at DESC LIMIT 1
    ) before
    WHERE n.charger_id = %(id)s
), turned AS (
    SELECT number, at, seq, status,
           lag(status) OVER (PARTITION BY number ORDER BY at, seq) AS before
    FROM said
)
SELECT number, at, status FROM turned
WHERE status IS DISTINCT FROM before
ORDER BY number, at, seq;

-- name: port_intervals
-- The same from what outlives the observations: only four words.
SELECT n.number, greatest(s.at, %(from_at)s) AS at, s.state AS status
FROM connector n
JOIN state_change s ON s.connector_id = n.id
WHERE n.charger_id = %(id)s AND s.at < %(to_at)s
  AND s.at >= coalesce((SELECT max(b.at) FROM state_change b
                        WHERE b.connector_id = n.id AND b.at <= %(from_at)s), '-infinity')
ORDER BY n.number, s.at;

-- name: contact
-- When the charger was heard, and from when on it is silent now (null: it is heard).
SELECT greatest(at, %(from_at)s) AS at, heard FROM contact_change
WHERE charger_id = %(id)s AND at < %(to_at)s
  AND at >= coalesce((SELECT max(b.at) FROM contact_change b
                      WHERE b.charger_id = %(id)s AND b.at <= %(from_at)s), '-infinity')
ORDER BY at;

-- name: silent_since
SELECT least(h.last_seen_at + h.heartbeat_s * interval '3 s',
             CASE WHEN h.offline_said_at >= h.last_seen_at THEN h.offline_said_at END) AS at
FROM charger_state h WHERE h.charger_id = %(id)s;

-- name: measured
-- Power (of several ports their sum) and temperature (the hottest port's), in equal steps.
SELECT at, sum(power_low) AS power_low, sum(power_w) AS power_w, sum(power_high) AS power_high,
       min(temperature_low) AS temperature_low, max(temperature_c) AS temperature_c,
       max(temperature_c) AS temperature_high
FROM (
    SELECT date_bin(%(step)s, observed_at, %(from_at)s) AS at, connector,
           min(power_w) AS power_low, avg(power_w) AS power_w, max(power_w) AS power_high,
           min(temperature_c) AS temperature_low, max(temperature_c) AS temperature_c
    FROM observation
    WHERE charger_id = %(id)s AND kind = 2
      AND observed_at >= %(from_at)s AND observed_at < %(to_at)s
      AND (%(port)s::smallint IS NULL OR connector = %(port)s)
      AND (power_w IS NOT NULL OR temperature_c IS NOT NULL)
    GROUP BY 1, connector
) by_port
GROUP BY at ORDER BY at;

-- name: measured_hourly
SELECT at, sum(power_w) AS power_low, sum(power_w) AS power_w, sum(power_high) AS power_high,
       max(temperature_c) AS temperature_low, max(temperature_c) AS temperature_c,
       max(temperature_c) AS temperature_high
FROM (
    SELECT date_bin(%(step)s, r.hour, %(from_at)s) AS at, n.number,
           avg(r.power_avg_w) AS power_w, max(r.power_max_w) AS power_high,
           max(r.temperature_max_c) AS temperature_c
    FROM connector n
    JOIN observation_hour r ON r.connector_id = n.id
    WHERE n.charger_id = %(id)s AND r.hour >= %(from_at)s AND r.hour < %(to_at)s
      AND (%(port)s::smallint IS NULL OR n.number = %(port)s)
    GROUP BY 1, n.number
) by_port
GROUP BY at ORDER BY at;

-- name: incidents_between
-- Everything that was wrong with the pile or with what it hangs on, within a time.
SELECT i.id, i.code, i.severity, i.phase, i.subject_kind, i.started_at, i.ended_at, i.evidence,
       incident_ticket(i) AS ticket_id, n.number
FROM incident i
JOIN charger c ON c.id = %(id)s
LEFT JOIN connector n ON n.id = i.connector_id
WHERE i.started_at < %(to_at)s AND coalesce(i.ended_at, 'infinity') > %(from_at)s
  AND i.phase <> 'pending'
  AND (i.charger_id = c.id
       OR (i.charger_id IS NULL AND i.subject_kind = 'gateway' AND i.subject_id = c.gateway_id)
       OR (i.charger_id IS NULL AND i.subject_kind = 'site' AND i.subject_id = c.site_id))
  AND (%(port)s::smallint IS NULL OR n.number IS NULL OR n.number = %(port)s)
ORDER BY i.started_at, i.id LIMIT 60;

-- name: board_counts
SELECT count(*) AS "all", count(*) FILTER (WHERE t.severity = 1) AS danger,
       count(*) FILTER (WHERE t.state IN ('open', 'reopened')) AS open,
       count(*) FILTER (WHERE t.state = 'repaired') AS repaired,
       count(*) FILTER (
           WHERE t.state IN ('open', 'assigned', 'accepted', 'repairing', 'reopened')
             AND least(CASE WHEN t.accepted_at IS NULL THEN t.accept_by_at END,
                       CASE WHEN t.arrived_at IS NULL THEN t.arrive_by_at END, t.deadline_at)
                 < coalesce(t.paused_at, %(now)s)) AS late
FROM ticket t
JOIN site s ON s.id = t.site_id
WHERE t.state NOT IN ('closed', 'rejected', 'merged')
  AND (%(company_id)s::bigint IS NULL OR t.company_id = %(company_id)s
       OR s.company_id = %(owner_id)s OR t.assignee_id = %(person_id)s)
  AND (%(grids)s::bigint[] IS NULL OR s.grid_id = ANY(%(grids)s));

-- name: watched
-- Live incidents that have no ticket to speak for them.
SELECT i.id, i.code, i.severity, i.phase, i.subject_kind, i.started_at, i.planned_until,
       EXISTS (SELECT FROM self_repair r
               WHERE r.incident_id = i.id AND r.ended_at IS NULL) AS on_trial,
       s.code AS site, s.name AS site_name, gw.code AS gateway, c.code AS charger, c.label,
       n.number
FROM incident i
JOIN site s ON s.id = i.site_id
LEFT JOIN gateway gw ON i.subject_kind = 'gateway' AND gw.id = i.subject_id
LEFT JOIN charger c ON c.id = i.charger_id
LEFT JOIN connector n ON n.id = i.connector_id
LEFT JOIN ticket t ON t.id = i.ticket_id
WHERE i.phase IN ('pending', 'open', 'clearing', 'member') AND i.parent_id IS NULL
  AND (i.ticket_id IS NULL
       OR (i.planned_until IS NOT NULL AND t.state IN ('closed', 'rejected', 'merged')))
  AND (%(site)s::text IS NULL OR s.code = %(site)s)
  AND (%(severity)s::smallint IS NULL OR i.severity = %(severity)s)
  AND (%(company_id)s::bigint IS NULL OR s.company_id = %(company_id)s)
  AND (%(grids)s::bigint[] IS NULL OR s.grid_id = ANY(%(grids)s))
ORDER BY i.severity, i.id DESC LIMIT %(limit)s;

-- name: current_silences
SELECT q.id, q.to_at, q.reason, q.code, q.severity, s.code AS site, s.name AS site_name,
       c.code AS charger, c.label, p.name AS person
FROM silence q
LEFT JOIN charger c ON c.id = q.charger_id
LEFT JOIN site s ON s.id = coalesce(q.site_id, c.site_id)
LEFT JOIN person p ON p.id = q.entered_by
WHERE q.to_at > %(now)s
  AND (%(company_id)s::bigint IS NULL OR s.id IS NULL OR s.company_id = %(company_id)s)
  AND (%(grids)s::bigint[] IS NULL OR s.id IS NULL OR s.grid_id = ANY(%(grids)s))
ORDER BY q.to_at LIMIT 200;

-- name: own_repairs
-- What this repairer, or the own company where nobody has it yet, has to repair.
SELECT t.id, t.state, t.code, t.severity, t.subject_kind, t.opened_at, t.deadline_at,
       t.accept_by_at, t.arrive_by_at, t.accepted_at, t.arrived_at, t.paused_at, t.pause_reason,
       t.verify_by_at, t.version, t.reopened, t.assignee_id = %(person_id)s AS mine,
       s.code AS site, s.name AS site_name, s.address, s.latitude, s.longitude,
       c.code AS charger, c.label, n.number, gw.code AS gateway,
       (SELECT count(*) FROM ticket o WHERE o.charger_id = t.charger_id AND o.id <> t.id
        AND o.opened_at > %(now)s - interval '90 days') AS before
FROM ticket t
JOIN site s ON s.id = t.site_id
LEFT JOIN gateway gw ON t.subject_kind = 'gateway' AND gw.id = t.subject_id
LEFT JOIN charger c ON c.id = t.charger_id
LEFT JOIN connector n ON n.id = t.connector_id
WHERE t.state IN ('open', 'assigned', 'accepted', 'repairing', 'reopened', 'repaired')
  AND (t.assignee_id = %(person_id)s
       OR (t.assignee_id IS NULL AND t.company_id = %(company_id)s))
ORDER BY t.state = 'repaired', t.severity, least(
             CASE WHEN t.accepted_at IS NULL THEN t.accept_by_at END,
             CASE WHEN t.arrived_at IS NULL THEN t.arrive_by_at END, t.deadline_at), t.id
LIMIT 200;

-- name: wall_ports
SELECT p.shown, count(*) AS ports
FROM port_now(%(now)s, %(stopping)s) p
JOIN site s ON s.id = p.site_id
JOIN grid g ON g.id = s.grid_id
WHERE g.area_id = %(area_id)s GROUP BY p.shown;

-- name: wall_area
SELECT id, name, timezone FROM area
WHERE %(area)s::text IS NULL OR code = %(area)s ORDER BY id LIMIT 1;

-- name: site_states
-- Each site with what works there now and what is open.
SELECT s.code, s.name, s.address, s.latitude, s.longitude, g.name AS grid, g.code AS grid_code,
       coalesce(p.ports, 0) AS ports, coalesce(p.usable, 0) AS usable,
       coalesce(p.unknown, 0) AS unknown, coalesce(k.tickets, 0) AS tickets,
       coalesce(k.danger, 0) AS danger
FROM site s
JOIN grid g ON g.id = s.grid_id
LEFT JOIN (
    SELECT site_id, sum(ports)::int AS ports,
           coalesce(sum(ports) FILTER (WHERE shown IN ('free', 'busy')), 0)::int AS usable,
           coalesce(sum(ports) FILTER (WHERE shown = 'unknown'), 0)::int AS unknown
    FROM (
        SELECT site_id, shown, count(*) AS ports FROM port_now(%(now)s, %(stopping)s)
        GROUP BY site_id, shown
    ) by_word
    GROUP BY site_id
) p ON p.site_id = s.id
LEFT JOIN (
    SELECT site_id, count(*) AS tickets, count(*) FILTER (WHERE severity = 1) AS danger
    FROM ticket WHERE state NOT IN ('closed', 'rejected', 'merged') GROUP BY site_id
) k ON k.site_id = s.id
WHERE (%(company_id)s::bigint IS NULL OR s.company_id = %(company_id)s)
  AND (%(grids)s::bigint[] IS NULL OR s.grid_id = ANY(%(grids)s))
ORDER BY coalesce(k.danger, 0) DESC, coalesce(k.tickets, 0) DESC, s.name LIMIT %(limit)s;

-- name: site_piles
-- The same of each pile of a site.
SELECT c.code, c.label, coalesce(p.ports, 0) AS ports, coalesce(p.usable, 0) AS usable,
       coalesce(p.unknown, 0) AS unknown, coalesce(k.tickets, 0) AS tickets,
       coalesce(k.danger, 0) AS danger
FROM charger c
JOIN site s ON s.id = c.site_id
LEFT JOIN LATERAL (
    SELECT count(*) AS ports, count(*) FILTER (WHERE n.shown IN ('free', 'busy')) AS usable,
           count(*) FILTER (WHERE n.shown = 'unknown') AS unknown
    FROM port_now(%(now)s, %(stopping)s) n WHERE n.charger_id = c.id
) p ON true
LEFT JOIN LATERAL (
    SELECT count(*) AS tickets, count(*) FILTER (WHERE t.severity = 1) AS danger
    FROM ticket t
    WHERE t.charger_id = c.id AND t.state NOT IN ('closed', 'rejected', 'merged')
) k ON true
WHERE s.code = %(code)s AND c.active
  AND (%(company_id)s::bigint IS NULL OR s.company_id = %(company_id)s)
  AND (%(grids)s::bigint[] IS NULL OR s.grid_id = ANY(%(grids)s))
ORDER BY danger DESC, tickets DESC, usable < ports DESC, c.label, c.code LIMIT %(limit)s;

-- name: own_sites
SELECT s.id, s.code, s.name FROM site s
WHERE (%(company_id)s::bigint IS NULL OR s.company_id = %(company_id)s)
  AND (%(grids)s::bigint[] IS NULL OR s.grid_id = ANY(%(grids)s))
ORDER BY s.name LIMIT 500;

-- name: labels
SELECT code, label FROM charger WHERE code = ANY(%(codes)s);
