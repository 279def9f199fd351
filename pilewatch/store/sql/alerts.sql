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
-- When a charger was first heard again is not kept: a silence that is over before anybody was told
-- counts as over in time.
SELECT h.charger_id,
       least(h.last_seen_at, CASE WHEN i.phase = 'pending'
                                  THEN i.due_at - interval '1 microsecond' END) AS last_seen_at
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
SELECT k.connector_id,
       least(k.heard_at, CASE WHEN i.phase = 'pending'
                              THEN i.due_at - interval '1 microsecond' END) AS heard_at
FROM incident i
JOIN connector_now(%(now)s) k ON k.connector_id = i.subject_id
WHERE i.subject_kind = 'connector' AND i.family = 'silence' AND i.quiet_since IS NULL
  AND i.phase IN ('pending', 'open', 'member') AND k.online AND NOT k.stale
ORDER BY k.connector_id;

-- name: sessions_of_chargers
-- What ended or was refused lately, newest first, up to a number for each charger. What the power
-- came to counts where the register, which may be broken, says less; what began before a proven
-- repair no longer counts.
SELECT c.id AS charger_id, s.*
FROM unnest(%(ids)s::integer[]) AS c(id)
CROSS JOIN LATERAL (
    SELECT t.connector_id, t.session_id, coalesce(t.ended_at, t.refused_at) AS at,
           t.ended_at IS NULL AS refused, t.started_at,
           greatest(t.energy_wh, m.integral_wh) AS energy_wh
    FROM connector n JOIN charging_session t ON t.connector_id = n.id
    LEFT JOIN session_meter m ON m.connector_id = n.id AND m.session_id = t.session_id
    WHERE n.charger_id = c.id
      AND coalesce(t.ended_at, t.refused_at) > %(since)s
      AND coalesce(t.started_at, t.ended_at, t.refused_at)
          > coalesce(repaired_at(n.id), '-infinity')
    ORDER BY at DESC, t.session_id DESC LIMIT %(limit)s
) s
ORDER BY c.id, s.at DESC, s.session_id DESC;

-- name: boots_of_chargers
-- By our clock where the charger's own is wrong.
SELECT charger_id,
       min(CASE WHEN abs(extract(epoch FROM received_at - observed_at)) > 300 THEN received_at
                ELSE observed_at END) AS observed_at
FROM observation
WHERE charger_id = ANY(%(ids)s) AND connector = 0 AND kind = 7
  AND (observed_at > %(since)s OR received_at > %(since)s) AND data->>'bootId' IS NOT NULL
GROUP BY charger_id, data->>'bootId';

-- name: meters_to_judge
-- Fresh meter values beyond a limit, and those of connectors whose limit was broken before. A value
-- from before the latest status is no news; a jumping clock does not tell which came first.
WITH mine AS (
    SELECT charger_id, connector_id FROM incident
    WHERE detector = %(mine)s AND quiet_since IS NULL
      AND phase IN ('pending', 'open', 'member')
)
SELECT s.charger_id, s.connector_id, n.number, s.status, s.status_at, s.meter_at, s.power_w,
       s.voltage_v, s.current_a, s.temperature_c, s.residual_current_ma, n.max_power_w,
       unasked.rise_wh, unasked.span_s
FROM connector_state s
JOIN connector n ON n.id = s.connector_id AND n.active
JOIN charger_state h ON h.charger_id = s.charger_id
LEFT JOIN LATERAL (
    SELECT max(o.energy_wh) - min(o.energy_wh) AS rise_wh,
           extract(epoch FROM max(o.observed_at) - min(o.observed_at))::double precision AS span_s
    FROM observation o
    WHERE s.power_w >= %(unasked_w)s AND s.status <> 'charging'
      AND coalesce(abs(h.clock_lag_s), 0) <= %(clock_lag_s)s
      AND o.charger_id = s.charger_id AND o.connector = n.number AND o.kind = 2
      AND o.observed_at > greatest(s.status_at + interval '3 seconds',
                                   s.meter_at - interval '10 minutes')
      AND o.observed_at <= s.meter_at AND o.power_w >= %(unasked_w)s
      AND (o.session_id IS NULL OR EXISTS (
          SELECT FROM charging_session t
          WHERE t.connector_id = s.connector_id AND t.session_id = o.session_id
            AND t.ended_at < o.observed_at))
) unasked ON true
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

