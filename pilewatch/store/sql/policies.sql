-- Policies written on the page, their trials on history, and which of them is in force.

-- name: in_force
SELECT id, text FROM policy_draft WHERE saved_at IS NOT NULL ORDER BY saved_at DESC, id DESC LIMIT 1;

-- name: add_draft
INSERT INTO policy_draft (text, written_by, written_at, from_at, to_at)
VALUES (%(text)s, %(person_id)s, %(now)s, %(from_at)s, %(to_at)s) RETURNING id;

-- name: drafts
SELECT d.id, d.text, d.written_at, d.from_at, d.to_at, d.state, d.progress, d.result, d.problem,
       d.saved_at, w.name AS writer, s.name AS saver
FROM policy_draft d
JOIN person w ON w.id = d.written_by
LEFT JOIN person s ON s.id = d.saved_by
WHERE (%(id)s::bigint IS NULL OR d.id = %(id)s) AND d.id < %(before)s
ORDER BY d.id DESC LIMIT %(limit)s;

-- name: save_draft
-- Once, and only what has been tried to the end.
UPDATE policy_draft SET saved_at = %(now)s, saved_by = %(person_id)s
WHERE id = %(id)s AND state = 'done' AND saved_at IS NULL
RETURNING id;

-- name: claim_draft
-- The oldest that waits, or whose trier gave no sign of life for a minute.
UPDATE policy_draft SET state = 'running', progress = 0, alive_at = %(now)s
WHERE id = (
    SELECT id FROM policy_draft
    WHERE state = 'queued'
       OR (state = 'running' AND alive_at < %(now)s - interval '60 s')
    ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING id, text, from_at, to_at;

-- name: note_progress
UPDATE policy_draft SET progress = %(progress)s, alive_at = %(now)s
WHERE id = %(id)s AND state = 'running';

-- name: end_trial
UPDATE policy_draft SET state = %(state)s, progress = 1, result = %(result)s, problem = %(problem)s
WHERE id = %(id)s AND state = 'running';
