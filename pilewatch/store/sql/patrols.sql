-- Checklists, patrol plans, their rounds and stops, and what a worker's day brings.

-- name: lock_checklists
SELECT pg_advisory_xact_lock(71500003);

-- name: latest_checklist
SELECT id, number, digest FROM checklist
WHERE coalesce(area_id, 0) = coalesce(%(area_id)s, 0) AND code = %(code)s
ORDER BY number DESC LIMIT 1;

-- name: add_checklist
INSERT INTO checklist (area_id, code, number, purpose, chargers, digest, content, added_at)
VALUES (%(area_id)s, %(code)s, %(number)s, %(purpose)s, %(chargers)s, %(digest)s, %(content)s,
        %(now)s)
RETURNING id, number;

-- name: shipped_checklists
SELECT id, number, code, digest, content FROM checklist
WHERE area_id IS NULL AND digest = ANY(%(digests)s)
ORDER BY id;

-- name: checklist_in_area
-- The area's own latest for this type of charger; a shipped one is the caller's to choose.
SELECT l.id, l.number, l.content FROM checklist l
WHERE l.area_id = %(area_id)s AND l.purpose = %(purpose)s AND %(charger_type)s = ANY(l.chargers)
  AND NOT EXISTS (SELECT FROM checklist n WHERE n.area_id = l.area_id AND n.code = l.code
                  AND n.number > l.number)
ORDER BY l.added_at DESC, l.id DESC LIMIT 1;

-- name: checklists
SELECT l.id, l.code, l.number, l.purpose, l.chargers, l.content, l.added_at, a.code AS area
FROM checklist l LEFT JOIN area a ON a.id = l.area_id
WHERE l.id < %(before)s AND (%(id)s::bigint IS NULL OR l.id = %(id)s)
  AND (%(ids)s::bigint[] IS NULL OR l.id = ANY(%(ids)s))
ORDER BY l.id DESC LIMIT %(limit)s;

-- name: add_plan
INSERT INTO patrol_plan (name, kind, purpose, scope_kind, scope_id, interval_days, route, chargers,
                         worker_id, first_due_at, look_at, entered_by, entered_at)
VALUES (%(name)s, %(kind)s, %(purpose)s, %(scope_kind)s, %(scope_id)s, %(interval_days)s,
        %(route)s, %(chargers)s, %(worker_id)s, %(first_due_at)s, %(now)s, %(person_id)s, %(now)s)
RETURNING id;

-- name: lock_plan
SELECT * FROM patrol_plan WHERE id = %(id)s FOR NO KEY UPDATE;

-- name: plan_to_look_at
SELECT id FROM patrol_plan WHERE look_at <= %(now)s
ORDER BY look_at, id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;

-- name: look_again
UPDATE patrol_plan SET look_at = %(look_at)s WHERE id = %(id)s;

-- name: change_plan
UPDATE patrol_plan SET
    name = %(name)s, interval_days = %(interval_days)s, route = %(route)s,
    chargers = %(chargers)s, worker_id = %(worker_id)s, look_at = %(now)s, version = version + 1
WHERE id = %(id)s;

-- name: end_plan
UPDATE patrol_plan SET ended_at = %(now)s, look_at = NULL, version = version + 1
WHERE id = %(id)s;

-- name: plans
SELECT p.id, p.name, p.kind, p.purpose, p.scope_kind AS scope, p.scope_id,
       coalesce(a.code, g.code, s.code) AS code, p.interval_days, p.route, p.chargers,
       w.login AS worker, p.first_due_at, e.login AS entered_by, p.entered_at, p.ended_at,
       p.version