-- name: dead_phases
-- Sites where some ports have no voltage, others do, and nobody complains of the dead ones; and
-- chargers whose ports are all alive again.
WITH fresh AS (
    SELECT c.site_id, s.charger_id, s.connector_id, n.number, s.voltage_v,
           s.voltage_v < %(nominal_v)s * 0.1 AND s.errors = '[]' AS dead,
           s.voltage_v > %(nominal_v)s * 0.5 AS alive
    FROM connector_state s
    JOIN connector n ON n.id = s.connector_id AND n.active
    JOIN charger c ON c.id = s.charger_id
    JOIN charger_state h ON h.charger_id = s.charger_id
    WHERE c.site_id IN (
        SELECT c2.site_id FROM connector_state s2 JOIN charger c2 ON c2.id = s2.charger_id
        WHERE s2.voltage_v < %(nominal_v)s * 0.1 AND s2.meter_at > %(now)s - interval '20 minutes'
        UNION
        SELECT site_id FROM incident WHERE code = 'phase-loss' AND quiet_since IS NULL
          AND phase IN ('pending', 'open', 'member'))
      AND s.meter_at > %(now)s - interval '20 minutes'
), site AS (
    SELECT site_id, count(*) FILTER (WHERE dead) AS dead, count(*) FILTER (WHERE alive) AS alive
    FROM fresh GROUP BY site_id
)
SELECT f.charger_id, bool_or(f.dead) AND s.dead >= 2 AND s.alive >= 2 AS lost,
       coalesce(array_agg(f.number ORDER BY f.number) FILTER (WHERE f.dead), '{}') AS ports
FROM fresh f JOIN site s ON s.site_id = f.site_id
GROUP BY f.charger_id, s.dead, s.alive
ORDER BY f.charger_id;

-- name: clock_lags
SELECT h.charger_id, h.clock_lag_s, i.detector
FROM charger_state h
JOIN charger c ON c.id = h.charger_id AND c.active
LEFT JOIN incident i ON i.subject_kind = 'charger' AND i.subject_id = h.charger_id
    AND i.family = 'clock' AND i.phase IN ('pending', 'open') AND i.quiet_since IS NULL
WHERE (abs(h.clock_lag_s) > %(limit)s AND i.id IS NULL
       AND h.last_seen_at > %(now)s - h.heartbeat_s * interval '3 seconds')
   OR (abs(h.clock_lag_s) <= %(limit)s AND i.detector = %(mine)s)
ORDER BY h.charger_id;

-- name: swings_of_connectors
SELECT n.id AS connector_id, o.observed_at
FROM connector n
CROSS JOIN LATERAL (
    SELECT observed_at, status = 'faulted' AS bad,
           lag(status = 'faulted') OVER (ORDER BY observed_at, seq) AS was
    FROM observation
    WHERE charger_id = n.charger_id AND connector = n.number AND kind = 1
      AND observed_at > %(since)s
) o
WHERE n.id = ANY(%(ids)s) AND o.bad <> o.was
ORDER BY n.id, o.observed_at;

-- name: steady_connectors
SELECT i.connector_id FROM incident i
JOIN connector_state s ON s.connector_id = i.connector_id
WHERE i.code = 'flapping' AND i.detector = 'flapping' AND i.quiet_since IS NULL
  AND i.phase IN ('pending', 'open')
  AND s.status_at < %(now)s - %(window_s)s * interval '1 second' AND s.status <> 'faulted'
ORDER BY i.connector_id;

