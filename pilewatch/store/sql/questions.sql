-- "Does it charge now?": questions to those who have reported a ticket's matter.

-- name: questions_of
SELECT ticket_id, round, kind, due_at, answered_at, charges FROM question
WHERE report_id = %(report_id)s ORDER BY id;

-- name: plan_questions
INSERT INTO question (report_id, ticket_id, round, kind, due_at)
SELECT r.id, %(ticket_id)s, %(round)s, q.kind, q.due_at
FROM report r
CROSS JOIN (VALUES ('now', %(now)s::timestamptz), ('later', %(later)s)) q(kind, due_at)
WHERE r.ticket_id = %(ticket_id)s
ORDER BY r.id, q.due_at
ON CONFLICT (report_id, ticket_id, round, kind) DO NOTHING;

-- name: withdraw_questions
DELETE FROM question WHERE ticket_id = %(ticket_id)s AND answered_at IS NULL;

-- name: keep_answer
INSERT INTO question AS q (report_id, ticket_id, round, kind, due_at, asked_at, answered_at,
                           charges)
VALUES (%(report_id)s, %(ticket_id)s, %(round)s, %(kind)s, %(now)s, %(now)s, %(now)s, %(charges)s)
ON CONFLICT (report_id, ticket_id, round, kind) DO UPDATE SET
    answered_at = excluded.answered_at, charges = excluded.charges,
    asked_at = coalesce(q.asked_at, excluded.asked_at);

-- name: ask_due
UPDATE question q SET asked_at = %(now)s
FROM (
    SELECT d.id FROM question d WHERE d.asked_at IS NULL AND d.due_at <= %(now)s
    ORDER BY d.due_at, d.id LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED
) due
JOIN question d ON d.id = due.id
JOIN report r ON r.id = d.report_id
LEFT JOIN report_contact c ON c.report_id = r.id AND r.ticket_id = d.ticket_id
WHERE q.id = due.id
RETURNING q.id, q.report_id, q.ticket_id, q.kind, c.kind AS way;

-- name: add_outbox
WITH told AS (
    INSERT INTO outbox (key, topic, payload, created_at, due_at)
    VALUES (%(key)s, %(topic)s, %(payload)s, %(now)s, %(now)s)
    ON CONFLICT DO NOTHING
)
SELECT pg_notify('pilewatch_outbox', '');
