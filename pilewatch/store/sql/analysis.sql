-- What is analysed and exported: codes and times, no persons and no free words.

-- name: failures
-- What put something out of order, without what a parent explains. Silence is no failure of its own.
SELECT i.id, i.subject_kind, i.subject_id, i.site_id, i.charger_id, i.code, i.severity,
       i.started_at, coalesce(i.ended_at, i.quiet_since) AS ended_at
FROM incident i
WHERE i.phase NOT IN ('pending', 'dismissed', 'member') AND i.effect = 'out-of-order'
  AND NOT (i.family = 'silence' AND i.detector = 'silence')
  AND i.started_at < %(to_at)s AND coalesce(i.ended_at, i.quiet_since, 'infinity') > %(from_at)s
  AND i.site_id = ANY(%(sites)s)
ORDER BY i.started_at, i.id;

-- name: incidents
SELECT i.id, a.code AS area, s.code AS site, c.code AS charger, n.number AS connector,
       i.subject_kind, i.code, i.family, i.severity, i.effect, i.detector, i.phase, i.parent_id,
       i.ticket_id, i.planned_by, i.started_at, i.opened_at,
       coalesce(i.ended_at, i.quiet_since) AS ended_at
FROM incident i
JOIN site s ON s.id = i.site_id JOIN grid g ON g.id = s.grid_id JOIN area a ON a.id = g.area_id
LEFT JOIN charger c ON c.id = i.charger_id LEFT JOIN connector n ON n.id = i.connector_id
WHERE i.started_at < %(to_at)s AND coalesce(i.ended_at, i.quiet_since, 'infinity') > %(from_at)s
ORDER BY i.id;

-- name: tickets
SELECT t.id, a.code AS area, s.code AS site, c.code AS charger, n.number AS connector,
       t.subject_kind, t.code, t.family, t.severity, t.state, co.code AS company, t.opened_at,
       t.accepted_at, t.arrived_at, t.claimed_at, t.verified_at, t.closed_at, t.accept_by_at,
       t.arrive_by_at, t.deadline_at, t.paused_s, t.reopened, t.merged_into
FROM ticket t
JOIN site s ON s.id = t.site_id JOIN grid g ON g.id = s.grid_id JOIN area a ON a.id = g.area_id
LEFT JOIN charger c ON c.id = t.charger_id LEFT JOIN connector n ON n.id = t.connector_id
LEFT JOIN company co ON co.id = t.company_id
WHERE t.opened_at < %(to_at)s AND coalesce(t.closed_at, 'infinity') > %(from_at)s
ORDER BY t.id;

-- name: sessions
-- Without their own ids, in which some makes write a card's number.
SELECT a.code AS area, s.code AS site, c.code AS charger, n.number AS connector, e.started_at,
       e.ended_at, e.refused_at, e.energy_wh
FROM charging_session e
JOIN connector n ON n.id = e.connector_id JOIN charger c ON c.id = n.charger_id
JOIN site s ON s.id = c.site_id JOIN grid g ON g.id = s.grid_id JOIN area a ON a.id = g.area_id
WHERE coalesce(e.started_at, e.refused_at, e.ended_at) < %(to_at)s
  AND coalesce(e.ended_at, e.refused_at, e.started_at) >= %(from_at)s
ORDER BY e.connector_id, coalesce(e.started_at, e.refused_at, e.ended_at), e.session_id;
