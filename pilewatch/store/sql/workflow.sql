-- Tickets, reports, inspections: each function's one transaction is its caller's.

-- name: subject_of_connector
SELECT n.id AS subject_id, c.site_id, c.id AS charger_id, n.id AS connector_id, s.company_id
FROM connector n JOIN charger c ON c.id = n.charger_id JOIN site s ON s.id = c.site_id
WHERE n.id = %(id)s;

-- name: subject_of_charger
SELECT c.id::bigint AS subject_id, c.site_id, c.id AS charger_id, NULL::bigint AS connector_id,
       s.company_id
FROM charger c JOIN site s ON s.id = c.site_id WHERE c.id = %(id)s;

-- name: subject_of_gateway
SELECT g.id AS subject_id, g.site_id, NULL::integer AS charger_id, NULL::bigint AS connector_id,
       s.company_id
FROM gateway g JOIN site s ON s.id = g.site_id WHERE g.id = %(id)s;

-- name: subject_of_site
SELECT s.id AS subject_id, s.id AS site_id, NULL::integer AS charger_id,
       NULL::bigint AS connector_id, s.company_id
FROM site s WHERE s.id = %(id)s;

-- name: open_ticket
INSERT INTO ticket (subject_kind, subject_id, site_id, charger_id, connector_id, code, family,
                    severity, state, company_id, opened_at, deadline_at, accept_by_at,
                    arrive_by_at, clock_at, escalate_at)
VALUES (%(subject_kind)s, %(subject_id)s, %(site_id)s, %(charger_id)s, %(connector_id)s, %(code)s,
        %(family)s, %(severity)s, 'open', %(company_id)s, %(opened_at)s, %(deadline_at)s,
        %(accept_by_at)s, %(arrive_by_at)s, %(opened_at)s, %(escalate_at)s)
ON CONFLICT (subject_kind, subject_id, family)
    WHERE state NOT IN ('closed', 'rejected', 'merged') DO NOTHING
RETURNING id;

-- name: live_ticket
SELECT id FROM ticket
WHERE subject_kind = %(subject_kind)s AND subject_id = %(subject_id)s AND family = %(family)s
  AND state NOT IN ('closed', 'rejected', 'merged');

-- name: lock_ticket
SELECT t.id, t.state, t.subject_kind, t.subject_id, t.site_id, t.charger_id, t.connector_id,
       t.code, t.family, t.severity, t.opened_at, t.deadline_at, t.company_id, t.assignee_id,
       t.claimed_at, t.verify_by_at, t.verified_at, t.closed_at, t.evidence, t.cause, t.remedy,
       t.part, t.cause_code, t.remedy_code, t.merged_into, t.reopened, t.version,
       t.accept_by_at, t.arrive_by_at,
       t.accepted_at, t.arrived_at, t.clock_at, t.clock_used_s, t.paused_at, t.pause_reason,
       t.paused_s, t.accept_level, t.arrive_level, t.repair_level, a.code AS area, a.timezone,
       (SELECT count(*) FROM work_order o
        WHERE o.ticket_id = t.id AND o.settled_at IS NULL) AS open_orders
FROM ticket t
JOIN site s ON s.id = t.site_id JOIN grid g ON g.id = s.grid_id JOIN area a ON a.id = g.area_id
WHERE t.id = %(id)s FOR NO KEY UPDATE OF t;

-- name: area_of_site
SELECT a.code AS area, a.timezone
FROM site s JOIN grid g ON g.id = s.grid_id JOIN area a ON a.id = g.area_id
WHERE s.id = %(site_id)s;