FROM patrol_plan p
JOIN person e ON e.id = p.entered_by
LEFT JOIN person w ON w.id = p.worker_id
LEFT JOIN area a ON p.scope_kind = 'area' AND a.id = p.scope_id
LEFT JOIN grid g ON p.scope_kind = 'grid' AND g.id = p.scope_id
LEFT JOIN site s ON p.scope_kind = 'site' AND s.id = p.scope_id
WHERE p.id < %(before)s AND (%(id)s::bigint IS NULL OR p.id = %(id)s)
  AND (NOT %(current)s OR p.ended_at IS NULL)
  AND EXISTS (
      SELECT FROM site x JOIN grid y ON y.id = x.grid_id
      WHERE CASE p.scope_kind WHEN 'area' THEN y.area_id WHEN 'grid' THEN y.id ELSE x.id END
            = p.scope_id
        AND (%(company_id)s::bigint IS NULL OR x.company_id = %(company_id)s)
        AND (%(grids)s::bigint[] IS NULL OR x.grid_id = ANY(%(grids)s)))
ORDER BY p.id DESC LIMIT %(limit)s;

-- name: piles
-- Each pile of a scope with what speaks against it since `since`, and its last inspection that
-- counts. `under_way`: an open round of the plan has it already.
WITH here AS MATERIALIZED (
    SELECT c.id, c.code, c.kind, c.installed_on, s.code AS site, s.latitude, s.longitude,
           g.area_id
    FROM charger c
    JOIN site s ON s.id = c.site_id
    JOIN grid g ON g.id = s.grid_id
    WHERE c.active AND c.id > %(after)s
      AND (%(scope_kind)s::text IS NULL OR CASE %(scope_kind)s
           WHEN 'area' THEN g.area_id WHEN 'grid' THEN g.id ELSE s.id END = %(scope_id)s)
      AND (%(site)s::text IS NULL OR s.code = %(site)s)
      AND (%(company_id)s::bigint IS NULL OR s.company_id = %(company_id)s)
      AND (%(grids)s::bigint[] IS NULL OR s.grid_id = ANY(%(grids)s))
    ORDER BY c.id LIMIT %(limit)s
), port AS (
    SELECT n.charger_id, max(n.max_power_w) AS strongest_w, count(*) AS ports
    FROM here JOIN connector n ON n.charger_id = here.id WHERE n.active GROUP BY 1
), used AS (
    SELECT n.charger_id, count(*) AS sessions
    FROM here JOIN connector n ON n.charger_id = here.id
    JOIN charging_session h ON h.connector_id = n.id
    WHERE n.active AND h.ended_at >= %(since)s GROUP BY 1
), one AS (
    SELECT i.charger_id, i.code FROM incident i
    WHERE i.charger_id IN (SELECT id FROM here) AND i.opened_at >= %(since)s
      AND i.planned_by IS NULL AND i.parent_id IS NULL AND i.phase <> 'dismissed'
    UNION ALL
    SELECT t.charger_id, t.code FROM ticket t
    WHERE t.charger_id IN (SELECT id FROM here) AND t.opened_at >= %(since)s
      AND t.state NOT IN ('rejected', 'merged')
      AND NOT EXISTS (SELECT FROM incident i WHERE i.ticket_id = t.id)
), fault AS (
    SELECT charger_id, jsonb_object_agg(code, n) AS codes
    FROM (SELECT charger_id, code, count(*) AS n FROM one GROUP BY 1, 2) counted GROUP BY 1
), said AS (
    SELECT r.charger_id, count(*) AS reports FROM report r
    WHERE r.charger_id IN (SELECT id FROM here) AND r.reported_at >= %(since)s
      AND r.source <> 'patrol' GROUP BY 1
), failed AS (
    SELECT i.charger_id, count(*) AS items
    FROM inspection i JOIN inspection_failure f ON f.inspection_id = i.id
    WHERE i.charger_id IN (SELECT id FROM here) AND i.inspected_at >= %(since)s GROUP BY 1
), last AS (
    SELECT i.charger_id, max(i.inspected_at) AS at
    FROM inspection i JOIN checklist l ON l.id = i.checklist_id
    WHERE i.charger_id IN (SELECT id FROM here) AND l.purpose = %(purpose)s AND i.complete
      AND i.presence IS DISTINCT FROM 'wrong-pile'
      AND (NOT %(presence_required)s OR i.presence = 'proven') GROUP BY 1
), harsh AS (
    SELECT h.area_id, count(*) AS days FROM harsh_day h JOIN area a ON a.id = h.area_id
    WHERE h.day >= (%(since)s AT TIME ZONE a.timezone)::date
      AND h.day <= (%(now)s AT TIME ZONE a.timezone)::date GROUP BY 1
), under_way AS (
    SELECT t.charger_id FROM patrol_stop t JOIN patrol_round o ON o.id = t.round_id
    WHERE o.plan_id = %(plan_id)s AND o.state = 'open'
)
SELECT here.id, here.code, here.kind, here.site, here.latitude, here.longitude, here.area_id,
       here.installed_on, port.strongest_w, last.at AS last_at,
       coalesce(fault.codes, '{}') AS faults, coalesce(said.reports, 0) AS reports,
       coalesce(failed.items, 0) AS failed_items, coalesce(harsh.days, 0) AS harsh_days,
       coalesce(used.sessions, 0)::double precision / port.ports
           / greatest(1, extract(epoch FROM %(now)s - %(since)s::timestamptz) / 86400)
           AS sessions_a_day,
       here.id IN (SELECT charger_id FROM under_way) AS under_way
