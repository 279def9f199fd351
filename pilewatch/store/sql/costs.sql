-- Parts and costs of tickets, and warranty.

-- name: covers
-- Of each part that was put in at the ticket's place before, the latest one, where its warranty had
-- not ended when the ticket was opened. A part of the cabinet is at the place of each of its ports.
SELECT * FROM (
    SELECT DISTINCT ON (c.part) c.id AS cost_id, c.part, c.serial, c.warranty_until AS until,
           c.warrantor_id, co.code AS warrantor, c.ticket_id AS installed_by
    FROM ticket t
    JOIN ticket was ON CASE WHEN t.charger_id IS NULL
        THEN was.subject_kind = t.subject_kind AND was.subject_id = t.subject_id
        ELSE was.charger_id = t.charger_id
             AND (was.connector_id IS NULL OR t.connector_id IS NULL
                  OR was.connector_id = t.connector_id) END
    JOIN ticket_cost c ON c.ticket_id = was.id AND c.part IS NOT NULL AND c.withdrawn_at IS NULL
    LEFT JOIN company co ON co.id = c.warrantor_id
    WHERE t.id = %(ticket_id)s AND (was.id <> t.id OR t.reopened > 0)
    ORDER BY c.part, c.entered_at DESC, c.id DESC
) latest
WHERE latest.until >= (
    SELECT (t.opened_at AT TIME ZONE a.timezone)::date FROM ticket t
    JOIN site s ON s.id = t.site_id JOIN grid g ON g.id = s.grid_id JOIN area a ON a.id = g.area_id
    WHERE t.id = %(ticket_id)s)
ORDER BY part;

-- name: add_cost
INSERT INTO ticket_cost (ticket_id, kind, part, serial, quantity, unit_fen, payer, warrantor_id,
                         warranty_until, under_warranty_of, note, entered_by, entered_at)
VALUES (%(ticket_id)s, %(kind)s, %(part)s, %(serial)s, %(quantity)s, %(unit_fen)s, %(payer)s,
        %(warrantor_id)s, %(warranty_until)s, %(under_warranty_of)s, %(note)s, %(person_id)s,
        %(now)s)
RETURNING id, amount_fen;

-- name: withdraw_cost
UPDATE ticket_cost SET withdrawn_at = %(now)s
WHERE id = %(id)s AND ticket_id = %(ticket_id)s AND withdrawn_at IS NULL
RETURNING amount_fen, kind, part, payer;

-- name: costs
SELECT c.id, c.kind, c.part, c.serial, c.quantity, c.unit_fen, c.amount_fen, c.payer,
       co.code AS warrantor, c.warranty_until, before.ticket_id AS under_warranty_of, c.note,
       p.login AS entered_by, c.entered_at, c.withdrawn_at
FROM ticket_cost c
JOIN person p ON p.id = c.entered_by
LEFT JOIN company co ON co.id = c.warrantor_id
LEFT JOIN ticket_cost before ON before.id = c.under_warranty_of
WHERE c.ticket_id = %(ticket_id)s ORDER BY c.id;
