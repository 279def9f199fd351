-- One batch of observations in one transaction; see docs/architecture.md, trip 1.
-- Times in the staging tables are microseconds since 1970: the client writes them far faster.

-- name: create_staging
CREATE TEMPORARY TABLE IF NOT EXISTS staged (
    ord integer, charger_id integer, connector smallint, connector_id bigint, kind smallint,
    observed bigint, received bigint, seq bigint, fresh boolean, digest bigint,
    status text, errors_json text, session_id text, reason text,
    energy_wh double precision, power_w double precision, voltage_v double precision,
    current_a double precision, temperature_c double precision, soc double precision,
    residual_current_ma double precision, data_json text
) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE IF NOT EXISTS staged_meter (
    connector_id bigint, observed bigint, heard bigint, session_id text,
    energy_wh double precision, power_w double precision, voltage_v double precision,
    current_a double precision, temperature_c double precision, soc double precision,
    residual_current_ma double precision
) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE IF NOT EXISTS staged_charger (
    charger_id integer, seen bigint, back bigint, gone bigint, gone_replayed boolean,
    confirmed bigint, booted bigint, boot_id text, firmware text, vendor text, model text,
    heartbeat_s integer, meter_s integer, uptime_s double precision, rssi_dbm double precision,
    clock_fault bigint, clock_lag_s double precision
) ON COMMIT DELETE ROWS;

-- name: copy_staged
COPY staged FROM STDIN (FORMAT binary);

-- name: copy_staged_meter
COPY staged_meter FROM STDIN (FORMAT binary);

-- name: copy_staged_charger
COPY staged_charger FROM STDIN (FORMAT binary);

-- name: find_chargers
-- By the id that it publishes under, or by what its own protocol calls it.
SELECT a.name AS code, c.id,
       coalesce(jsonb_object_agg(n.number, n.id) FILTER (WHERE n.id IS NOT NULL), '{}')
       AS connectors
FROM unnest(%(codes)s::text[]) AS a(name)
JOIN charger c ON c.active AND (c.code = a.name OR c.device = a.name)
LEFT JOIN connector n ON n.charger_id = c.id AND n.active
GROUP BY a.name, c.id;

-- name: ensure_charger_states
INSERT INTO charger_state (charger_id)
SELECT unnest(%(ids)s::integer[])
ON CONFLICT DO NOTHING;

-- name: ensure_connector_states
INSERT INTO connector_state (connector_id, charger_id)
SELECT id, charger_id FROM connector WHERE charger_id = ANY(%(ids)s)
ON CONFLICT DO NOTHING;

-- name: lock_chargers
SELECT charger_id FROM charger_state WHERE charger_id = ANY(%(ids)s)
ORDER BY charger_id FOR NO KEY UPDATE;

-- name: find_statuses
SELECT connector_id, status, errors FROM connector_state WHERE connector_id = ANY(%(ids)s);

-- name: find_repeated
SELECT r.ord
FROM unnest(%(ord)s::integer[], %(charger_id)s::integer[], %(connector)s::smallint[],
            %(kind)s::smallint[], %(digest)s::bigint[])
     AS r(ord, charger_id, connector, kind, digest)
WHERE EXISTS (
    SELECT FROM observation o
    WHERE o.charger_id = r.charger_id AND o.connector = r.connector AND o.kind = r.kind
      AND o.observed_at > %(since)s AND o.digest = r.digest);

-- name: insert_observations
INSERT INTO observation (
    observed_at, received_at, charger_id, connector, kind, seq, connector_id, digest, status,
    errors, session_id, reason, energy_wh, power_w, voltage_v, current_a, temperature_c, soc,
    residual_current_ma, data)
SELECT 'epoch'::timestamptz + observed * interval '1 microsecond',
       'epoch'::timestamptz + received * interval '1 microsecond',
       charger_id, connector, kind, seq, connector_id, digest, status, errors_json::jsonb,
       session_id, reason, energy_wh, power_w, voltage_v, current_a, temperature_c, soc,
       residual_current_ma, data_json::jsonb