-- name: update_ticket
UPDATE ticket SET
    state = %(state)s, code = %(code)s, severity = %(severity)s, deadline_at = %(deadline_at)s,
    company_id = %(company_id)s, assignee_id = %(assignee_id)s, claimed_at = %(claimed_at)s,
    verify_by_at = %(verify_by_at)s, verified_at = %(verified_at)s, closed_at = %(closed_at)s,
    evidence = %(evidence)s, cause = %(cause)s, remedy = %(remedy)s, part = %(part)s,
    cause_code = %(cause_code)s, remedy_code = %(remedy_code)s,
    merged_into = %(merged_into)s, reopened = %(reopened)s, version = %(version)s,
    accept_by_at = %(accept_by_at)s, arrive_by_at = %(arrive_by_at)s,
    accepted_at = %(accepted_at)s, arrived_at = %(arrived_at)s, clock_at = %(clock_at)s,
    clock_used_s = %(clock_used_s)s, paused_at = %(paused_at)s, pause_reason = %(pause_reason)s,
    paused_s = %(paused_s)s, accept_level = %(accept_level)s, arrive_level = %(arrive_level)s,
    repair_level = %(repair_level)s, escalate_at = %(escalate_at)s
WHERE id = %(id)s;

-- name: add_entry
INSERT INTO ticket_entry (ticket_id, at, actor_kind, person_id, action, from_state, to_state,
                          note, data)
VALUES (%(ticket_id)s, %(at)s, %(actor_kind)s, %(person_id)s, %(action)s, %(from_state)s,
        %(to_state)s, %(note)s, %(data)s)
RETURNING id;

-- name: add_outbox
INSERT INTO outbox (key, topic, payload, created_at, due_at, silence_id)
SELECT %(key)s, %(topic)s, m.payload, %(now)s, coalesce(q.to_at, %(now)s), q.id
FROM (SELECT %(payload)s::jsonb AS payload) m
LEFT JOIN LATERAL silence_over(
    m.payload ->> 'subject_kind', (m.payload ->> 'subject_id')::bigint, m.payload ->> 'code',
    (m.payload ->> 'severity')::integer, %(now)s) q ON true;

-- name: notify
SELECT pg_notify(%(channel)s, %(payload)s);

-- name: move_reports
UPDATE report SET ticket_id = %(into)s WHERE ticket_id = %(ticket_id)s;

-- name: move_failures
UPDATE inspection_failure SET ticket_id = %(into)s WHERE ticket_id = %(ticket_id)s;

-- name: move_incidents
UPDATE incident SET ticket_id = %(into)s WHERE ticket_id = %(ticket_id)s;

-- name: tickets_to_verify
SELECT id FROM ticket WHERE state = 'repaired' ORDER BY id FOR NO KEY UPDATE SKIP LOCKED;

-- name: tickets_to_close
SELECT id FROM ticket WHERE state = 'verified' ORDER BY id FOR NO KEY UPDATE SKIP LOCKED;

-- name: tickets_to_recover
-- Nobody claimed a repair, yet the machine's own complaint has been gone for long enough.
SELECT t.id, gone.since
FROM ticket t
CROSS JOIN LATERAL (
    SELECT max(i.ended_at) AS since, bool_or(i.ended_at IS NULL) AS alive
    FROM incident i WHERE i.ticket_id = t.id
) gone
WHERE t.state IN ('open', 'assigned', 'reopened') AND t.severity > 1
  AND NOT gone.alive AND gone.since <= %(before)s
  AND NOT EXISTS (SELECT FROM report r WHERE r.ticket_id = t.id)
  AND NOT EXISTS (SELECT FROM work_order o WHERE o.ticket_id = t.id AND o.settled_at IS NULL)
ORDER BY t.id FOR NO KEY UPDATE OF t SKIP LOCKED;

-- name: machine_said
-- Whether the machine complains of this matter now (also of a part of the subject), since when it
-- no longer does, and whether it ever did: what only people have seen, no idle time can prove; and
-- whether an inspection found what no telemetry can show.
SELECT coalesce(bool_or(i.phase IN ('pending', 'open', 'clearing', 'member')), false) AS alive,
       max(i.ended_at) AS quiet_since,
       EXISTS (SELECT FROM ticket_entry e
               WHERE e.ticket_id = %(ticket_id)s AND e.actor_kind = 'engine'
                 AND e.action IN ('opened', 'joined')) AS ever,
       EXISTS (SELECT FROM inspection_failure f
               WHERE f.ticket_id = %(ticket_id)s AND NOT f.session_proves) AS hands_only
