-- The alert engine: events in, incidents out, under one leader.

-- name: try_to_lead
SELECT pg_try_advisory_lock(7150, 2) AS leads;

-- name: take_events
SELECT e.id, e.kind, e.charger_id, e.connector_id, n.number, e.observed_at, e.received_at,
       e.payload
FROM event e LEFT JOIN connector n ON n.id = e.connector_id
ORDER BY e.id LIMIT %(limit)s
FOR UPDATE OF e SKIP LOCKED;

-- name: delete_events
DELETE FROM event WHERE id = ANY(%(ids)s);

-- name: bury_event
WITH gone AS (DELETE FROM event WHERE id = %(id)s RETURNING id, kind, payload)
INSERT INTO dead_event (id, kind, payload, error, failed_at)
SELECT id, kind, payload, %(error)s, %(now)s FROM gone ON CONFLICT DO NOTHING;

-- name: live_incidents_of_chargers
SELECT i.* FROM incident i
WHERE i.phase IN ('pending', 'open', 'clearing', 'member') AND i.charger_id = ANY(%(ids)s)
FOR NO KEY UPDATE;

-- name: live_incident
SELECT * FROM incident
WHERE subject_kind = %(subject_kind)s AND subject_id = %(subject_id)s AND family = %(family)s
  AND phase IN ('pending', 'open', 'clearing', 'member')
FOR NO KEY UPDATE;

-- name: due_incidents
SELECT * FROM incident WHERE due_at <= %(until)s ORDER BY due_at, id LIMIT 500
FOR NO KEY UPDATE;

-- name: insert_incident
INSERT INTO incident (subject_kind, subject_id, site_id, charger_id, connector_id, code, family,
                      severity, effect, detector, phase, started_at, opened_at, quiet_since,
                      ended_at, due_at, parent_id, ticket_id, evidence)
SELECT %(subject_kind)s, %(subject_id)s, p.site_id, p.charger_id, p.connector_id, %(code)s,
       %(family)s, %(severity)s, %(effect)s, %(detector)s, %(phase)s, %(started_at)s,
       %(opened_at)s, %(quiet_since)s, %(ended_at)s, %(due_at)s, %(parent_id)s, %(ticket_id)s,
       %(evidence)s
FROM (
    SELECT c.site_id, c.id AS charger_id, n.id AS connector_id
    FROM connector n JOIN charger c ON c.id = n.charger_id
    WHERE %(subject_kind)s = 'connector' AND n.id = %(subject_id)s
    UNION ALL SELECT site_id, id, NULL FROM charger
    WHERE %(subject_kind)s = 'charger' AND id = %(subject_id)s
    UNION ALL SELECT site_id, NULL, NULL FROM gateway
    WHERE %(subject_kind)s = 'gateway' AND id = %(subject_id)s
    UNION ALL SELECT id, NULL, NULL FROM site
    WHERE %(subject_kind)s = 'site' AND id = %(subject_id)s
) p
ON CONFLICT (subject_kind, subject_id, family)
    WHERE phase IN ('pending', 'open', 'clearing', 'member') DO NOTHING
RETURNING id;

-- name: update_incident
UPDATE incident SET
    detector = %(detector)s, code = %(code)s, severity = %(severity)s, effect = %(effect)s, phase = %(phase)s,
    opened_at = %(opened_at)s, quiet_since = %(quiet_since)s, ended_at = %(ended_at)s,
    due_at = %(due_at)s, parent_id = %(parent_id)s, ticket_id = %(ticket_id)s,
    evidence = %(evidence)s
WHERE id = %(id)s;

-- name: silent_chargers
-- Three heartbeats missed, judged only for the time in which somebody listened.
SELECT h.charger_id, h.last_seen_at, h.heartbeat_s
FROM charger_state h
JOIN charger c ON c.id = h.charger_id AND c.active
CROSS JOIN (
    SELECT min(since) AS since FROM listener WHERE alive_at > %(now)s - interval '15 seconds'
) l
WHERE greatest(h.last_seen_at, l.since) <= %(now)s - h.heartbeat_s * interval '3 seconds'
  AND h.last_seen_at IS NOT NULL AND l.since IS NOT NULL
  AND NOT EXISTS (
      SELECT FROM incident i
      WHERE i.subject_kind = 'charger' AND i.subject_id = h.charger_id AND i.family = 'silence'
        AND i.phase IN ('pending', 'open', 'clearing', 'member') AND i.quiet_since IS NULL)
ORDER BY h.charger_id;

