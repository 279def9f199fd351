-- Promises of tickets: who has to be told next.

-- name: tickets_in_danger
SELECT id FROM ticket WHERE escalate_at <= %(now)s
ORDER BY escalate_at, id LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED;

-- name: look_again
UPDATE ticket SET escalate_at = %(at)s WHERE id = %(id)s;
