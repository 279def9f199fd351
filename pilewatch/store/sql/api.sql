-- What people and programs read. Lists are keyset pages: id below the cursor, newest first.

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
  AND (%(ids)s::bigint[] IS NULL OR k.connector_id = ANY(%(ids)s))
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
       i.ticket_id, i.started_at, i.opened_at, i.quiet_since, i.ended_at, i.evidence,
       i.planned_by, i.planned_until,
       (SELECT q.id FROM silence_over(i.subject_kind, i.subject_id, i.code, i.severity, %(now)s) q
        WHERE i.phase IN ('pending', 'open', 'clearing', 'member')) AS silenced_by
FROM incident i
JOIN site s ON s.id = i.site_id
LEFT JOIN gateway g ON i.subject_kind = 'gateway' AND g.id = i.subject_id
LEFT JOIN charger c ON c.id = i.charger_id
LEFT JOIN connector n ON n.id = i.connector_id
LEFT JOIN ticket t ON t.id = incident_ticket(i)
WHERE i.id < %(before)s
  AND (%(id)s::bigint IS NULL OR i.id = %(id)s)
  AND (%(phase)s::text IS NULL OR i.phase = %(phase)s)
  AND (%(site)s::text IS NULL OR s.code = %(site)s)
  AND (%(company_id)s::bigint IS NULL OR %(company_id)s IN (s.company_id, t.company_id)
       OR t.assignee_id = %(person_id)s)
  AND (%(grids)s::bigint[] IS NULL OR s.grid_id = ANY(%(grids)s))
ORDER BY i.id DESC LIMIT %(limit)s;

-- name: tickets
SELECT t.id, t.state, t.code, t.family, t.severity, t.subject_kind, s.code AS site,
       g.code AS gateway, c.code AS charger, n.number AS connector, co.code AS company,
       p.login AS assignee, t.opened_at, t.deadline_at, t.accept_by_at, t.arrive_by_at,
       t.accepted_at, t.arrived_at, t.paused_at, t.pause_reason, t.paused_s,
       greatest(t.accept_level, t.arrive_level, t.repair_level,
                (SELECT max(o.level) FROM work_order o
                 WHERE o.ticket_id = t.id AND o.settled_at IS NULL)) AS escalation_level,
       t.claimed_at, t.verify_by_at,
       t.verified_at, t.closed_at, t.evidence, t.cause, t.remedy, t.part, t.cause_code,
       t.remedy_code, (SELECT count(*) FROM work_order o
                       WHERE o.ticket_id = t.id AND o.settled_at IS NULL) AS open_orders,
       t.merged_into, t.reopened, t.version, (SELECT count(*) FROM report r WHERE r.ticket_id = t.id) AS reports
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
       OR s.company_id = %(owner_id)s OR t.assignee_id = %(person_id)s)
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
SELECT id FROM person
WHERE login = %(login)s AND active AND role NOT IN ('auditor', 'device');

-- name: find_place
-- A place is a site, a charger (of that site, where one is named) or one of its connectors; codes
-- are unique, so this is one row or none.
SELECT s.id AS site_id, s.grid_id, s.company_id, c.id AS charger_id, n.id AS connector_id
FROM site s
LEFT JOIN charger c ON c.code = %(charger)s AND c.site_id = s.id AND c.active
LEFT JOIN connector n ON n.charger_id = c.id AND n.number = %(connector)s AND n.active
WHERE CASE WHEN %(charger)s::text IS NULL THEN s.code = %(site)s AND %(connector)s::integer IS NULL
      ELSE c.id IS NOT NULL AND (%(site)s::text IS NULL OR s.code = %(site)s) END
  AND (%(connector)s::integer IS NULL OR n.id IS NOT NULL);

-- name: site_exists
SELECT FROM site WHERE code = %(code)s;

-- name: live_tickets
SELECT t.id, t.state, t.code, t.severity, s.code AS site, c.code AS charger,
       n.number AS connector, t.version, ARRAY[t.company_id] AS companies,
       s.company_id AS site_company_id, ARRAY[t.assignee_id] AS people, s.grid_id
FROM ticket t
JOIN site s ON s.id = t.site_id
LEFT JOIN charger c ON c.id = t.charger_id
LEFT JOIN connector n ON n.id = t.connector_id
WHERE t.id = ANY(%(ids)s) ORDER BY t.id;