FROM staged
WHERE kind <> 10
ON CONFLICT DO NOTHING;

-- name: apply_status
-- Every change in the batch is an event of its own, in the charger's order; state takes the last.
WITH said AS (
    SELECT s.*, s.errors_json::jsonb AS errors,
           'epoch'::timestamptz + s.observed * interval '1 microsecond' AS observed_at,
           'epoch'::timestamptz + s.received * interval '1 microsecond' AS received_at,
           coalesce(lag(s.status) OVER w, st.status) AS was,
           coalesce(lag(s.errors_json::jsonb) OVER w, st.errors) AS was_errors,
           s.status NOT IN ('faulted', 'unavailable', 'unknown') AND s.errors_json = '[]'
               AS healthy,
           row_number() OVER (PARTITION BY s.connector_id
                              ORDER BY s.observed DESC, s.seq DESC, s.ord DESC) AS from_last
    FROM staged s JOIN connector_state st ON st.connector_id = s.connector_id
    WHERE s.kind = 1
      AND ('epoch'::timestamptz + s.observed * interval '1 microsecond', s.seq)
          > (coalesce(st.status_at, '-infinity'), st.status_seq)
    WINDOW w AS (PARTITION BY s.connector_id ORDER BY s.observed, s.seq, s.ord)
), events AS (
    INSERT INTO event (kind, charger_id, connector_id, observed_at, received_at, payload)
    SELECT 'connector.status', charger_id, connector_id, observed_at, received_at,
           jsonb_build_object('status', status, 'errors', errors, 'was', was)
    FROM said
    WHERE status <> was OR errors <> was_errors
    ORDER BY observed, seq, ord
    RETURNING connector_id
), whole AS (
    SELECT connector_id, bool_and(healthy) AS always_healthy,
           max(received_at) FILTER (WHERE fresh) AS heard_at,
           max(least(observed_at, received_at)) AS observed_heard_at
    FROM said GROUP BY connector_id
), updated AS (
    UPDATE connector_state st SET
        status = l.status, errors = l.errors, status_at = l.observed_at, status_seq = l.seq,
        confirmed_at = greatest(st.confirmed_at, w.heard_at, w.observed_heard_at),
        healthy_since = CASE
            WHEN NOT l.healthy THEN NULL
            WHEN w.always_healthy THEN coalesce(st.healthy_since, l.received_at)
            ELSE l.received_at END
    FROM said l JOIN whole w ON w.connector_id = l.connector_id
    WHERE l.from_last = 1 AND st.connector_id = l.connector_id
)
SELECT connector_id FROM events;

-- name: apply_confirmations
-- A port named by a heartbeat, or a retained status without a time of its own: it refreshes the
-- age, and counts as a status where it contradicts what was known.
WITH last AS (
    SELECT DISTINCT ON (s.connector_id) s.*,
           'epoch'::timestamptz + s.observed * interval '1 microsecond' AS observed_at,
           'epoch'::timestamptz + s.received * interval '1 microsecond' AS received_at
    FROM staged s WHERE s.kind = 10
    ORDER BY s.connector_id, s.observed DESC, s.ord DESC
), told AS (
    SELECT l.*, st.status AS was, coalesce(l.errors_json::jsonb, '[]') AS now_errors,
           l.observed_at > coalesce(st.status_at, '-infinity')
           AND (l.status <> st.status OR l.errors_json::jsonb <> st.errors) IS TRUE AS differs
    FROM last l JOIN connector_state st ON st.connector_id = l.connector_id
), kept AS (
    INSERT INTO observation (observed_at, received_at, charger_id, connector, kind, seq,
                             connector_id, digest, status, errors, data)
    SELECT observed_at, received_at, charger_id, connector, 1, -1, connector_id, digest, status,
           now_errors, '{"confirmed": true}'
    FROM told WHERE differs
    ON CONFLICT DO NOTHING
), events AS (
    INSERT INTO event (kind, charger_id, connector_id, observed_at, received_at, payload)
    SELECT 'connector.status', charger_id, connector_id, observed_at, received_at,
           jsonb_build_object('status', status, 'errors', now_errors, 'was', was)
    FROM told WHERE differs ORDER BY ord
    RETURNING connector_id
), updated AS (
    UPDATE connector_state st SET
        status = CASE WHEN t.differs THEN t.status ELSE st.status END,
        errors = CASE WHEN t.differs THEN t.now_errors ELSE st.errors END,
        status_at = CASE WHEN t.differs THEN t.observed_at ELSE st.status_at END,
        status_seq = CASE WHEN t.differs THEN -1 ELSE st.status_seq END,
        confirmed_at = CASE WHEN t.fresh THEN greatest(st.confirmed_at, t.received_at)
                            ELSE st.confirmed_at END,
        healthy_since = CASE
            WHEN NOT t.differs THEN st.healthy_since
            WHEN t.status IN ('faulted', 'unavailable', 'unknown') OR t.now_errors <> '[]'
                THEN NULL
            ELSE coalesce(st.healthy_since, t.received_at) END
    FROM told t WHERE st.connector_id = t.connector_id
)
SELECT connector_id FROM events;