-- name: keep_session_meters
-- What the meter said during these sessions, once; a session's values arrive before its end. Power
-- and register are compared over the same pairs of neighbouring samples, so that a gap counts for
-- neither. Heat is that of the later half, above the idle ports of the site in the same time.
INSERT INTO session_meter
SELECT t.connector_id, t.session_id, t.ended_at,
       extract(epoch FROM t.ended_at - t.started_at), t.energy_wh,
       m.samples, m.valued, m.absurd, coalesce(m.alike, false), coalesce(m.steady, false), m.falls,
       m.span_s, m.rise_wh, m.integral_wh, m.volts, m.peak_w, m.peak_a,
       late.mean_a2, late.degrees - idle.degrees, h.firmware
FROM unnest(%(connectors)s::bigint[], %(sessions)s::text[]) AS e(connector_id, session_id)
JOIN charging_session t ON t.connector_id = e.connector_id AND t.session_id = e.session_id
    AND t.ended_at IS NOT NULL
JOIN connector n ON n.id = t.connector_id
JOIN charger c ON c.id = n.charger_id
LEFT JOIN charger_state h ON h.charger_id = n.charger_id
CROSS JOIN LATERAL (
    SELECT least(3 * coalesce(nullif(h.meter_s, 0), 60), 300) AS gap_s,
           t.ended_at - (t.ended_at - t.started_at) / 2 AS half_at
) r
CROSS JOIN LATERAL (
    SELECT count(*)::integer AS samples,
           count(*) FILTER (WHERE power_w IS NOT NULL OR energy_wh IS NOT NULL)::integer AS valued,
           count(*) FILTER (WHERE power_w < -50 OR current_a < -1
                            OR power_w > 20 * n.max_power_w)::integer AS absurd,
           count(DISTINCT (power_w, voltage_v, energy_wh)) = 1
               AND bool_and(voltage_v IS NOT NULL) AS alike,
           max(received_at - observed_at) - min(received_at - observed_at) < interval '1 minute'
               AND max(abs(extract(epoch FROM received_at - observed_at))) < 300 AS steady,
           count(*) FILTER (WHERE energy_wh < was_wh - 0.2)::integer AS falls,
           extract(epoch FROM max(observed_at) - min(observed_at)) AS span_s,
           coalesce(sum(energy_wh - was_wh) FILTER (WHERE near), 0) AS rise_wh,
           coalesce(sum((power_w + was_w) / 2 * s / 3600) FILTER (WHERE near), 0) AS integral_wh,
           avg(voltage_v) AS volts, max(power_w) AS peak_w, max(current_a) AS peak_a
    FROM (
        SELECT o.*, was_w IS NOT NULL AND power_w IS NOT NULL AND energy_wh IS NOT NULL
                    AND was_wh IS NOT NULL AND s <= r.gap_s AS near
        FROM (
            SELECT o.*, lag(power_w) OVER w AS was_w, lag(energy_wh) OVER w AS was_wh,
                   extract(epoch FROM observed_at - lag(observed_at) OVER w) AS s
            FROM observation o
            WHERE o.charger_id = n.charger_id AND o.connector = n.number AND o.kind = 2
              AND o.observed_at >= t.started_at AND o.observed_at <= t.ended_at
              AND o.session_id = t.session_id
            WINDOW w AS (ORDER BY observed_at, seq)
        ) o
    ) o
) m
CROSS JOIN LATERAL (
    SELECT avg(current_a * current_a) AS mean_a2, avg(temperature_c) AS degrees
    FROM observation o
    WHERE o.charger_id = n.charger_id AND o.connector = n.number AND o.kind = 2
      AND o.observed_at BETWEEN r.half_at AND t.ended_at AND o.session_id = t.session_id
) late
CROSS JOIN LATERAL (
    SELECT CASE WHEN count(*) >= 3
                THEN percentile_cont(0.5) WITHIN GROUP (ORDER BY o.temperature_c) END AS degrees
    FROM charger near
    JOIN observation o ON o.charger_id = near.id AND o.connector > 0 AND o.kind = 2
        AND o.observed_at BETWEEN r.half_at AND t.ended_at
    WHERE near.site_id = c.site_id AND o.session_id IS NULL AND o.temperature_c IS NOT NULL
      AND coalesce(o.power_w, 0) < 5
) idle
ON CONFLICT DO NOTHING;