-- name: live_incidents
SELECT i.id, i.phase, i.code, i.severity, s.code AS site, c.code AS charger,
       n.number AS connector, ARRAY[s.company_id, t.company_id] AS companies,
       s.company_id AS site_company_id, ARRAY[t.assignee_id] AS people, s.grid_id
FROM incident i
JOIN site s ON s.id = i.site_id
LEFT JOIN charger c ON c.id = i.charger_id
LEFT JOIN connector n ON n.id = i.connector_id
LEFT JOIN ticket t ON t.id = incident_ticket(i)
WHERE i.id = ANY(%(ids)s) ORDER BY i.id;

-- name: live_commands
SELECT k.id, k.state, k.name, s.code AS site, c.code AS charger, n.number AS connector,
       ARRAY[s.company_id] || t.companies AS companies, s.company_id AS site_company_id,
       coalesce(t.people, '{}') AS people, s.grid_id
FROM command k
JOIN charger c ON c.id = k.charger_id
JOIN site s ON s.id = c.site_id
LEFT JOIN connector n ON n.id = k.connector_id
CROSS JOIN LATERAL (
    SELECT array_agg(x.company_id) AS companies, array_agg(x.assignee_id) AS people FROM ticket x
    WHERE x.charger_id = c.id AND x.state NOT IN ('closed', 'rejected', 'merged')
) t
WHERE k.id = ANY(%(ids)s) ORDER BY k.id;

-- name: claim_key
-- Waits while a twin of this request is at work, and gives no row where it was done before.
INSERT INTO idempotency_key (caller, key, request, status, response, created_at)
VALUES (%(caller)s, %(key)s, %(request)s, 0, '{}', %(now)s)
ON CONFLICT DO NOTHING RETURNING key;

-- name: kept_answer
SELECT request, status, response FROM idempotency_key
WHERE caller = %(caller)s AND key = %(key)s;

-- name: keep_answer
UPDATE idempotency_key SET status = %(status)s, response = %(response)s
WHERE caller = %(caller)s AND key = %(key)s;

-- name: withdraw_key
DELETE FROM idempotency_key WHERE caller = %(caller)s AND key = %(key)s;

-- name: add_salt
INSERT INTO daily_salt (day, salt) VALUES (%(day)s, %(salt)s) ON CONFLICT DO NOTHING;

-- name: salt
SELECT salt FROM daily_salt WHERE day = %(day)s;

-- name: count_word
-- Counts one more in each of these windows; a row where one is now beyond its limit.
WITH asked AS (
    SELECT * FROM unnest(%(opens_at)s::timestamptz[], %(closes_at)s::timestamptz[],
                         %(most)s::integer[]) AS w(opens_at, closes_at, most)
), counted AS (
    INSERT INTO word_count AS t (source, opens_at, closes_at, words)
    SELECT %(source)s, opens_at, closes_at, 1 FROM asked ORDER BY opens_at, closes_at
    ON CONFLICT (source, opens_at, closes_at) DO UPDATE SET words = t.words + 1
    RETURNING opens_at, closes_at, words
)
SELECT max(closes_at) AS free_at
FROM counted JOIN asked USING (opens_at, closes_at)
WHERE words > most
HAVING count(*) > 0;

-- name: charger_for
-- A charger as this caller may see it (also who has a live ticket about it to work on), with the
-- connector of this number.
SELECT c.id AS charger_id, n.id AS connector_id
FROM charger c
JOIN site s ON s.id = c.site_id
LEFT JOIN connector n ON n.charger_id = c.id AND n.number = %(connector)s
WHERE c.code = %(code)s
  AND (%(company_id)s::bigint IS NULL OR s.company_id = %(company_id)s OR EXISTS (
      SELECT FROM ticket t
      WHERE t.charger_id = c.id AND t.state NOT IN ('closed', 'rejected', 'merged')
        AND (t.company_id = %(company_id)s OR t.assignee_id = %(person_id)s)))
  AND (%(grids)s::bigint[] IS NULL OR s.grid_id = ANY(%(grids)s));

-- name: observations
SELECT observed_at, received_at, connector, kind, seq, status, errors, session_id, reason,
       energy_wh, power_w, voltage_v, current_a, temperature_c, soc, residual_current_ma, data