-- name: returned_chargers
SELECT h.charger_id, h.last_seen_at
FROM incident i JOIN charger_state h ON h.charger_id = i.subject_id
WHERE i.subject_kind = 'charger' AND i.family = 'silence' AND i.quiet_since IS NULL
  AND i.phase IN ('pending', 'open', 'member')
  AND h.last_seen_at >= coalesce(h.offline_said_at, '-infinity')
  AND h.last_seen_at > %(now)s - h.heartbeat_s * interval '3 seconds'
ORDER BY h.charger_id;

-- name: stale_connectors
SELECT k.connector_id, k.heard_at
FROM connector_now(%(now)s) k
JOIN charger_state h ON h.charger_id = k.charger_id
CROSS JOIN (
    SELECT min(since) AS since FROM listener WHERE alive_at > %(now)s - interval '15 seconds'
) l
WHERE k.online AND k.stale AND k.heard_at IS NOT NULL
  AND l.since <= %(now)s - h.heartbeat_s * interval '3 seconds'
  AND NOT EXISTS (
      SELECT FROM incident i
      WHERE i.subject_kind = 'connector' AND i.subject_id = k.connector_id
        AND i.family = 'silence' AND i.phase IN ('pending', 'open', 'clearing', 'member')
        AND i.quiet_since IS NULL)
ORDER BY k.connector_id;

-- name: refreshed_connectors
SELECT k.connector_id, k.heard_at
FROM incident i
JOIN connector_now(%(now)s) k ON k.connector_id = i.subject_id
WHERE i.subject_kind = 'connector' AND i.family = 'silence' AND i.quiet_since IS NULL
  AND i.phase IN ('pending', 'open', 'member') AND k.online AND NOT k.stale
ORDER BY k.connector_id;

-- name: sessions_of_chargers
-- What ended or was refused lately, newest first, up to a number for each charger.
SELECT c.id AS charger_id, s.*
FROM unnest(%(ids)s::integer[]) AS c(id)
CROSS JOIN LATERAL (
    SELECT t.connector_id, t.session_id, coalesce(t.ended_at, t.refused_at) AS at,
           t.ended_at IS NULL AS refused, t.started_at, t.energy_wh
    FROM connector n JOIN charging_session t ON t.connector_id = n.id
    WHERE n.charger_id = c.id AND coalesce(t.ended_at, t.refused_at) > %(since)s
    ORDER BY at DESC, t.session_id DESC LIMIT %(limit)s
) s
ORDER BY c.id, s.at DESC, s.session_id DESC;

-- name: boots_of_chargers
SELECT charger_id, min(observed_at) AS observed_at
FROM observation
WHERE charger_id = ANY(%(ids)s) AND connector = 0 AND kind = 7 AND observed_at > %(since)s
  AND data->>'bootId' IS NOT NULL
GROUP BY charger_id, data->>'bootId';

-- name: meters_to_judge
-- Fresh meter values beyond a limit, and those of connectors whose limit was broken before. A value
-- from before the latest status is no news.
WITH mine AS (
    SELECT charger_id, connector_id FROM incident
    WHERE detector = %(mine)s AND quiet_since IS NULL
      AND phase IN ('pending', 'open', 'member')
)
SELECT s.charger_id, s.connector_id, n.number, s.status, s.status_at, s.meter_at, s.power_w,
       s.voltage_v, s.current_a, s.temperature_c, s.residual_current_ma, n.max_power_w
FROM connector_state s
JOIN connector n ON n.id = s.connector_id AND n.active
JOIN charger_state h ON h.charger_id = s.charger_id
WHERE s.meter_at > %(now)s - 3 * greatest(h.heartbeat_s, coalesce(h.meter_s, 0))
                           * interval '1 second'
  AND s.meter_at >= coalesce(s.status_at, '-infinity')
  AND (s.voltage_v > %(nominal_v)s * (1 + %(over_voltage)s)
       OR s.voltage_v BETWEEN %(nominal_v)s * 0.3 AND %(nominal_v)s * (1 - %(under_voltage)s)
       OR s.current_a > n.max_power_w / %(nominal_v)s * (1 + %(over_current)s)
       OR s.temperature_c > %(temperature_c)s
       OR s.residual_current_ma >= %(residual_current_ma)s
       OR (s.power_w >= %(unasked_w)s AND s.status <> 'charging')
       OR s.connector_id IN (SELECT connector_id FROM mine WHERE connector_id IS NOT NULL)
       OR s.charger_id IN (SELECT charger_id FROM mine WHERE connector_id IS NULL))
ORDER BY s.connector_id;