-- name: session_meters
SELECT m.*, n.charger_id, c.kind, n.max_power_w,
       coalesce(m.ended_at - coalesce(m.seconds, 0) * interval '1 second' <= repaired_at(n.id),
                false) AS outdated
FROM connector n JOIN charger c ON c.id = n.charger_id
CROSS JOIN LATERAL (
    SELECT * FROM session_meter m WHERE m.connector_id = n.id
    ORDER BY m.ended_at DESC, m.session_id LIMIT %(limit)s
) m
WHERE n.charger_id = ANY(%(chargers)s)
ORDER BY n.id, m.ended_at DESC, m.session_id;

-- name: unused_connectors
-- One slice of the ports: those that say they are available and have rested for long, with their
-- own and their neighbours' sessions before and since (neighbours: same kind, same grid). What was
-- found to be right by a repair's proof begins anew; a charger with a wrong clock tells wrong times;
-- while something else was known to be wrong here, people went to the neighbours for that.
WITH resting AS (
    SELECT s.connector_id, s.charger_id, c.kind, c.site_id, p.grid_id, used.at AS last_used_at,
           greatest(used.at, repaired_at(s.connector_id)) AS since
    FROM connector_state s
    JOIN charger c ON c.id = s.charger_id AND c.active
    JOIN charger_state h ON h.charger_id = c.id
        AND coalesce(abs(h.clock_lag_s), 0) <= %(clock_lag_s)s
    JOIN site p ON p.id = c.site_id
    CROSS JOIN LATERAL (
        SELECT greatest(max(t.ended_at), max(t.started_at)) AS at FROM (
            SELECT ended_at, started_at FROM charging_session t
            WHERE t.connector_id = s.connector_id AND t.ended_at IS NOT NULL
            ORDER BY ended_at DESC LIMIT 1) t
    ) used
    WHERE s.connector_id %% %(slices)s = %(slice)s AND s.status = 'available' AND s.errors = '[]'
      AND used.at < %(now)s - %(rest_s)s * interval '1 second'
      AND NOT EXISTS (
        SELECT FROM incident i
        WHERE i.subject_kind = 'connector' AND i.subject_id = s.connector_id
          AND i.family = 'contact' AND i.phase IN ('pending', 'open', 'clearing', 'member'))
)
SELECT r.connector_id, r.charger_id, r.last_used_at, own.sessions AS own_before,
       near.neighbours_before, near.neighbours_since
FROM resting r
CROSS JOIN LATERAL (
    SELECT count(*) AS sessions, r.last_used_at - min(t.ended_at) AS span
    FROM charging_session t WHERE t.connector_id = r.connector_id
      AND t.ended_at BETWEEN r.last_used_at - %(history_s)s * interval '1 second'
                         AND r.last_used_at
) own
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE t.ended_at <= r.last_used_at) AS neighbours_before,
           count(*) FILTER (WHERE t.ended_at > r.since) AS neighbours_since
    FROM site p JOIN charger c ON c.site_id = p.id AND c.kind = r.kind AND c.active
    JOIN connector n ON n.charger_id = c.id AND n.active AND n.id <> r.connector_id
    JOIN charging_session t ON t.connector_id = n.id
        AND t.ended_at > r.last_used_at - %(history_s)s * interval '1 second'
    WHERE p.grid_id = r.grid_id
      AND NOT EXISTS (
        SELECT FROM incident i
        WHERE i.opened_at IS NOT NULL AND t.ended_at BETWEEN i.started_at
                                      AND coalesce(i.ended_at, 'infinity')
          AND (i.charger_id = r.charger_id
               AND (i.connector_id IS NULL OR i.connector_id = r.connector_id)
            OR i.charger_id IS NULL AND i.site_id = r.site_id))
) near
-- The neighbours are counted only for those whose own habit makes them suspect already.
WHERE own.sessions >= %(known_sessions)s
  AND own.sessions * extract(epoch FROM %(now)s - r.since)
      >= %(expected)s / 2 * extract(epoch FROM own.span)
ORDER BY r.connector_id;