-- name: apply_meters
UPDATE connector_state st SET
    meter_at = 'epoch'::timestamptz + m.observed * interval '1 microsecond',
    confirmed_at = greatest(st.confirmed_at,
                            'epoch'::timestamptz + m.heard * interval '1 microsecond'),
    session_id = coalesce(m.session_id, st.session_id),
    energy_wh = coalesce(m.energy_wh, st.energy_wh),
    power_w = coalesce(m.power_w, st.power_w),
    voltage_v = coalesce(m.voltage_v, st.voltage_v),
    current_a = coalesce(m.current_a, st.current_a),
    temperature_c = coalesce(m.temperature_c, st.temperature_c),
    soc = coalesce(m.soc, st.soc),
    residual_current_ma = coalesce(m.residual_current_ma, st.residual_current_ma)
FROM staged_meter m
WHERE st.connector_id = m.connector_id
  AND 'epoch'::timestamptz + m.observed * interval '1 microsecond'
      > coalesce(st.meter_at, '-infinity');

-- name: apply_sessions
-- A session that has ended or was refused is an event, once: someone may see a pattern in it.
WITH said AS (
    SELECT charger_id, connector_id,
           coalesce(session_id, CASE kind WHEN 3 THEN 'started@' WHEN 4 THEN 'ended@'
                                ELSE 'refused@' END || observed) AS session_id,
           kind, energy_wh, reason, ord,
           'epoch'::timestamptz + observed * interval '1 microsecond' AS observed_at,
           'epoch'::timestamptz + received * interval '1 microsecond' AS received_at
    FROM staged WHERE kind IN (3, 4, 5)
), merged AS (
    SELECT connector_id, session_id,
           min(observed_at) FILTER (WHERE kind = 3) AS started_at,
           max(observed_at) FILTER (WHERE kind = 4) AS ended_at,
           min(observed_at) FILTER (WHERE kind = 5) AS refused_at,
           max(energy_wh) FILTER (WHERE kind = 4) AS energy_wh,
           (array_agg(reason ORDER BY observed_at DESC, ord DESC)
               FILTER (WHERE reason IS NOT NULL))[1] AS reason
    FROM said GROUP BY connector_id, session_id
), events AS (
    INSERT INTO event (kind, charger_id, connector_id, observed_at, received_at, payload)
    SELECT 'connector.session', s.charger_id, s.connector_id, s.observed_at, s.received_at,
           jsonb_build_object('sessionId', s.session_id,
                              'phase', CASE s.kind WHEN 4 THEN 'ended' ELSE 'refused' END)
    FROM (SELECT DISTINCT ON (connector_id, session_id, kind) * FROM said WHERE kind IN (4, 5)
          ORDER BY connector_id, session_id, kind, ord) s
    WHERE NOT EXISTS (
        SELECT FROM charging_session t
        WHERE t.connector_id = s.connector_id AND t.session_id = s.session_id
          AND CASE s.kind WHEN 4 THEN t.ended_at ELSE t.refused_at END IS NOT NULL)
    ORDER BY s.observed_at, s.ord
    RETURNING connector_id
), written AS (
    INSERT INTO charging_session AS t
        (connector_id, session_id, started_at, ended_at, refused_at, energy_wh, reason)
    SELECT * FROM merged
    ON CONFLICT (connector_id, session_id) DO UPDATE SET
        started_at = least(t.started_at, excluded.started_at),
        ended_at = greatest(t.ended_at, excluded.ended_at),
        refused_at = least(t.refused_at, excluded.refused_at),
        energy_wh = coalesce(excluded.energy_wh, t.energy_wh),
        reason = coalesce(excluded.reason, t.reason)
), delivered AS (
    UPDATE connector_state st SET delivered_at = m.ended_at, delivered_wh = m.energy_wh
    FROM (
        SELECT DISTINCT ON (connector_id) connector_id, ended_at, energy_wh
        FROM merged WHERE energy_wh > 0 ORDER BY connector_id, ended_at DESC
    ) m
    WHERE st.connector_id = m.connector_id AND m.ended_at > coalesce(st.delivered_at, '-infinity')
)
SELECT connector_id FROM events;