FROM incident i LEFT JOIN charger c ON c.id = i.charger_id
WHERE i.family = %(family)s
  AND ((i.subject_kind = %(subject_kind)s AND i.subject_id = %(subject_id)s)
       OR CASE %(subject_kind)s WHEN 'charger' THEN i.charger_id = %(subject_id)s
               WHEN 'gateway' THEN c.gateway_id = %(subject_id)s
               WHEN 'site' THEN i.site_id = %(subject_id)s AND %(family)s <> 'silence' END);

-- name: proving_session
SELECT connector_id, session_id, started_at, ended_at, energy_wh
FROM charging_session
WHERE connector_id = ANY(%(connectors)s) AND ended_at > %(claimed_at)s
  AND coalesce(started_at, ended_at) > %(claimed_at)s AND energy_wh >= %(min_wh)s
ORDER BY ended_at LIMIT 1;

-- name: latest_claim
-- The claim that waits for its proof, or was the last to be returned for want of it.
SELECT c.at, t.state <> 'repaired' AS returned
FROM ticket t
JOIN LATERAL (
    SELECT e.id, e.at FROM ticket_entry e
    WHERE e.ticket_id = t.id AND e.action = 'claimed' ORDER BY e.id DESC LIMIT 1
) c ON true
WHERE t.id = %(ticket_id)s
  AND (t.state = 'repaired' OR (t.state = 'repairing' AND EXISTS (
      SELECT FROM ticket_entry e
      WHERE e.ticket_id = t.id AND e.action = 'claim-returned' AND e.id > c.id)));

-- name: best_session
SELECT max(coalesce(energy_wh, 0)) AS energy_wh FROM charging_session
WHERE connector_id = ANY(%(connectors)s) AND ended_at > %(claimed_at)s
  AND coalesce(started_at, ended_at) > %(claimed_at)s;

-- name: connectors_of_subject
SELECT n.id FROM connector n JOIN charger c ON c.id = n.charger_id
WHERE n.active AND c.active AND CASE %(subject_kind)s
    WHEN 'connector' THEN n.id WHEN 'charger' THEN c.id
    WHEN 'gateway' THEN c.gateway_id ELSE c.site_id END = %(subject_id)s
ORDER BY n.id;

-- name: health_of_connectors
SELECT bool_and(k.online AND NOT k.stale AND s.healthy_since IS NOT NULL) AS healthy,
       bool_and(k.online) AS online,
       bool_and(k.online AND NOT k.stale) AS heard,
       max(s.healthy_since) AS healthy_since,
       max(back.at) AS online_since
FROM connector_now(%(now)s) k
LEFT JOIN connector_state s ON s.connector_id = k.connector_id
LEFT JOIN LATERAL (
    SELECT max(e.ended_at) AS at FROM incident e
    WHERE e.charger_id = k.charger_id AND e.family = 'silence'
) back ON true
WHERE k.connector_id = ANY(%(connectors)s);

-- name: joinable_ticket
-- The live ticket that already speaks of what is reported: the same matter of the same thing, or
-- one that puts the thing, or what it hangs on, out of order and so explains the complaint.
SELECT t.id FROM ticket t
WHERE t.state NOT IN ('closed', 'rejected', 'merged')
  AND (t.subject_kind, t.subject_id) IN (
      ('connector', %(connector_id)s::bigint), ('charger', %(charger_id)s::bigint),
      ('gateway', (SELECT gateway_id FROM charger WHERE id = %(charger_id)s)),
      ('site', %(site_id)s::bigint))
  AND ((t.family = %(family)s AND t.subject_kind = %(subject_kind)s)
       OR (t.code = ANY(%(stopping)s) AND %(explicable)s)
       OR (t.code = ANY(%(stopping)s) AND t.subject_kind = %(subject_kind)s))
