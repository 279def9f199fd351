-- Uptime: step functions of what was said and heard, what is read for the figures, corrections.

-- name: progress
SELECT built_until, kept_since FROM interval_progress;

-- name: first_hour
-- Where to begin: the oldest hour whose observations retention will keep.
SELECT date_trunc('hour', min(observed_at)) AS hour FROM observation WHERE observed_at >= %(oldest)s;

-- name: set_built_until
INSERT INTO interval_progress (built_until, kept_since) VALUES (%(until)s, %(kept_since)s)
ON CONFLICT (one) DO UPDATE
SET built_until = excluded.built_until, kept_since = excluded.kept_since;

-- name: may_be_late
SELECT FROM interval_progress WHERE %(hour)s >= kept_since AND %(hour)s < built_until;

-- name: remember_reach
INSERT INTO contact_reach AS r (charger_id, longest_s)
SELECT h.charger_id, greatest(h.heartbeat_s, p.longest_s) * 3
FROM charger_state h CROSS JOIN LATERAL (
    SELECT max((o.data ->> 'heartbeatS')::integer) AS longest_s FROM observation o
    WHERE o.charger_id = h.charger_id AND o.connector = 0 AND o.kind = 7
      AND o.observed_at >= %(hour)s AND o.observed_at < %(hour)s + interval '1 hour'
) p
ON CONFLICT (charger_id) DO UPDATE SET longest_s = excluded.longest_s
WHERE r.longest_s < excluded.longest_s;

-- name: reach_of_chargers
SELECT charger_id AS id, longest_s FROM contact_reach ORDER BY charger_id;

-- name: new_promises
-- Chargers that announced another heartbeat in this hour than before, and until when it held.
SELECT p.charger_id AS id, r.longest_s, coalesce((
           SELECT min(o.observed_at) FROM observation o
           WHERE o.charger_id = p.charger_id AND o.connector = 0 AND o.kind = 7
             AND o.observed_at >= %(hour)s + interval '1 hour'
             AND o.data ->> 'heartbeatS' IS NOT NULL), i.built_until) AS until
FROM (
    SELECT DISTINCT o.charger_id
    FROM contact_reach h CROSS JOIN LATERAL (
        SELECT o.charger_id, o.observed_at, o.data ->> 'heartbeatS' AS promise FROM observation o
        WHERE o.charger_id = h.charger_id AND o.connector = 0 AND o.kind = 7
          AND o.observed_at >= %(hour)s AND o.observed_at < %(hour)s + interval '1 hour'
          AND o.data ->> 'heartbeatS' IS NOT NULL
    ) o
    WHERE o.promise IS DISTINCT FROM (
        SELECT b.data ->> 'heartbeatS' FROM observation b
        WHERE b.charger_id = o.charger_id AND b.connector = 0 AND b.kind = 7
          AND b.observed_at < o.observed_at AND b.data ->> 'heartbeatS' IS NOT NULL
        ORDER BY b.observed_at DESC LIMIT 1)
) p
JOIN contact_reach r ON r.charger_id = p.charger_id CROSS JOIN interval_progress i;