FROM here
LEFT JOIN port ON port.charger_id = here.id
LEFT JOIN used ON used.charger_id = here.id
LEFT JOIN fault ON fault.charger_id = here.id
LEFT JOIN said ON said.charger_id = here.id
LEFT JOIN failed ON failed.charger_id = here.id
LEFT JOIN last ON last.charger_id = here.id
LEFT JOIN harsh ON harsh.area_id = here.area_id
ORDER BY here.id;

-- name: add_round
INSERT INTO patrol_round (plan_id, number, worker_id, opened_at, due_at)
SELECT %(plan_id)s, coalesce(max(number), 0) + 1, %(worker_id)s, %(now)s, %(due_at)s
FROM patrol_round WHERE plan_id = %(plan_id)s
RETURNING id, number;

-- name: add_stop
INSERT INTO patrol_stop (round_id, charger_id, place, checklist_id, interval_days, reasons)
VALUES (%(round_id)s, %(charger_id)s, %(place)s, %(checklist_id)s, %(interval_days)s,
        %(reasons)s);

-- name: round_to_close
SELECT id, plan_id, due_at FROM patrol_round
WHERE state = 'open' AND due_at + %(grace)s <= %(now)s
ORDER BY id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;

-- name: lock_round
SELECT id, plan_id, opened_at, due_at, state, worker_id, version FROM patrol_round
WHERE id = %(id)s FOR NO KEY UPDATE;

-- name: close_round
UPDATE patrol_round SET state = %(state)s, closed_at = %(now)s, version = version + 1
WHERE id = %(id)s;

-- name: assign_round
UPDATE patrol_round SET worker_id = %(worker_id)s, version = version + 1 WHERE id = %(id)s;

-- name: round_changed
UPDATE patrol_round SET version = version + 1 WHERE id = %(id)s;

-- name: counted_stops
SELECT count(*) AS stops, count(inspection_id) AS done FROM patrol_stop
WHERE round_id = %(round_id)s;

-- name: end_survey
UPDATE patrol_plan SET ended_at = %(now)s, version = version + 1
WHERE id = %(plan_id)s AND kind = 'survey' AND ended_at IS NULL;

-- name: look_at_plan
UPDATE patrol_plan SET look_at = %(now)s
WHERE id = %(plan_id)s AND kind = 'patrol' AND ended_at IS NULL;

