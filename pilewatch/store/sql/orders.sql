-- Work orders: one company's part of a ticket.

-- name: add_order
INSERT INTO work_order (ticket_id, duty, company_id, owner_id, task, deadline_at, state, opened_at,
                        escalate_at)
VALUES (%(ticket_id)s, %(duty)s, %(company_id)s, %(owner_id)s, %(task)s, %(deadline_at)s, 'open',
        %(now)s, %(deadline_at)s)
RETURNING id;

-- name: ticket_of_order
SELECT ticket_id FROM work_order WHERE id = %(id)s;

-- name: lock_order
SELECT id, ticket_id, duty, company_id, owner_id, task, deadline_at, state, opened_at, accepted_at,
       settled_at, note, version, level
FROM work_order WHERE id = %(id)s FOR NO KEY UPDATE;

-- name: update_order
UPDATE work_order SET state = %(state)s, accepted_at = %(accepted_at)s,
    settled_at = %(settled_at)s, note = %(note)s, version = %(version)s, escalate_at = %(at)s
WHERE id = %(id)s;

-- name: orders_in_danger
-- With their tickets locked, which come first.
SELECT o.id, o.ticket_id FROM work_order o JOIN ticket t ON t.id = o.ticket_id
WHERE o.escalate_at <= %(now)s
ORDER BY o.escalate_at, o.id LIMIT %(limit)s FOR NO KEY UPDATE OF t SKIP LOCKED;

-- name: order_escalated
UPDATE work_order SET level = %(level)s, escalate_at = %(at)s WHERE id = %(id)s;

-- name: orders
-- Newest first. Seen by the company and the person whose order it is, and by the ticket's own.
SELECT o.id, o.ticket_id, o.duty, co.code AS company, p.login AS owner, o.task, o.deadline_at,
       o.state, o.opened_at, o.accepted_at, o.settled_at, o.note, o.version,
       o.level AS escalation_level,
       coalesce(o.settled_at, %(now)s) > o.deadline_at AND o.state <> 'cancelled' AS late,
       t.code, t.severity, t.state AS ticket_state, t.subject_kind, s.code AS site,
       gw.code AS gateway, c.code AS charger, n.number AS connector,
       o.company_id, o.owner_id, t.company_id AS ticket_company_id,
       s.company_id AS site_company_id, s.grid_id
FROM work_order o
JOIN ticket t ON t.id = o.ticket_id
JOIN site s ON s.id = t.site_id
LEFT JOIN gateway gw ON t.subject_kind = 'gateway' AND gw.id = t.subject_id
LEFT JOIN charger c ON c.id = t.charger_id
LEFT JOIN connector n ON n.id = t.connector_id
LEFT JOIN company co ON co.id = o.company_id
LEFT JOIN person p ON p.id = o.owner_id
WHERE o.id < %(before)s
  AND (%(id)s::bigint IS NULL OR o.id = %(id)s)
  AND (%(ticket_id)s::bigint IS NULL OR o.ticket_id = %(ticket_id)s)
  AND (%(state)s::text IS NULL OR o.state = %(state)s)
  AND (%(duty)s::text IS NULL OR o.duty = %(duty)s)
  AND (%(company_id)s::bigint IS NULL OR %(company_id)s IN (o.company_id, t.company_id)
       OR s.company_id = %(owner_id)s OR %(person_id)s IN (o.owner_id, t.assignee_id))
  AND (%(grids)s::bigint[] IS NULL OR s.grid_id = ANY(%(grids)s) OR o.owner_id = %(person_id)s)
ORDER BY o.id DESC LIMIT %(limit)s;