-- name: rebuild_states
-- What connectors said in one hour, and the first word after it: the rest was decided by that.
WITH said AS (
    SELECT DISTINCT ON (n.id, o.observed_at) n.id AS connector_id, o.charger_id, o.connector,
           o.observed_at AS at, service_state(o.status, o.errors, %(stopping)s) AS state
    FROM connector n CROSS JOIN LATERAL (
        SELECT * FROM observation o
        WHERE o.charger_id = n.charger_id AND o.connector = n.number AND o.kind = 1
          AND o.observed_at >= %(hour)s AND o.observed_at < %(hour)s + interval '1 hour'
          AND o.status IS NOT NULL
    ) o
    ORDER BY n.id, o.observed_at, o.seq DESC
), touched AS (
    SELECT DISTINCT connector_id, charger_id, connector FROM said
), line AS (
    SELECT connector_id, at, state FROM said
    UNION ALL
    SELECT t.connector_id, n.at, n.state
    FROM touched t CROSS JOIN LATERAL (
        SELECT o.observed_at AS at, service_state(o.status, o.errors, %(stopping)s) AS state
        FROM observation o
        WHERE o.charger_id = t.charger_id AND o.connector = t.connector AND o.kind = 1
          AND o.observed_at >= %(hour)s + interval '1 hour' AND o.status IS NOT NULL
        ORDER BY o.observed_at, o.seq DESC LIMIT 1
    ) n
), judged AS (
    SELECT l.connector_id, l.at, l.state, l.state IS DISTINCT FROM coalesce(
               lag(l.state) OVER (PARTITION BY l.connector_id ORDER BY l.at),
               (SELECT c.state FROM state_change c
                WHERE c.connector_id = l.connector_id AND c.at < %(hour)s
                ORDER BY c.at DESC LIMIT 1)) AS changed
    FROM line l
), gone AS (
    DELETE FROM state_change c USING touched t
    WHERE c.connector_id = t.connector_id
      AND c.at >= %(hour)s AND c.at < %(hour)s + interval '1 hour'
      AND NOT EXISTS (
          SELECT FROM judged j
          WHERE j.connector_id = c.connector_id AND j.at = c.at AND j.changed)
), no_change AS (
    DELETE FROM state_change c USING judged j
    WHERE c.connector_id = j.connector_id AND c.at = j.at AND NOT j.changed
      AND j.at >= %(hour)s + interval '1 hour'
)
INSERT INTO state_change AS c (connector_id, at, state)
SELECT connector_id, at, state FROM judged WHERE changed
ON CONFLICT (connector_id, at) DO UPDATE SET state = excluded.state
WHERE c.state <> excluded.state;

-- name: rebuild_contacts
-- When these chargers were heard from this hour on, as far as its words reach (`reach` is no
-- shorter than their patience). A retained copy without a time of its own proves nothing.
WITH bounds AS (
    SELECT %(hour)s::timestamptz - %(reach)s AS low, %(hour)s::timestamptz AS hour,
           %(hour)s::timestamptz + interval '1 hour' + %(reach)s AS high
), promised AS MATERIALIZED (
    SELECT h.charger_id, coalesce((
               SELECT (o.data ->> 'heartbeatS')::integer FROM observation o
               WHERE o.charger_id = h.charger_id AND o.connector = 0 AND o.kind = 7
                 AND o.observed_at < %(hour)s::timestamptz - %(reach)s
                 AND o.data ->> 'heartbeatS' IS NOT NULL
               ORDER BY o.observed_at DESC LIMIT 1), h.heartbeat_s) AS heartbeat_s
    FROM charger_state h WHERE h.charger_id = ANY(%(ids)s)
), word AS (
    SELECT o.charger_id, o.observed_at AS at, o.kind = 8 AS gone,
           CASE WHEN o.kind = 7 THEN (o.data ->> 'heartbeatS')::integer END AS promise,
           count(CASE WHEN o.kind = 7 THEN o.data ->> 'heartbeatS' END)
               OVER (PARTITION BY o.charger_id ORDER BY o.observed_at, o.kind = 8 DESC) AS nth
    FROM observation o
    WHERE o.observed_at >= %(hour)s::timestamptz - %(reach)s
      AND o.observed_at < %(hour)s::timestamptz + interval '1 hour' + %(reach)s
      AND o.charger_id = ANY(%(ids)s)
      AND NOT (o.digest IS NOT NULL
               AND (o.kind = 7 OR (o.kind = 1 AND o.data ->> 'confirmed' IS NOT NULL)))
), patient AS (
    SELECT w.charger_id, w.at, w.gone, interval '3 seconds' * coalesce(
               max(w.promise) OVER (PARTITION BY w.charger_id, w.nth), p.heartbeat_s) AS patience
    FROM word w JOIN promised p ON p.charger_id = w.charger_id
), line AS (
    SELECT *, lead(at) OVER w AS next_at, lag(at) OVER w AS last_at,
           lag(gone) OVER w AS last_gone, lag(patience) OVER w AS last_patience
    FROM patient WINDOW w AS (PARTITION BY charger_id ORDER BY at, gone DESC)
), turns AS (
    SELECT charger_id, at + patience AS at, false AS heard FROM line
    WHERE NOT gone AND coalesce(next_at > at + patience, true)
    UNION ALL
    SELECT charger_id, at, false FROM line WHERE gone AND coalesce(next_at > at, true)
    UNION ALL
    SELECT charger_id, at, true FROM line
    WHERE NOT gone AND coalesce(last_gone OR last_at + last_patience < at, true)
), kept AS (
    SELECT DISTINCT ON (t.charger_id, t.at) t.charger_id, t.at, t.heard
    FROM turns t, bounds b WHERE t.at >= b.hour AND t.at < b.high
    ORDER BY t.charger_id, t.at, t.heard DESC
), wiped AS (
    DELETE FROM contact_change c USING bounds b
    WHERE c.charger_id = ANY(%(ids)s) AND c.at >= b.hour AND c.at < b.high
      AND NOT EXISTS (SELECT FROM kept k WHERE k.charger_id = c.charger_id AND k.at = c.at)
)
INSERT INTO contact_change AS c (charger_id, at, heard) SELECT charger_id, at, heard FROM kept
ON CONFLICT (charger_id, at) DO UPDATE SET heard = excluded.heard WHERE c.heard <> excluded.heard;