-- name: round_news
-- What a notification tells of a round, with the place that it is about.
SELECT p.name, p.kind, o.due_at, o.state,
       CASE p.scope_kind WHEN 'area' THEN p.scope_id END AS area_id,
       CASE p.scope_kind WHEN 'grid' THEN p.scope_id END AS grid_id,
       CASE p.scope_kind WHEN 'site' THEN p.scope_id END AS site_id,
       (SELECT count(*) FROM patrol_stop t WHERE t.round_id = o.id) AS stops,
       (SELECT count(inspection_id) FROM patrol_stop t WHERE t.round_id = o.id) AS done
FROM patrol_round o JOIN patrol_plan p ON p.id = o.plan_id WHERE o.id = %(id)s;

-- name: lock_rounds
-- The rounds that inspections of these piles may fill, always in one order and before any ticket,
-- so that two phones do not wait for each other.
SELECT o.id FROM patrol_round o
WHERE (o.state = 'open' OR o.id = ANY(%(named)s)) AND EXISTS (
    SELECT FROM patrol_stop t JOIN charger c ON c.id = t.charger_id
    WHERE t.round_id = o.id AND c.code = ANY(%(chargers)s))
ORDER BY o.id FOR NO KEY UPDATE;

-- name: stops_to_fill
-- Stops that an inspection of this pile fills: those of open rounds that had opened by then, and
-- that of the round that it names, even where that is closed.
SELECT t.round_id, o.state, o.due_at, o.plan_id
FROM patrol_stop t
JOIN patrol_round o ON o.id = t.round_id
JOIN patrol_plan p ON p.id = o.plan_id
WHERE t.charger_id = %(charger_id)s AND t.inspection_id IS NULL AND p.purpose = %(purpose)s
  AND o.opened_at <= %(inspected_at)s
  AND (o.state = 'open' OR o.id = %(round_id)s)
ORDER BY t.round_id FOR NO KEY UPDATE OF o, t;

-- name: fill_stop
UPDATE patrol_stop SET inspection_id = %(inspection_id)s, late = %(late)s
WHERE round_id = %(round_id)s AND charger_id = %(charger_id)s AND inspection_id IS NULL;

-- name: rounds
SELECT o.id, o.plan_id AS plan, p.name, p.kind, p.purpose, o.number, w.login AS worker,
       o.opened_at, o.due_at, o.state, o.closed_at, o.version, n.stops, n.done, n.late
FROM patrol_round o
JOIN patrol_plan p ON p.id = o.plan_id
LEFT JOIN person w ON w.id = o.worker_id
CROSS JOIN LATERAL (
    SELECT count(*) AS stops, count(t.inspection_id) AS done,
           count(*) FILTER (WHERE t.late) AS late
    FROM patrol_stop t
    JOIN charger c ON c.id = t.charger_id JOIN site s ON s.id = c.site_id
    WHERE t.round_id = o.id
      AND (%(company_id)s::bigint IS NULL OR s.company_id = %(company_id)s)
      AND (%(grids)s::bigint[] IS NULL OR s.grid_id = ANY(%(grids)s))
) n
WHERE o.id < %(before)s AND n.stops > 0
  AND (%(id)s::bigint IS NULL OR o.id = %(id)s)
  AND (%(plan)s::bigint IS NULL OR o.plan_id = %(plan)s)
  AND (%(state)s::text IS NULL OR o.state = %(state)s)
  AND (NOT %(mine)s OR o.worker_id IS NULL OR o.worker_id = %(person_id)s)
ORDER BY o.id DESC LIMIT %(limit)s;

-- name: stops
SELECT t.place AS id, t.round_id, t.place, c.code AS charger, c.label, s.code AS site,
       s.name AS site_name, s.address, s.latitude, s.longitude, t.checklist_id AS checklist,
       t.interval_days, t.reasons, t.inspection_id AS inspection, t.late, i.inspected_at,
       i.passed, i.presence, w.login AS worker,
       (SELECT array_agg(n.number ORDER BY n.number) FROM connector n
        WHERE n.charger_id = c.id AND n.active) AS ports
