-- Planned downtime and silences.

-- name: add_downtime
INSERT INTO downtime (scope_kind, scope_id, kind, from_at, to_at, reason, reference, entered_by,
                      entered_at)
VALUES (%(scope_kind)s, %(scope_id)s, %(kind)s, %(from_at)s, %(to_at)s, %(reason)s,
        %(reference)s, %(person_id)s, %(now)s)
RETURNING id;

-- name: lock_downtime
SELECT * FROM downtime WHERE id = %(id)s FOR UPDATE;

-- name: change_downtime
UPDATE downtime SET to_at = %(to_at)s, reason = %(reason)s, reference = %(reference)s
WHERE id = %(id)s;

-- name: cancel_downtime
UPDATE downtime SET cancelled_at = %(now)s WHERE id = %(id)s AND cancelled_at IS NULL;

-- name: plan_incident
-- Explain one incident by the longest window that covers this moment; no row where there is none.
UPDATE incident i SET planned_by = d.id, planned_until = d.to_at + %(grace)s
FROM (
    SELECT d.id, d.to_at FROM downtime d
    JOIN scopes_of(%(subject_kind)s, %(subject_id)s) s
      ON s.scope_kind = d.scope_kind AND s.scope_id = d.scope_id
    WHERE d.cancelled_at IS NULL AND d.from_at <= %(at)s AND d.to_at > %(at)s
    ORDER BY d.to_at DESC, d.id LIMIT 1
) d
WHERE i.id = %(id)s AND i.severity > 1
RETURNING d.id;

-- name: attach_downtime
-- What began within the window is explained by it, unless another window has done so.
UPDATE incident i SET planned_by = d.id,
    planned_until = CASE WHEN i.phase IN ('open', 'clearing') THEN d.to_at + %(grace)s END
FROM downtime d
WHERE d.id = %(id)s AND i.severity > 1 AND i.planned_by IS NULL
  AND i.phase IN ('open', 'clearing', 'cleared', 'member')
  AND coalesce(i.opened_at, i.started_at) >= d.from_at
  AND coalesce(i.opened_at, i.started_at) < d.to_at
  AND EXISTS (
      SELECT FROM scopes_of(i.subject_kind, i.subject_id) s
      WHERE s.scope_kind = d.scope_kind AND s.scope_id = d.scope_id)
RETURNING i.id, i.ticket_id;

-- name: untouched_tickets
-- Nobody has taken them on, and every incident of theirs is planned.
SELECT t.id FROM ticket t
WHERE t.id = ANY(%(ids)s) AND t.state = 'open' AND t.assignee_id IS NULL
  AND NOT EXISTS (SELECT FROM incident i WHERE i.ticket_id = t.id AND i.planned_by IS NULL)
ORDER BY t.id FOR NO KEY UPDATE;

-- name: notify_incident
SELECT pg_notify('pilewatch_incident', %(payload)s);

-- name: detach_downtime
UPDATE incident SET planned_by = NULL,
    planned_until = CASE WHEN planned_until IS NOT NULL THEN %(now)s::timestamptz END
WHERE planned_by = %(id)s;

-- name: move_downtime_end
UPDATE incident SET planned_until = greatest(%(now)s, %(to_at)s::timestamptz + %(grace)s)
WHERE planned_by = %(id)s AND planned_until IS NOT NULL;

-- name: ended_plans
-- Still there after the window, or grown into a danger to people meanwhile.
SELECT * FROM incident
WHERE planned_until IS NOT NULL AND phase = 'open'
  AND (planned_until <= %(now)s OR severity = 1)
ORDER BY id FOR NO KEY UPDATE;

-- name: end_plan
UPDATE incident SET planned_until = NULL WHERE id = %(id)s;

-- name: excluded_intervals
-- The planned time of a subject within a range, overlapping windows melted into one.
SELECT lower(part) AS from_at, upper(part) AS to_at
FROM (
    SELECT unnest(range_agg(tstzrange(d.from_at, least(d.to_at, d.cancelled_at)))
                  * tstzmultirange(tstzrange(%(from_at)s, %(to_at)s))) AS part
    FROM downtime d
    JOIN scopes_of(%(subject_kind)s, %(subject_id)s) s
      ON s.scope_kind = d.scope_kind AND s.scope_id = d.scope_id
    WHERE d.cancelled_at IS NULL OR d.cancelled_at > d.from_at
) p
ORDER BY 1;

