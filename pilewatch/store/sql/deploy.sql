-- What the `pilewatch` command and the demo ask for.

-- name: person_by_login
SELECT id FROM person WHERE login = %(login)s;

-- name: all_grids
SELECT code FROM grid ORDER BY code;

-- name: revoke_keys
UPDATE api_key SET revoked_at = %(now)s
WHERE person_id = %(person_id)s AND label = %(label)s AND revoked_at IS NULL;

-- name: last_notification
SELECT coalesce(max(id), 0) AS id FROM outbox;

-- name: notifications_since
-- Everything that was decided, in order, in the words of the registry. Ids are given before the
-- commit, so that a later one may be seen first: a few are asked for once more.
SELECT o.id, o.topic, o.payload, o.created_at, s.code AS site, s.name AS site_name,
       g.code AS gateway, c.code AS charger, n.number AS connector, t.deadline_at,
       e.note, e.data, t.evidence
FROM outbox o
LEFT JOIN ticket t ON t.id = (o.payload->>'ticket')::bigint
LEFT JOIN ticket_entry e
    ON e.id = CASE WHEN o.topic LIKE 'ticket.%%' THEN split_part(o.key, '/', 3)::bigint END
LEFT JOIN incident i ON i.id = (o.payload->>'incident')::bigint
LEFT JOIN site s ON s.id = coalesce(t.site_id, i.site_id)
LEFT JOIN gateway g ON coalesce(t.subject_kind, i.subject_kind) = 'gateway'
    AND g.id = coalesce(t.subject_id, i.subject_id)
LEFT JOIN charger c ON c.id = coalesce(t.charger_id, i.charger_id)
LEFT JOIN connector n ON n.id = coalesce(t.connector_id, i.connector_id)
WHERE o.id > %(after)s
ORDER BY o.id LIMIT 500;