-- name: mark_late
-- Late words for an hour that was built: its figures, and those of what follows, are due.
INSERT INTO uptime_due (from_at, to_at, why)
SELECT %(hour)s, greatest(%(hour)s + interval '1 hour', built_until), 'late data'
FROM interval_progress;

-- name: places
-- Connectors in a scope, with what they belong to. A retired one has no more than its past.
SELECT n.id, n.number, n.max_power_w, c.id AS charger_id, c.code AS charger, c.gateway_id,
       c.model, s.id AS site_id, s.code AS site, s.grid_id, g.area_id, a.code AS area, a.timezone,
       s.company_id, co.code AS company, n.active, c.active AS charger_active
FROM connector n
JOIN charger c ON c.id = n.charger_id
JOIN site s ON s.id = c.site_id
JOIN grid g ON g.id = s.grid_id
JOIN area a ON a.id = g.area_id
LEFT JOIN company co ON co.id = s.company_id
WHERE (%(company_id)s::bigint IS NULL OR s.company_id = %(company_id)s)
  AND (%(grids)s::bigint[] IS NULL OR s.grid_id = ANY(%(grids)s))
  AND (%(area)s::text IS NULL OR a.code = %(area)s)
  AND (%(company)s::text IS NULL OR co.code = %(company)s)
  AND (%(site)s::text IS NULL OR s.code = %(site)s)
  AND (%(charger)s::text IS NULL OR c.code = %(charger)s)
  AND (%(connector)s::integer IS NULL OR n.number = %(connector)s)
ORDER BY a.code, s.code, c.code, n.number;

-- name: states
-- Each connector's step function within a range, with the step that it begins in. Microseconds.
SELECT w.connector_id, (extract(epoch FROM w.at) * 1000000)::bigint, w.state
FROM unnest(%(ids)s::bigint[]) AS n(id)
CROSS JOIN LATERAL (
    (SELECT connector_id, at, state FROM state_change
     WHERE connector_id = n.id AND at <= %(from_at)s ORDER BY at DESC LIMIT 1)
    UNION ALL
    SELECT connector_id, at, state FROM state_change
    WHERE connector_id = n.id AND at > %(from_at)s AND at < %(to_at)s
) w
ORDER BY w.connector_id, w.at;

-- name: contacts
SELECT w.charger_id, (extract(epoch FROM w.at) * 1000000)::bigint, w.heard
FROM unnest(%(ids)s::bigint[]) AS c(id)
CROSS JOIN LATERAL (
    (SELECT charger_id, at, heard FROM contact_change
     WHERE charger_id = c.id AND at <= %(from_at)s ORDER BY at DESC LIMIT 1)
    UNION ALL
    SELECT charger_id, at, heard FROM contact_change
    WHERE charger_id = c.id AND at > %(from_at)s AND at < %(to_at)s
) w
ORDER BY w.charger_id, w.at;

-- name: faults
-- Incidents that bear on the figures. That a charger is silent is known better from its own words,
-- which may come late; a port's silence behind a live charger is known only from its incident.
SELECT subject_kind, subject_id, code,
       (extract(epoch FROM started_at) * 1000000)::bigint AS begins,
       (extract(epoch FROM least(coalesce(ended_at, quiet_since, 'infinity'), %(to_at)s))
           * 1000000)::bigint AS ends
