-- Bench meetings and the matters raised there.

-- name: add_meeting
INSERT INTO meeting (id, grid_id, place, starts_at, agenda, entered, entered_by, entered_at)
VALUES (%(id)s, %(grid_id)s, %(place)s, %(starts_at)s, %(agenda)s, %(entered)s, %(person_id)s,
        %(now)s)
ON CONFLICT (id) DO NOTHING RETURNING id;

-- name: meeting_entered
SELECT entered FROM meeting WHERE id = %(id)s;

-- name: lock_meeting
SELECT id, grid_id, place, starts_at, agenda, attendees, minutes, next_at, next_place, closed_at,
       version
FROM meeting WHERE id = %(id)s FOR NO KEY UPDATE;

-- name: share_meeting
SELECT grid_id FROM meeting WHERE id = %(id)s FOR KEY SHARE;

-- name: change_meeting
UPDATE meeting SET place = %(place)s, starts_at = %(starts_at)s, agenda = %(agenda)s,
       attendees = %(attendees)s, minutes = %(minutes)s, next_at = %(next_at)s,
       next_place = %(next_place)s, version = version + 1
WHERE id = %(id)s;

-- name: close_meeting
UPDATE meeting SET closed_at = %(now)s WHERE id = %(id)s;

-- name: add_matter
INSERT INTO matter (id, meeting_id, grid_id, raised_at, kind, text, owner_company_id,
                    owner_person_id, deadline_at, state, ticket_id, report_id, entered,
                    entered_by, entered_at)
VALUES (%(id)s, %(meeting_id)s, %(grid_id)s, %(raised_at)s, %(kind)s, %(text)s, %(company_id)s,
        %(owner_id)s, %(deadline_at)s, %(state)s, %(ticket_id)s, %(report_id)s, %(entered)s,
        %(person_id)s, %(now)s)
ON CONFLICT (id) DO NOTHING RETURNING id;

-- name: matter_entered
SELECT entered FROM matter WHERE id = %(id)s;

-- name: lock_matter
SELECT id, state, kind, text, owner_company_id, owner_person_id, deadline_at, answer, answered_at,
       done_at, ticket_id, version
FROM matter WHERE id = %(id)s FOR NO KEY UPDATE;

-- name: change_matter
UPDATE matter SET state = %(state)s, kind = %(kind)s, text = %(text)s,
       owner_company_id = %(owner_company_id)s, owner_person_id = %(owner_person_id)s,
       deadline_at = %(deadline_at)s, answer = %(answer)s, answered_at = %(answered_at)s,
       done_at = %(done_at)s, version = version + 1
WHERE id = %(id)s;

-- name: meetings
-- Newest first; a company's people see none.
SELECT m.id, m.place, m.starts_at, m.agenda, m.attendees, m.minutes, m.next_at, m.next_place,
       m.closed_at, m.version, g.code AS grid, g.name AS grid_name, a.name AS area_name,
       a.timezone, m.grid_id, p.login AS entered_by, m.entered_at,
       (SELECT count(*) FROM matter x WHERE x.meeting_id = m.id) AS matters,
       (SELECT count(*) FROM matter_now x WHERE x.meeting_id = m.id AND x.state <> 'done')
           AS unsettled
FROM meeting m
JOIN grid g ON g.id = m.grid_id
JOIN area a ON a.id = g.area_id
JOIN person p ON p.id = m.entered_by
WHERE (%(id)s::uuid IS NULL OR m.id = %(id)s)
  AND (%(grid)s::text IS NULL OR g.code = %(grid)s)
  AND (%(at)s::timestamptz IS NULL OR (m.starts_at, m.id) < (%(at)s, %(at_id)s::uuid))
  AND %(company_id)s::bigint IS NULL
  AND (%(grids)s::bigint[] IS NULL OR m.grid_id = ANY(%(grids)s))
ORDER BY m.starts_at DESC, m.id DESC LIMIT %(limit)s;

-- name: meeting_before
-- When the grid's meeting before this one began.
SELECT max(starts_at) AS starts_at FROM meeting
WHERE grid_id = %(grid_id)s AND starts_at < %(starts_at)s;

-- name: matters
-- By when they were raised, oldest first, as this caller may see them.
SELECT m.id, m.meeting_id, m.raised_at, m.kind, m.text, m.state, m.deadline_at, m.answer,
       m.answered_at, m.done_at, m.ticket_id, m.report_id, m.version, g.code AS grid,
       co.code AS company, co.name AS company_name, p.login AS person, p.name AS person_name,
       s.code AS site, s.name AS site_name, c.code AS charger, c.label, n.number AS connector,
       r.code, b.place AS meeting_place, b.starts_at AS met_at, t.state AS ticket_state,
       t.evidence, t.verified_at, t.reopened,
       (SELECT e.note FROM ticket_entry e
        WHERE e.ticket_id = t.id AND t.state = 'rejected' AND e.action = 'rejected'
        ORDER BY e.id DESC LIMIT 1) AS rejected_for,
       (SELECT count(*) FROM question q WHERE q.ticket_id = t.id AND q.charges) AS content,
       (SELECT count(*) FROM question q WHERE q.ticket_id = t.id AND NOT q.charges) AS disputed
FROM matter_now m
JOIN grid g ON g.id = m.grid_id
JOIN meeting b ON b.id = m.meeting_id
LEFT JOIN company co ON co.id = m.owner_company_id
LEFT JOIN person p ON p.id = m.owner_person_id
LEFT JOIN report r ON r.id = m.report_id
LEFT JOIN site s ON s.id = r.site_id
LEFT JOIN charger c ON c.id = r.charger_id
LEFT JOIN connector n ON n.id = r.connector_id
LEFT JOIN ticket t ON t.id = m.ticket_id
WHERE (%(id)s::uuid IS NULL OR m.id = %(id)s)
  AND (%(meeting)s::uuid IS NULL OR m.meeting_id = %(meeting)s)
  AND (%(grid)s::text IS NULL OR g.code = %(grid)s)
  AND (%(state)s::text IS NULL OR m.state = %(state)s)
  AND (%(kind)s::text IS NULL OR m.kind = %(kind)s)
  AND (%(overdue)s::boolean IS NULL OR %(overdue)s =
       (m.state IN ('raised', 'handed-on') AND m.deadline_at < %(now)s))
  AND (%(met_before)s::timestamptz IS NULL OR b.starts_at < %(met_before)s)
  AND (%(at)s::timestamptz IS NULL OR (m.raised_at, m.id) > (%(at)s, %(at_id)s::uuid))
  AND (%(company_id)s::bigint IS NULL OR m.owner_company_id = %(company_id)s
       OR m.owner_person_id = %(person_id)s)
  AND (%(grids)s::bigint[] IS NULL OR m.grid_id = ANY(%(grids)s)
       OR m.owner_person_id = %(person_id)s)
ORDER BY m.raised_at, m.id LIMIT %(limit)s;

-- name: grid
SELECT id FROM grid WHERE code = %(code)s;

-- name: owner_company
SELECT id FROM company WHERE code = %(code)s;

-- name: owner_person
SELECT id FROM person
WHERE login = %(login)s AND active AND role NOT IN ('auditor', 'device');