-- name: weak_signals
SELECT h.charger_id, h.rssi_dbm FROM charger_state h
JOIN charger c ON c.id = h.charger_id AND c.active
WHERE h.rssi_dbm < %(limit)s
  AND h.last_seen_at > %(now)s - h.heartbeat_s * interval '3 seconds'
  AND NOT EXISTS (
      SELECT FROM incident i
      WHERE i.subject_kind = 'charger' AND i.subject_id = h.charger_id AND i.family = 'signal'
        AND i.phase IN ('pending', 'open', 'clearing', 'member') AND i.quiet_since IS NULL)
ORDER BY h.charger_id;

-- name: controllers_well_again
SELECT i.charger_id, i.code
FROM incident i JOIN charger_state h ON h.charger_id = i.charger_id
WHERE i.detector = %(mine)s AND i.quiet_since IS NULL AND i.phase IN ('pending', 'open')
  AND CASE i.code
      WHEN 'weak-signal' THEN h.rssi_dbm >= %(limit)s + 3
      WHEN 'reboot-loop' THEN h.boot_at < %(now)s - %(window_s)s * interval '1 second'
      WHEN 'clock-wrong' THEN h.clock_notice_on < (%(now)s - interval '24 hours')::date
      END
ORDER BY i.charger_id;

-- name: connectors_of_chargers
SELECT id FROM connector WHERE charger_id = ANY(%(ids)s) AND active ORDER BY id;

-- name: neighbours_of
-- How many chargers share this one's gateway and site, and how many of them have the same fault.
WITH me AS (SELECT site_id, gateway_id FROM charger WHERE id = %(charger_id)s),
near AS (
    SELECT c.id, c.gateway_id, EXISTS (
        SELECT FROM incident i
        WHERE i.subject_kind = 'charger' AND i.subject_id = c.id AND i.family = %(family)s
          AND i.phase IN ('pending', 'open', 'member') AND i.quiet_since IS NULL) AS ill
    FROM charger c JOIN me ON c.site_id = me.site_id WHERE c.active
)
SELECT me.site_id, me.gateway_id,
       (SELECT count(*) FROM near) AS site_all,
       (SELECT count(*) FROM near WHERE ill) AS site_ill,
       (SELECT count(*) FROM near n WHERE n.gateway_id = me.gateway_id) AS gateway_all,
       (SELECT count(*) FROM near n WHERE n.gateway_id = me.gateway_id AND ill) AS gateway_ill
FROM me;

-- name: children_of
SELECT i.* FROM incident i JOIN charger c ON c.id = i.charger_id
WHERE i.subject_kind = 'charger' AND i.family = %(family)s AND i.phase = 'pending'
  AND i.quiet_since IS NULL
  AND CASE %(subject_kind)s WHEN 'gateway' THEN c.gateway_id ELSE c.site_id END = %(subject_id)s
ORDER BY i.id FOR NO KEY UPDATE OF i;

-- name: members
SELECT * FROM incident WHERE parent_id = %(parent_id)s AND phase = 'member'
ORDER BY id FOR NO KEY UPDATE;

-- name: parents
SELECT p.*, n.chargers, n.ill
FROM (
    SELECT * FROM incident
    WHERE subject_kind IN ('gateway', 'site') AND family = ANY(%(families)s)
      AND phase IN ('open', 'clearing') AND detector <> 'alertmanager'
    FOR NO KEY UPDATE
) p
CROSS JOIN LATERAL (
    SELECT count(*) AS chargers, count(*) FILTER (WHERE EXISTS (
        SELECT FROM incident i WHERE i.subject_kind = 'charger' AND i.subject_id = c.id
          AND i.family = p.family AND i.phase IN ('pending', 'open', 'member')
          AND i.quiet_since IS NULL)) AS ill
    FROM charger c
    WHERE c.active
      AND CASE p.subject_kind WHEN 'gateway' THEN c.gateway_id ELSE c.site_id END = p.subject_id
) n
ORDER BY p.id;

-- name: live_parent_of
SELECT p.id FROM incident p
JOIN charger c ON c.id = %(charger_id)s
WHERE p.family = %(family)s AND p.phase = 'open'
  AND ((p.subject_kind = 'gateway' AND p.subject_id = c.gateway_id)
       OR (p.subject_kind = 'site' AND p.subject_id = c.site_id))
ORDER BY p.subject_kind DESC LIMIT 1;

-- name: add_outbox
INSERT INTO outbox (key, topic, payload, created_at, due_at, silence_id)
SELECT %(key)s, %(topic)s, m.payload, %(now)s, coalesce(q.to_at, %(now)s), q.id
FROM (SELECT %(payload)s::jsonb AS payload) m
LEFT JOIN LATERAL silence_over(
    m.payload ->> 'subject_kind', (m.payload ->> 'subject_id')::bigint, m.payload ->> 'code',
    (m.payload ->> 'severity')::integer, %(now)s) q ON true ON CONFLICT DO NOTHING;