FROM incident
WHERE phase NOT IN ('pending', 'dismissed') AND started_at < %(to_at)s
  AND coalesce(ended_at, quiet_since, 'infinity') > %(from_at)s
  AND (code = ANY('{silent-port,derated}')
       OR (effect = 'out-of-order' AND NOT (family = 'silence' AND detector = 'silence')))
ORDER BY id;

-- name: left_out
-- Exclusions first, then planned downtime: the first that covers a moment has it.
SELECT 'exclusion/' || id AS source, scope_kind, scope_id, reason, document,
       (extract(epoch FROM from_at) * 1000000)::bigint AS begins,
       (extract(epoch FROM to_at) * 1000000)::bigint AS ends, id, 1 AS place
FROM exclusion
WHERE withdrawn_at IS NULL AND from_at < %(to_at)s AND to_at > %(from_at)s
UNION ALL
SELECT 'downtime/' || id, scope_kind, scope_id,
       CASE kind WHEN 'power-cut' THEN 'utility' ELSE 'maintenance' END,
       coalesce(nullif(reference, ''), 'downtime/' || id),
       (extract(epoch FROM from_at) * 1000000)::bigint,
       (extract(epoch FROM least(to_at, cancelled_at)) * 1000000)::bigint, id, 2
FROM downtime
WHERE from_at < %(to_at)s AND least(to_at, cancelled_at) > greatest(from_at, %(from_at)s)
ORDER BY place, id;

-- name: opening_hours
SELECT site_id, from_on, week FROM opening_hours WHERE site_id = ANY(%(ids)s)
ORDER BY site_id, from_on;

-- name: set_opening_hours
INSERT INTO opening_hours (site_id, from_on, week) VALUES (%(site_id)s, %(from_on)s, %(week)s)
ON CONFLICT (site_id, from_on) DO UPDATE SET week = excluded.week;

-- name: lock_site
SELECT id FROM site WHERE code = %(site)s FOR NO KEY UPDATE;

-- name: site_with_hours
SELECT s.id, s.code AS site, a.timezone, s.company_id, s.grid_id,
       coalesce((SELECT jsonb_agg(jsonb_build_object('from_on', h.from_on, 'week', h.week)
                                  ORDER BY h.from_on)
                 FROM opening_hours h WHERE h.site_id = s.id), '[]') AS hours
FROM site s JOIN grid g ON g.id = s.grid_id JOIN area a ON a.id = g.area_id
WHERE s.code = %(site)s
  AND (%(company_id)s::bigint IS NULL OR s.company_id = %(company_id)s)
  AND (%(grids)s::bigint[] IS NULL OR s.grid_id = ANY(%(grids)s));

-- name: mark_due
INSERT INTO uptime_due (from_at, to_at, why) VALUES (%(from_at)s, %(to_at)s, %(why)s);

-- name: add_exclusion
INSERT INTO exclusion (scope_kind, scope_id, reason, document, note, from_at, to_at, entered_by,
                       entered_at)
VALUES (%(scope_kind)s, %(scope_id)s, %(reason)s, %(document)s, %(note)s, %(from_at)s, %(to_at)s,
        %(person_id)s, %(now)s)
RETURNING id;

-- name: lock_exclusion
SELECT * FROM exclusion WHERE id = %(id)s FOR UPDATE;

-- name: change_exclusion
UPDATE exclusion SET reason = %(reason)s, document = %(document)s, note = %(note)s,
    from_at = %(from_at)s, to_at = %(to_at)s, version = version + 1
WHERE id = %(id)s;

-- name: withdraw_exclusion
UPDATE exclusion SET withdrawn_at = %(now)s, version = version + 1
WHERE id = %(id)s AND withdrawn_at IS NULL;

-- name: exclusions
SELECT e.id, e.scope_kind AS scope, e.scope_id,
       coalesce(a.code, g.code, s.code, w.code, c.code, cc.code) AS code, n.number AS connector,
       e.reason, e.document, e.note, e.from_at, e.to_at, p.login AS entered_by, e.entered_at,
       e.withdrawn_at, e.version