-- name: used_again
SELECT i.connector_id FROM incident i
JOIN connector_state s ON s.connector_id = i.connector_id
WHERE i.code = 'dead-available' AND i.detector = 'demand' AND i.quiet_since IS NULL
  AND i.phase IN ('pending', 'open') AND s.delivered_at > i.started_at
ORDER BY i.connector_id;

-- name: ports_of_charger_like
-- How many of the charger's ports have this family's fault now, and how many there are.
SELECT n.charger_id, count(*) AS ports, count(i.id) AS ill
FROM connector me
JOIN connector n ON n.charger_id = me.charger_id AND n.active
LEFT JOIN incident i ON i.subject_kind = 'connector' AND i.subject_id = n.id
    AND i.family = %(family)s AND i.phase IN ('pending', 'open', 'member')
    AND i.quiet_since IS NULL
WHERE me.id = %(connector_id)s
GROUP BY n.charger_id;

-- name: children_of_charger
SELECT i.* FROM incident i
WHERE i.charger_id = %(subject_id)s AND i.subject_kind = 'connector' AND i.family = %(family)s
  AND i.phase IN ('pending', 'open', 'clearing') ORDER BY i.id FOR NO KEY UPDATE;

-- name: tickets_near
-- Live tickets on the path of a subject: `above` on itself or what it hangs on, as long as their
-- fault is not gone; `below` on what hangs on it.
WITH me AS (
    SELECT c.site_id, c.gateway_id, c.id AS charger_id, n.id AS connector_id
    FROM charger c LEFT JOIN connector n ON n.id = %(subject_id)s AND %(subject_kind)s = 'connector'
    WHERE c.id = CASE %(subject_kind)s
        WHEN 'charger' THEN %(subject_id)s
        WHEN 'connector' THEN (SELECT charger_id FROM connector WHERE id = %(subject_id)s) END
    UNION ALL SELECT site_id, id, NULL, NULL FROM gateway
    WHERE %(subject_kind)s = 'gateway' AND id = %(subject_id)s
    UNION ALL SELECT id, NULL, NULL, NULL FROM site
    WHERE %(subject_kind)s = 'site' AND id = %(subject_id)s
)
SELECT t.id, t.code, t.state,
       (t.subject_kind, t.subject_id) IN (('site', me.site_id), ('gateway', me.gateway_id),
           ('charger', me.charger_id::bigint), ('connector', me.connector_id))
       AND (SELECT coalesce(bool_or(i.ended_at IS NULL), true) FROM incident i
            WHERE i.ticket_id = t.id) AS above,
       CASE %(subject_kind)s
           WHEN 'site' THEN true
           WHEN 'gateway' THEN (SELECT gateway_id FROM charger WHERE id = t.charger_id)
                               = me.gateway_id
           WHEN 'charger' THEN t.charger_id = me.charger_id
           ELSE t.connector_id = me.connector_id END AS below
FROM me JOIN ticket t ON t.site_id = me.site_id
WHERE t.state NOT IN ('closed', 'rejected', 'merged')
ORDER BY t.id;

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
      WHEN 'reboot-loop' THEN (i.evidence #>> '{latest,at}')::timestamptz
                              < %(now)s - %(window_s)s * interval '1 second'
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
WHERE i.subject_kind = 'charger' AND i.family = %(family)s AND i.phase IN ('pending', 'open')
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

-- name: port_parents
-- Incidents of whole chargers that stand for those of their ports.
SELECT p.*, count(m.id) FILTER (WHERE m.quiet_since IS NULL) AS ill
FROM incident p JOIN incident m ON m.parent_id = p.id AND m.phase = 'member'
WHERE p.subject_kind = 'charger' AND p.phase IN ('open', 'clearing')
GROUP BY p.id
ORDER BY p.id;

-- name: live_parent_of_port
SELECT p.id FROM incident p JOIN connector n ON n.charger_id = p.subject_id
WHERE n.id = %(connector_id)s AND p.subject_kind = 'charger' AND p.family = %(family)s
  AND p.phase = 'open' AND p.detector = 'ports'
LIMIT 1;

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