FROM patrol_stop t
JOIN charger c ON c.id = t.charger_id
JOIN site s ON s.id = c.site_id
LEFT JOIN inspection i ON i.id = t.inspection_id
LEFT JOIN person w ON w.id = i.person_id
WHERE t.round_id = ANY(%(round_ids)s) AND t.place > %(after)s
  AND (%(company_id)s::bigint IS NULL OR s.company_id = %(company_id)s)
  AND (%(grids)s::bigint[] IS NULL OR s.grid_id = ANY(%(grids)s))
ORDER BY t.round_id, t.place LIMIT %(limit)s;

-- name: tickets_to_confirm
SELECT t.id, t.code, t.severity, s.code AS site, s.name AS site_name, c.code AS charger,
       c.label, n.number AS connector, t.claimed_at, t.verify_by_at, t.cause, t.remedy
FROM ticket t
JOIN site s ON s.id = t.site_id
LEFT JOIN charger c ON c.id = t.charger_id
LEFT JOIN connector n ON n.id = t.connector_id
WHERE t.state = 'repaired' AND (%(grids)s::bigint[] IS NULL OR s.grid_id = ANY(%(grids)s))
ORDER BY t.verify_by_at, t.id LIMIT 200;

-- name: visited
-- A pile as a worker's phone names it, with its ports.
SELECT c.id, c.code, c.kind, s.latitude, s.longitude,
       (SELECT max(n.max_power_w) FROM connector n
        WHERE n.charger_id = c.id AND n.active) AS strongest_w,
       coalesce((SELECT jsonb_object_agg(n.number, n.id) FROM connector n
                 WHERE n.charger_id = c.id AND n.active), '{}') AS ports
FROM charger c JOIN site s ON s.id = c.site_id
WHERE c.code = %(code)s
  AND (%(grids)s::bigint[] IS NULL OR s.grid_id = ANY(%(grids)s));

-- name: round_of_charger
SELECT o.id, o.state, o.opened_at FROM patrol_round o
JOIN patrol_stop t ON t.round_id = o.id AND t.charger_id = %(charger_id)s
WHERE o.id = %(id)s;

-- name: kept_inspection
SELECT i.id, i.digest, i.passed, i.complete, i.presence, i.presence_why, i.poster_number,
       i.inspected_at,
       (SELECT bool_or(t.late) FROM patrol_stop t WHERE t.inspection_id = i.id) AS late,
       array(SELECT DISTINCT f.ticket_id FROM inspection_failure f
             WHERE f.inspection_id = i.id AND f.ticket_id IS NOT NULL ORDER BY 1) AS tickets,
       EXISTS (SELECT FROM inspection_failure f
               WHERE f.inspection_id = i.id AND f.ticket_id IS NULL) AS settled
FROM inspection i WHERE i.id = %(id)s;

-- name: keep_conflict
INSERT INTO inspection_conflict (inspection_id, person_id, received_at, digest, content)
VALUES (%(id)s, %(person_id)s, %(now)s, %(digest)s, %(content)s)
ON CONFLICT DO NOTHING;

-- name: complete_inspection
UPDATE inspection SET checklist_id = %(checklist_id)s, round_id = %(round_id)s,
    complete = %(complete)s, presence = %(presence)s, presence_why = %(presence_why)s,
    poster_number = %(poster_number)s, photos = %(photos)s, digest = %(digest)s
WHERE id = %(id)s;

-- name: add_failure
INSERT INTO inspection_failure (inspection_id, item, connector_id, code, value, session_proves,
                                ticket_id)
VALUES (%(id)s, %(item)s, %(connector_id)s, %(code)s, %(value)s, %(session_proves)s,
        %(ticket_id)s);