-- name: scope_of
-- The id of a thing by its kind and code; `connector` is a number on the charger of that code.
SELECT id::bigint FROM area WHERE %(kind)s = 'area' AND code = %(code)s
UNION ALL SELECT id FROM grid WHERE %(kind)s = 'grid' AND code = %(code)s
UNION ALL SELECT id FROM site WHERE %(kind)s = 'site' AND code = %(code)s
UNION ALL SELECT id FROM gateway WHERE %(kind)s = 'gateway' AND code = %(code)s
UNION ALL SELECT id FROM charger WHERE %(kind)s = 'charger' AND code = %(code)s
UNION ALL SELECT n.id FROM connector n JOIN charger c ON c.id = n.charger_id
WHERE %(kind)s = 'connector' AND c.code = %(code)s AND n.number = %(connector)s;

-- name: others_in_scope
-- Whether a scope holds a site beyond the caller's own; an empty one of an area's or grid's is
-- nobody's but theirs who see all.
SELECT coalesce(bool_or(
    NOT (%(company_id)s::bigint IS NULL OR s.company_id IS NOT DISTINCT FROM %(company_id)s)
    OR NOT (%(grids)s::bigint[] IS NULL OR s.grid_id = ANY(%(grids)s))), true) AS others
FROM sites_of(%(scope_kind)s, %(scope_id)s) s;

-- name: downtimes
SELECT d.id, d.scope_kind AS scope, d.scope_id, coalesce(a.code, g.code, s.code, w.code, c.code, cc.code) AS code,
       n.number AS connector, d.kind, d.from_at, d.to_at, d.reason, d.reference,
       p.login AS entered_by, d.entered_at, d.cancelled_at,
       (SELECT count(*) FROM incident i WHERE i.planned_by = d.id) AS incidents
FROM downtime d
JOIN person p ON p.id = d.entered_by
LEFT JOIN area a ON d.scope_kind = 'area' AND a.id = d.scope_id
LEFT JOIN grid g ON d.scope_kind = 'grid' AND g.id = d.scope_id
LEFT JOIN site s ON d.scope_kind = 'site' AND s.id = d.scope_id
LEFT JOIN gateway w ON d.scope_kind = 'gateway' AND w.id = d.scope_id
LEFT JOIN charger c ON d.scope_kind = 'charger' AND c.id = d.scope_id
LEFT JOIN connector n ON d.scope_kind = 'connector' AND n.id = d.scope_id
LEFT JOIN charger cc ON cc.id = n.charger_id
WHERE d.id < %(before)s AND (%(id)s::bigint IS NULL OR d.id = %(id)s)
  AND (NOT %(current)s OR (d.cancelled_at IS NULL AND d.to_at > %(now)s))
ORDER BY d.id DESC LIMIT %(limit)s;

-- name: add_silence
INSERT INTO silence (site_id, charger_id, code, severity, from_at, to_at, reason, entered_by,
                     entered_at)
VALUES (%(site_id)s, %(charger_id)s, %(code)s, %(severity)s, %(now)s, %(to_at)s, %(reason)s,
        %(person_id)s, %(now)s)
RETURNING id;

-- name: lock_silence
SELECT * FROM silence WHERE id = %(id)s FOR UPDATE;

-- name: change_silence
UPDATE silence SET to_at = %(to_at)s, reason = %(reason)s WHERE id = %(id)s;

-- name: move_held
-- What waits for this silence's end waits for its new end.
UPDATE outbox SET due_at = %(to_at)s
WHERE silence_id = %(id)s AND routed_at IS NULL;

-- name: silences
SELECT q.id, q.site_id, q.charger_id, s.code AS site, c.code AS charger, q.code, q.severity, q.from_at, q.to_at, q.reason,
       p.login AS entered_by, q.entered_at, q.to_at > %(now)s AS active,
       (SELECT count(*) FROM outbox o WHERE o.silence_id = q.id) AS held
FROM silence q
JOIN person p ON p.id = q.entered_by
LEFT JOIN site s ON s.id = q.site_id
LEFT JOIN charger c ON c.id = q.charger_id
WHERE q.id < %(before)s AND (%(id)s::bigint IS NULL OR q.id = %(id)s)
  AND (NOT %(current)s OR q.to_at > %(now)s)
ORDER BY q.id DESC LIMIT %(limit)s;