FROM observation
WHERE charger_id = %(charger_id)s
  AND observed_at >= %(from_at)s AND observed_at < %(to_at)s
  AND (%(connector)s::smallint IS NULL OR connector = %(connector)s)
  AND (%(kinds)s::smallint[] IS NULL OR kind = ANY(%(kinds)s))
  AND (%(at)s::timestamptz IS NULL OR (observed_at <= %(at)s
       AND (observed_at, seq, connector, kind)
           < (%(at)s, %(at_seq)s::bigint, %(at_connector)s::smallint, %(at_kind)s::smallint)))
ORDER BY observed_at DESC, seq DESC, connector DESC, kind DESC
LIMIT %(limit)s;

-- name: series
SELECT date_bin(%(step)s, observed_at, %(from_at)s) AS at, count(value) AS samples,
       min(value) AS min, avg(value) AS avg, max(value) AS max
FROM (
    SELECT observed_at, CASE %(measure)s
        WHEN 'power_w' THEN power_w WHEN 'temperature_c' THEN temperature_c
        WHEN 'voltage_v' THEN voltage_v ELSE current_a END AS value
    FROM observation
    WHERE charger_id = %(charger_id)s AND connector = %(connector)s AND kind = 2
      AND observed_at >= %(from_at)s AND observed_at < %(to_at)s
) o
WHERE value IS NOT NULL
GROUP BY 1 ORDER BY 1;

-- name: series_energy
-- Energy is the rise of the register between neighbouring readings of one session, as in the
-- hourly roll-up.
SELECT date_bin(%(step)s, observed_at, %(from_at)s) AS at, count(*) AS samples,
       sum(rise) AS sum
FROM (
    SELECT observed_at, greatest(0, energy_wh - lag(energy_wh) OVER (
        PARTITION BY session_id ORDER BY observed_at, seq)) AS rise
    FROM observation
    WHERE charger_id = %(charger_id)s AND connector = %(connector)s AND kind = 2
      AND observed_at >= %(from_at)s AND observed_at < %(to_at)s AND energy_wh IS NOT NULL
) o
GROUP BY 1 ORDER BY 1;

-- name: series_hourly
-- Only what the roll-up keeps of each measure is there; the rest is null.
SELECT date_bin(%(step)s, hour, %(from_at)s) AS at, sum(samples) AS samples,
       CASE %(measure)s WHEN 'voltage_v' THEN min(voltage_min_v) END AS min,
       CASE %(measure)s WHEN 'power_w' THEN
           sum(power_avg_w * samples) / nullif(sum(samples) FILTER (WHERE power_avg_w IS NOT NULL), 0)
       END AS avg,
       CASE %(measure)s WHEN 'power_w' THEN max(power_max_w)
            WHEN 'temperature_c' THEN max(temperature_max_c)
            WHEN 'voltage_v' THEN max(voltage_max_v) WHEN 'current_a' THEN max(current_max_a)
       END AS max,
       CASE %(measure)s WHEN 'energy_wh' THEN sum(energy_wh) END AS sum
FROM observation_hour
WHERE connector_id = %(connector_id)s AND hour >= %(from_at)s AND hour < %(to_at)s
GROUP BY 1 ORDER BY 1;

-- name: quarantine
-- Of registered chargers only those that the caller may see; what nobody has registered is nobody's.
SELECT q.id, q.received_at, q.topic, q.size, q.reason, q.charger_code AS charger
FROM quarantine q
LEFT JOIN charger c ON c.code = q.charger_code
LEFT JOIN site s ON s.id = c.site_id
WHERE q.id < %(before)s
  AND (s.id IS NULL OR ((%(company_id)s::bigint IS NULL OR s.company_id = %(company_id)s)
                        AND (%(grids)s::bigint[] IS NULL OR s.grid_id = ANY(%(grids)s))))
ORDER BY q.id DESC LIMIT %(limit)s;

-- name: unknown_chargers
SELECT id, code, first_seen_at, last_seen_at, messages FROM unknown_charger
WHERE id < %(before)s
ORDER BY id DESC LIMIT %(limit)s;

-- name: ready
SELECT max(version) AS version FROM schema_migration;