-- name: notify
SELECT pg_notify(%(channel)s, %(payload)s);

-- name: trim_quarantine
DELETE FROM quarantine WHERE received_at < %(before)s OR id <= (
    SELECT id FROM quarantine ORDER BY id DESC OFFSET %(rows)s LIMIT 1);

-- name: trim_unknown_chargers
DELETE FROM unknown_charger WHERE last_seen_at < %(before)s;

-- name: trim_idempotency
DELETE FROM idempotency_key WHERE created_at < %(before)s;

-- name: trim_word_counts
DELETE FROM word_count WHERE closes_at <= %(now)s;

-- name: trim_daily_salts
DELETE FROM daily_salt WHERE day < %(today)s;

-- name: trim_login_sessions
DELETE FROM login_session WHERE expires_at < %(now)s;

-- name: trim_outbox
DELETE FROM outbox WHERE sent_at < %(before)s;

-- name: finished_hours
SELECT DISTINCT hour FROM rollup_due WHERE hour <= %(before)s ORDER BY hour LIMIT 48;

-- name: clear_due_hour
DELETE FROM rollup_due WHERE hour = %(hour)s;

-- name: roll_up_hour
-- Energy is the rise of the register between neighbouring readings of one session, never a fall.
INSERT INTO observation_hour AS t (connector_id, hour, samples, energy_wh, power_avg_w,
    power_max_w, voltage_min_v, voltage_max_v, current_max_a, temperature_max_c, sessions_ended)
SELECT connector_id, %(hour)s, count(*) FILTER (WHERE kind = 2), sum(rise), avg(power_w),
       max(power_w), min(voltage_v), max(voltage_v), max(current_a), max(temperature_c),
       count(*) FILTER (WHERE kind = 4)
FROM (
    SELECT o.*, CASE WHEN kind = 2 THEN greatest(0, energy_wh - lag(energy_wh) OVER (
        PARTITION BY connector_id, kind, session_id ORDER BY observed_at, seq)) END AS rise
    FROM observation o
    WHERE o.observed_at >= %(hour)s AND o.observed_at < %(hour)s + interval '1 hour'
      AND o.kind IN (2, 4) AND o.connector_id IS NOT NULL
) o
GROUP BY connector_id
ON CONFLICT (connector_id, hour) DO UPDATE SET
    samples = excluded.samples, energy_wh = excluded.energy_wh,
    power_avg_w = excluded.power_avg_w, power_max_w = excluded.power_max_w,
    voltage_min_v = excluded.voltage_min_v, voltage_max_v = excluded.voltage_max_v,
    current_max_a = excluded.current_max_a, temperature_max_c = excluded.temperature_max_c,
    sessions_ended = excluded.sessions_ended;

-- name: figures
SELECT (SELECT count(*) FROM event) AS events,
       (SELECT extract(epoch FROM %(now)s - min(received_at)) FROM event) AS event_age,
       (SELECT count(*) FROM outbox WHERE sent_at IS NULL AND due_at <= %(now)s) AS outbox,
       (SELECT extract(epoch FROM %(now)s - min(due_at)) FROM (
            SELECT due_at FROM outbox WHERE routed_at IS NULL
            UNION ALL SELECT due_at FROM delivery WHERE sent_at IS NULL AND dead_at IS NULL
        ) w WHERE due_at <= %(now)s) AS outbox_age,
       (SELECT count(*) FROM delivery WHERE dead_at IS NOT NULL) AS dead;

-- name: incident_figures
SELECT phase, severity, count(*) AS n FROM incident
WHERE phase IN ('pending', 'open', 'clearing', 'member') GROUP BY phase, severity;

-- name: ticket_figures
SELECT state, severity, count(*) AS n FROM ticket
WHERE state NOT IN ('closed', 'rejected', 'merged') GROUP BY state, severity;

-- name: paused_figures
SELECT pause_reason AS reason, count(*) AS n FROM ticket
WHERE paused_at IS NOT NULL GROUP BY pause_reason;

-- name: late_figures
-- While the clock stands a promise is late only if it was so before.
SELECT count(*) FILTER (WHERE accepted_at IS NULL AND accept_by_at < moment) AS accept,
       count(*) FILTER (WHERE arrived_at IS NULL AND arrive_by_at < moment) AS arrive,
       count(*) FILTER (WHERE deadline_at < moment) AS repair
FROM (
    SELECT *, coalesce(paused_at, %(now)s) AS moment FROM ticket
    WHERE state IN ('open', 'assigned', 'accepted', 'repairing', 'reopened')
) t;