-- name: apply_chargers
WITH told AS (
    SELECT s.charger_id,
           'epoch'::timestamptz + s.seen * interval '1 microsecond' AS seen_at,
           'epoch'::timestamptz + coalesce(s.back, s.seen) * interval '1 microsecond' AS back_at,
           'epoch'::timestamptz + s.gone * interval '1 microsecond' AS gone_at,
           s.gone_replayed,
           'epoch'::timestamptz + s.confirmed * interval '1 microsecond' AS confirmed_at,
           'epoch'::timestamptz + s.booted * interval '1 microsecond' AS boot_at,
           'epoch'::timestamptz + s.clock_fault * interval '1 microsecond' AS clock_fault_at,
           s.boot_id, s.firmware, s.vendor, s.model, s.heartbeat_s, s.meter_s, s.uptime_s,
           s.rssi_dbm, s.clock_lag_s, st.last_seen_at, st.boot_id AS was_boot, st.clock_notice_on,
           st.last_seen_at >= coalesce(st.offline_said_at, '-infinity') AS was_up,
           st.heartbeat_s * interval '3 seconds' AS patience,
           s.boot_id IS NOT NULL AND 'epoch'::timestamptz + s.booted * interval '1 microsecond'
               >= coalesce(st.boot_at, '-infinity') AS newer_boot
    FROM staged_charger s JOIN charger_state st ON st.charger_id = s.charger_id
), judged AS (
    SELECT t.*,
           -- A broker's retained will is old news unless we believed the charger to be alive.
           gone_at IS NOT NULL AND coalesce(was_up OR seen_at < gone_at, true)
               AND NOT (gone_replayed AND seen_at > gone_at) AS went,
           seen_at IS NOT NULL AND last_seen_at IS NOT NULL AND seen_at > last_seen_at
               AND (NOT was_up OR last_seen_at <= seen_at - patience OR gone_at < seen_at) AS came,
           newer_boot AND was_boot <> boot_id AS rebooted,
           clock_fault_at IS NOT NULL AND clock_notice_on IS DISTINCT FROM clock_fault_at::date
               AS clock_notice
    FROM told t
), events AS (
    INSERT INTO event (kind, charger_id, observed_at, received_at, payload)
    SELECT e.kind, j.charger_id, e.at, e.at, e.payload
    FROM judged j CROSS JOIN LATERAL (VALUES
        ('charger.offline', j.went, j.gone_at, '{}'::jsonb),
        ('charger.online', j.came, j.back_at, jsonb_build_object(
            'silentS', round(extract(epoch FROM j.back_at - j.last_seen_at), 3))),
        ('charger.boot', j.rebooted, coalesce(j.seen_at, j.boot_at), jsonb_build_object(
            'bootId', j.boot_id, 'was', j.was_boot, 'firmware', j.firmware)),
        ('charger.clock', j.clock_notice, j.clock_fault_at, '{}'::jsonb)
    ) AS e(kind, happened, at, payload)
    WHERE e.happened
    ORDER BY e.at, j.charger_id
    RETURNING charger_id, kind
), updated AS (
    UPDATE charger_state st SET
        last_seen_at = greatest(st.last_seen_at, j.seen_at),
        offline_said_at = CASE WHEN j.went THEN greatest(st.offline_said_at, j.gone_at)
                               ELSE st.offline_said_at END,
        confirmed_at = greatest(st.confirmed_at, j.confirmed_at),
        boot_id = CASE WHEN j.newer_boot THEN j.boot_id ELSE st.boot_id END,
        boot_at = CASE WHEN j.newer_boot THEN j.boot_at ELSE st.boot_at END,
        firmware = coalesce(j.firmware, st.firmware),
        vendor = coalesce(j.vendor, st.vendor),
        model = coalesce(j.model, st.model),
        heartbeat_s = coalesce(j.heartbeat_s, st.heartbeat_s),
        meter_s = coalesce(j.meter_s, st.meter_s),
        uptime_s = coalesce(j.uptime_s, st.uptime_s),
        rssi_dbm = coalesce(j.rssi_dbm, st.rssi_dbm),
        clock_lag_s = coalesce(j.clock_lag_s, st.clock_lag_s),
        clock_notice_on = CASE WHEN j.clock_notice THEN j.clock_fault_at::date
                               ELSE st.clock_notice_on END
    FROM judged j WHERE st.charger_id = j.charger_id
)
SELECT charger_id, kind FROM events;

