-- Notifications: from the outbox to receivers.

-- name: outbox_to_route
SELECT o.id, o.key, o.topic, o.payload, o.created_at FROM outbox o
WHERE o.routed_at IS NULL AND o.due_at <= %(now)s
ORDER BY o.id LIMIT 200 FOR NO KEY UPDATE SKIP LOCKED;

-- name: mark_routed
UPDATE outbox SET routed_at = %(now)s WHERE id = ANY(%(ids)s);

-- name: add_delivery
INSERT INTO delivery (outbox_id, receiver, key, created_at, due_at)
VALUES (%(outbox_id)s, %(receiver)s, %(key)s, %(now)s, %(due_at)s);

-- name: settle_outbox
UPDATE outbox o SET sent_at = %(now)s
WHERE o.routed_at IS NOT NULL AND o.sent_at IS NULL AND NOT EXISTS (
    SELECT FROM delivery d
    WHERE d.outbox_id = o.id AND d.sent_at IS NULL AND d.dead_at IS NULL);

-- name: due_messages
-- The oldest few messages of each receiver that are due; each is all its deliveries of one key.
SELECT receiver, key, ids, outbox_ids, attempts
FROM (
    SELECT receiver, key, array_agg(id ORDER BY id) AS ids,
           array_agg(outbox_id ORDER BY id) AS outbox_ids, max(attempts) AS attempts,
           row_number() OVER (PARTITION BY receiver ORDER BY min(id)) AS place
    FROM delivery
    WHERE sent_at IS NULL AND dead_at IS NULL AND due_at <= %(now)s
    GROUP BY receiver, key
) m
WHERE place <= 50 ORDER BY place, receiver;

-- name: deliveries_sent
UPDATE delivery SET sent_at = %(now)s, attempts = attempts + 1, last_error = NULL
WHERE id = ANY(%(ids)s);

-- name: deliveries_failed
UPDATE delivery SET attempts = %(attempts)s, last_error = %(error)s, due_at = %(due_at)s,
                    dead_at = %(dead_at)s
WHERE id = ANY(%(ids)s);

-- name: news
-- What a notification may tell of its matter and place; no names of people, no phone numbers.
SELECT o.id, o.key, o.topic, o.payload, o.created_at, t.id AS ticket_id, i.id AS incident_id,
       coalesce(t.code, i.code, o.payload ->> 'code') AS code,
       coalesce((o.payload ->> 'severity')::int, t.severity, i.severity, 3) AS severity,
       coalesce(o.payload ->> 'state', t.state) AS state, t.deadline_at,
       coalesce(i.started_at, t.opened_at) AS started_at, i.ended_at,
       coalesce(t.subject_kind, i.subject_kind) AS subject_kind,
       s.id AS site_id, s.code AS site, s.name AS site_name, g.code AS grid, a.code AS area,
       a.timezone, co.code AS company, p.login AS assignee, c.code AS charger,
       c.label AS charger_label, n.number AS connector,
       (SELECT array_agg(mc.label ORDER BY mc.label)
        FROM incident m JOIN charger mc ON mc.id = m.charger_id
        WHERE m.parent_id = i.id OR m.parent_id IN (
            SELECT x.id FROM incident x WHERE x.ticket_id = t.id)) AS members
FROM outbox o
LEFT JOIN incident i ON i.id = (o.payload ->> 'incident')::bigint
LEFT JOIN ticket t ON t.id = coalesce((o.payload ->> 'ticket')::bigint, i.ticket_id)
LEFT JOIN site s
    ON s.id = coalesce(t.site_id, i.site_id, (o.payload ->> 'site_id')::bigint)
LEFT JOIN grid g ON g.id = coalesce(s.grid_id, (o.payload ->> 'grid_id')::bigint)
LEFT JOIN area a ON a.id = coalesce(g.area_id, (o.payload ->> 'area_id')::bigint)
LEFT JOIN company co ON co.id = coalesce(t.company_id, s.company_id)
LEFT JOIN person p ON p.id = t.assignee_id
LEFT JOIN charger c ON c.id = coalesce(i.charger_id, t.charger_id)
LEFT JOIN connector n ON n.id = coalesce(i.connector_id, t.connector_id)
WHERE o.id = ANY(%(ids)s) ORDER BY o.id;

-- name: deliveries
SELECT d.id, d.receiver, d.key, o.topic, d.created_at, d.due_at, d.attempts, d.sent_at, d.dead_at,
       d.last_error
FROM delivery d
JOIN outbox o ON o.id = d.outbox_id
LEFT JOIN ticket t ON t.id = (o.payload ->> 'ticket')::bigint
LEFT JOIN incident i ON i.id = (o.payload ->> 'incident')::bigint
LEFT JOIN site s ON s.id = coalesce(t.site_id, i.site_id)
WHERE d.id < %(before)s
  AND (%(company_id)s::bigint IS NULL OR %(company_id)s IN (s.company_id, t.company_id)
       OR t.assignee_id = %(person_id)s)
  AND (%(grids)s::bigint[] IS NULL OR s.grid_id = ANY(%(grids)s))
  AND (%(dead)s::boolean IS NULL OR (d.dead_at IS NOT NULL) = %(dead)s)
ORDER BY d.id DESC LIMIT %(limit)s;