-- name: add_report
-- The report that a failed item makes.
INSERT INTO report (receipt, source, site_id, charger_id, connector_id, code, reported_at, ticket_id)
SELECT %(receipt)s, 'patrol', site_id, id, %(connector_id)s, %(code)s, %(now)s, %(ticket_id)s
FROM charger WHERE id = %(charger_id)s;

-- name: failed_items_of
-- Which items of which checklist stand behind a ticket.
SELECT DISTINCT l.code AS checklist, f.item
FROM inspection_failure f JOIN inspection i ON i.id = f.inspection_id
JOIN checklist l ON l.id = i.checklist_id
WHERE f.ticket_id = %(ticket_id)s;

-- name: settled_after
-- A ticket of this matter whose repair was proved after the failure was seen.
SELECT id FROM ticket
WHERE subject_kind = %(subject_kind)s AND subject_id = %(subject_id)s AND family = %(family)s
  AND state IN ('verified', 'closed') AND verified_at > %(inspected_at)s
ORDER BY id DESC LIMIT 1;

-- name: inspections
SELECT i.id AS uuid, c.code AS charger, p.login AS worker, i.inspected_at, i.received_at, i.passed,
       i.complete, i.test_charge, i.checklist_id AS checklist, i.round_id AS round, i.presence,
       i.presence_why, i.poster_number, i.answers, i.photos, i.note,
       (SELECT count(*) FROM inspection_conflict x WHERE x.inspection_id = i.id) AS conflicts,
       array(SELECT DISTINCT f.ticket_id FROM inspection_failure f
             WHERE f.inspection_id = i.id AND f.ticket_id IS NOT NULL ORDER BY 1) AS tickets
FROM inspection i
JOIN charger c ON c.id = i.charger_id JOIN site s ON s.id = c.site_id
JOIN person p ON p.id = i.person_id
WHERE i.id = %(id)s
  AND (%(company_id)s::bigint IS NULL OR s.company_id = %(company_id)s)
  AND (%(grids)s::bigint[] IS NULL OR s.grid_id = ANY(%(grids)s));

-- name: add_harsh_day
INSERT INTO harsh_day (area_id, day, kind, entered_by, entered_at)
VALUES (%(area_id)s, %(day)s, %(kind)s, %(person_id)s, %(now)s)
ON CONFLICT (area_id, day) DO UPDATE SET kind = excluded.kind;

-- name: harsh_days
SELECT a.code AS area, h.day, h.kind FROM harsh_day h JOIN area a ON a.id = h.area_id
WHERE h.area_id = %(area_id)s AND h.day >= %(since)s::date ORDER BY h.day DESC;

-- name: worker_of
-- Who may inspect there: a grid worker of its grids, an admin of its area or of none.
SELECT p.id FROM person p
WHERE p.login = %(login)s AND p.active AND p.role IN ('grid_worker', 'admin')
  AND ((p.role = 'admin' AND areas_of(p) = '{}') OR EXISTS (
      SELECT FROM grid g
      LEFT JOIN site s ON %(scope_kind)s = 'site' AND s.id = %(scope_id)s AND s.grid_id = g.id
      WHERE g.id = ANY(grids_of(p)) AND CASE %(scope_kind)s WHEN 'area' THEN g.area_id = %(scope_id)s
            WHEN 'grid' THEN g.id = %(scope_id)s ELSE s.id IS NOT NULL END));

-- name: strangers
-- Codes of a given order that are no active piles of the scope.
SELECT x.code FROM unnest(%(chargers)s::text[]) AS x(code)
WHERE NOT EXISTS (
    SELECT FROM charger c JOIN site s ON s.id = c.site_id JOIN grid g ON g.id = s.grid_id
    WHERE c.code = x.code AND c.active AND CASE %(scope_kind)s
          WHEN 'area' THEN g.area_id WHEN 'grid' THEN g.id ELSE s.id END = %(scope_id)s)
LIMIT 1;