ORDER BY (t.family = %(family)s) DESC, (t.subject_kind = 'connector') DESC,
         (t.subject_kind = 'charger') DESC, t.id
LIMIT 1;

-- name: witnesses
-- What telemetry, earlier reports and the latest inspection say of a port, or of a whole charger.
WITH looked AS (
    SELECT inspected_at, passed FROM inspection
    WHERE charger_id = %(charger_id)s AND inspected_at > %(since)s AND complete
      AND (connector_id IS NULL OR %(connector_id)s::bigint IS NULL
           OR connector_id = %(connector_id)s)
    ORDER BY inspected_at DESC LIMIT 1
), said AS (
    SELECT count(*) AS reports, min(reported_at) AS first_at FROM report
    WHERE site_id = %(site_id)s AND charger_id IS NOT DISTINCT FROM %(charger_id)s
      AND connector_id IS NOT DISTINCT FROM %(connector_id)s
      AND ticket_id IS NOT NULL -- what waits for a review is no witness yet
      AND reported_at > greatest(%(since)s, (SELECT inspected_at FROM looked))
      AND source <> 'patrol'
), shown AS (
    SELECT bool_or(k.errors <> '[]' OR k.said = 'faulted') AS faulty,
           bool_or(NOT k.online OR k.stale) AS silent,
           max(s.delivered_at) AS delivered_at
    FROM connector_now(%(now)s) k
    LEFT JOIN connector_state s ON s.connector_id = k.connector_id
    WHERE k.charger_id = %(charger_id)s
      AND (%(connector_id)s::bigint IS NULL OR k.connector_id = %(connector_id)s)
)
SELECT coalesce(shown.faulty, false) AS faulty, coalesce(shown.silent, true) AS silent,
       coalesce(shown.delivered_at > said.first_at, false) AS delivered,
       said.reports, (SELECT passed FROM looked) AS passed
FROM said, shown;

-- name: move_report
UPDATE report SET ticket_id = %(ticket_id)s WHERE id = %(report_id)s;

-- name: timeline
-- What residents may be told: no word that is meant for the inside, and no such note.
SELECT id, ticket_id, at, actor_kind, action, from_state, to_state,
       CASE WHEN action = 'announced' THEN note END AS note, data
FROM ticket_entry
WHERE ticket_id = %(ticket_id)s
  AND action NOT IN ('commented', 'escalated', 'under-warranty', 'cost-added', 'cost-withdrawn',
                     'split', 'order-accepted', 'order-done', 'order-returned', 'order-cancelled')
ORDER BY id;

-- name: add_inspection
INSERT INTO inspection (id, charger_id, connector_id, person_id, inspected_at, received_at,
                        passed, test_charge, answers, note)
VALUES (%(id)s, %(charger_id)s, %(connector_id)s, %(person_id)s, %(inspected_at)s, %(now)s,
        %(passed)s, %(test_charge)s, %(answers)s, %(note)s)
ON CONFLICT (id) DO NOTHING
RETURNING id;

-- name: same_inspection
SELECT id FROM inspection
WHERE id = %(id)s AND charger_id = %(charger_id)s AND person_id = %(person_id)s
  AND passed = %(passed)s AND test_charge = %(test_charge)s AND answers = %(answers)s
  AND connector_id IS NOT DISTINCT FROM %(connector_id)s AND note IS NOT DISTINCT FROM %(note)s;

-- name: repaired_tickets_of
SELECT id, claimed_at, state, subject_kind, subject_id, family, connector_id FROM ticket
WHERE charger_id = %(charger_id)s
  AND (connector_id IS NULL OR connector_id = %(connector_id)s OR %(connector_id)s IS NULL)
  AND state NOT IN ('closed', 'rejected', 'merged')
ORDER BY id FOR NO KEY UPDATE;

-- name: link_inspection
UPDATE inspection SET ticket_id = %(ticket_id)s WHERE id = %(id)s;