-- name: mark_rollup_due
INSERT INTO rollup_due (hour) SELECT unnest(%(hours)s::timestamptz[]);

-- name: connectors_of
SELECT id FROM connector WHERE charger_id = ANY(%(ids)s) AND active;

-- name: notify
SELECT pg_notify(%(channel)s, %(payload)s);

-- name: insert_quarantine
INSERT INTO quarantine (received_at, topic, payload, size, reason, charger_code)
SELECT * FROM unnest(%(received_at)s::timestamptz[], %(topic)s::text[], %(payload)s::bytea[],
                     %(size)s::integer[], %(reason)s::text[], %(charger_code)s::text[]);

-- name: take_kept
-- Messages of chargers that were unknown and no longer are, marked as replayed. The oldest first.
WITH due AS (
    SELECT k.id FROM quarantine k
    JOIN charger c ON c.active AND (c.code = k.charger_code OR c.device = k.charger_code)
    WHERE k.replayed_at IS NULL AND k.size = octet_length(k.payload)
      AND k.reason LIKE 'charger %% is not registered%%'
    ORDER BY k.id LIMIT %(limit)s
    FOR UPDATE OF k SKIP LOCKED
), marked AS (
    UPDATE quarantine q SET replayed_at = %(now)s FROM due WHERE q.id = due.id
    RETURNING q.id, q.topic, q.payload, q.received_at
)
SELECT topic, payload, received_at FROM marked ORDER BY id;

-- name: forget_known_chargers
DELETE FROM unknown_charger u USING charger c
WHERE c.active AND (c.code = u.code OR c.device = u.code);

-- name: note_unknown_chargers
INSERT INTO unknown_charger AS t (code, first_seen_at, last_seen_at, messages)
SELECT u.code, u.at, u.at, u.messages
FROM unnest(%(code)s::text[], %(at)s::timestamptz[], %(messages)s::bigint[])
     AS u(code, at, messages)
ORDER BY u.code
ON CONFLICT (code) DO UPDATE SET
    last_seen_at = greatest(t.last_seen_at, excluded.last_seen_at),
    messages = t.messages + excluded.messages;

-- name: show_listener
INSERT INTO listener (client_id, since, alive_at) VALUES (%(client_id)s, %(since)s, %(now)s)
ON CONFLICT (client_id) DO UPDATE SET since = excluded.since, alive_at = excluded.alive_at;

-- name: hide_listener
DELETE FROM listener WHERE client_id = %(client_id)s;