FROM exclusion e
JOIN person p ON p.id = e.entered_by
LEFT JOIN area a ON e.scope_kind = 'area' AND a.id = e.scope_id
LEFT JOIN grid g ON e.scope_kind = 'grid' AND g.id = e.scope_id
LEFT JOIN site s ON e.scope_kind = 'site' AND s.id = e.scope_id
LEFT JOIN gateway w ON e.scope_kind = 'gateway' AND w.id = e.scope_id
LEFT JOIN charger c ON e.scope_kind = 'charger' AND c.id = e.scope_id
LEFT JOIN connector n ON e.scope_kind = 'connector' AND n.id = e.scope_id
LEFT JOIN charger cc ON cc.id = n.charger_id
WHERE e.id < %(before)s AND (%(id)s::bigint IS NULL OR e.id = %(id)s)
  AND ((%(company_id)s::bigint IS NULL AND %(grids)s::bigint[] IS NULL) OR EXISTS (
      SELECT FROM site ss JOIN grid gg ON gg.id = ss.grid_id
      WHERE (%(company_id)s::bigint IS NULL OR ss.company_id = %(company_id)s)
        AND (%(grids)s::bigint[] IS NULL OR ss.grid_id = ANY(%(grids)s))
        AND CASE e.scope_kind WHEN 'area' THEN gg.area_id = e.scope_id
            WHEN 'grid' THEN gg.id = e.scope_id WHEN 'site' THEN ss.id = e.scope_id
            WHEN 'gateway' THEN ss.id = w.site_id WHEN 'charger' THEN ss.id = c.site_id
            ELSE ss.id = cc.site_id END))
ORDER BY e.id DESC LIMIT %(limit)s;

-- name: lock_publishing
SELECT pg_try_advisory_xact_lock(7150, 15) AS mine;

-- name: first_change
SELECT min(at) AS at FROM state_change;

-- name: timezones
SELECT DISTINCT timezone FROM area ORDER BY timezone;

-- name: published_periods
SELECT span, month FROM uptime_period ORDER BY month, span;

-- name: note_period
INSERT INTO uptime_period (span, month, published_at) VALUES (%(span)s, %(month)s, %(now)s)
ON CONFLICT (span, month) DO UPDATE SET published_at = excluded.published_at;

-- name: due
SELECT id, from_at, to_at, why FROM uptime_due WHERE %(late)s OR why <> 'late data' ORDER BY id;

-- name: delete_due
DELETE FROM uptime_due WHERE id = ANY(%(ids)s);

-- name: who_changed
-- The last person on record with any of these.
SELECT person_id FROM audit WHERE object = ANY(%(about)s) ORDER BY id DESC LIMIT 1;

-- name: publish
-- A new version where the figure is another one than the last.
INSERT INTO uptime_figure (span, month, subject_kind, subject_id, version, tally, why, person_id,
                           published_at)
SELECT %(span)s, %(month)s, r.subject_kind, r.subject_id, coalesce(l.version, 0) + 1, r.tally,
       CASE WHEN l.version IS NULL THEN 'first' ELSE %(why)s END,
       CASE WHEN l.version IS NULL THEN NULL ELSE %(person_id)s::bigint END, %(now)s
FROM jsonb_to_recordset(%(rows)s) AS r(subject_kind text, subject_id bigint, tally jsonb)
LEFT JOIN LATERAL (
    SELECT f.version, f.tally FROM uptime_figure f
    WHERE f.subject_kind = r.subject_kind AND f.subject_id = r.subject_id AND f.span = %(span)s
      AND f.month = %(month)s
    ORDER BY f.version DESC LIMIT 1
) l ON true
WHERE l.tally IS DISTINCT FROM r.tally;

-- name: is_settled
-- Whether a period is published and nothing that concerns it waits to be corrected.
SELECT EXISTS (SELECT FROM uptime_period WHERE span = %(span)s AND month = %(month)s)
   AND NOT EXISTS (SELECT FROM uptime_due WHERE from_at < %(to_at)s AND to_at > %(from_at)s)
   AS settled;

-- name: published
SELECT DISTINCT ON (subject_id) subject_id AS id, tally FROM uptime_figure
WHERE subject_kind = 'connector' AND subject_id = ANY(%(ids)s) AND span = %(span)s
  AND month = %(month)s
ORDER BY subject_id, version DESC;

-- name: history
SELECT f.span, f.month, f.version, f.tally, f.why, p.login AS person, f.published_at
FROM uptime_figure f LEFT JOIN person p ON p.id = f.person_id
WHERE f.subject_kind = %(kind)s AND f.subject_id = %(id)s AND f.span = %(span)s
  AND f.month = %(month)s
ORDER BY f.version;
