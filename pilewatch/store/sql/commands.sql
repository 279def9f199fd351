-- Orders to chargers: written by people and the engine, sent by an ingester, answered by results.

-- name: try_to_send
SELECT pg_try_advisory_lock(7150, 3) AS sends;

-- name: add_command
-- No row where the same order is under way.
INSERT INTO command (charger_id, connector_id, name, args, person_id, incident_id, ticket_id,
                     reason, on_site, issued_at, expires_at)
VALUES (%(charger_id)s, %(connector_id)s, %(name)s, %(args)s, %(person_id)s, %(incident_id)s,
        %(ticket_id)s, %(reason)s, %(on_site)s, %(now)s, %(expires_at)s)
ON CONFLICT (charger_id, coalesce(connector_id, 0), name)
    WHERE state IN ('queued', 'sent', 'accepted') DO NOTHING
RETURNING id;

-- name: notify
SELECT pg_notify('pilewatch_command', %(payload)s);

-- name: under_way
SELECT id FROM command
WHERE charger_id = %(charger_id)s AND coalesce(connector_id, 0) = coalesce(%(connector_id)s, 0)
  AND name = %(name)s AND state IN ('queued', 'sent', 'accepted');

-- name: expire_commands
-- An answer may still be on its way when the order itself is too old to be obeyed.
WITH late AS (
    SELECT id FROM command
    WHERE (state = 'queued' AND expires_at <= %(now)s)
       OR (state = 'sent' AND expires_at <= %(now)s - %(answer)s)
       OR (state = 'accepted' AND greatest(accepted_at, expires_at) <= %(now)s - %(finish)s)
    ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
), ended AS (
    UPDATE command c SET state = 'expired', ended_at = %(now)s, detail = coalesce(detail,
        CASE c.state WHEN 'queued' THEN 'it was not sent in time'
                     WHEN 'sent' THEN 'the charger did not answer'
                     ELSE 'the charger accepted it and never said how it ended' END)
    FROM late WHERE late.id = c.id
    RETURNING c.id
)
SELECT count(*) AS ended,
       pg_notify('pilewatch_command', CASE WHEN count(*) <= 400
                 THEN string_agg(id::text, ',') ELSE '*' END)::text
FROM ended HAVING count(*) > 0;

-- name: commands_to_send
-- The engine's reset waits for whoever is charging; its expiry ends the waiting.
SELECT c.id, c.command_id, h.code AS charger, n.number AS connector, c.name, c.args, c.issued_at,
       c.expires_at
FROM command c
JOIN charger h ON h.id = c.charger_id
LEFT JOIN connector n ON n.id = c.connector_id
WHERE c.state = 'queued' AND c.expires_at > %(now)s
  AND NOT (c.person_id IS NULL AND c.name = 'reset' AND charger_in_use(c.charger_id))
ORDER BY c.id LIMIT %(limit)s;

-- name: mark_sent
-- An answer may have come before us.
UPDATE command SET sent_at = coalesce(sent_at, %(now)s), detail = NULL,
    state = CASE state WHEN 'queued' THEN 'sent' ELSE state END
WHERE id = ANY(%(ids)s) AND sent_at IS NULL AND ended_at IS NULL
RETURNING pg_notify('pilewatch_command', id::text)::text;

-- name: note_unsent
UPDATE command SET detail = %(detail)s
WHERE id = ANY(%(ids)s) AND state = 'queued' AND detail IS DISTINCT FROM %(detail)s;

-- name: apply_results
-- What the batch says of commands of its own chargers. The first end counts, and `accepted` never
-- opens again what is over: so order and repetition do not matter.
WITH said AS (
    SELECT s.ord, s.charger_id, s.session_id AS command_id, s.reason AS outcome,
           s.data_json::jsonb ->> 'detail' AS detail,
           'epoch'::timestamptz + s.received * interval '1 microsecond' AS at
    FROM staged s WHERE s.kind = 9
), known AS (
    SELECT c.id, s.* FROM said s
    JOIN command c ON c.command_id = s.command_id AND c.charger_id = s.charger_id
), best AS (
    SELECT DISTINCT ON (id) id, outcome, detail, at,
           min(at) FILTER (WHERE outcome = 'accepted') OVER (PARTITION BY id) AS accepted_at
    FROM known
    ORDER BY id, outcome NOT IN ('done', 'failed'), ord
), moved AS (
    UPDATE command c SET
        state = b.outcome,
        detail = coalesce(left(b.detail, 500), CASE WHEN c.state <> 'expired' THEN c.detail END),
        sent_at = coalesce(c.sent_at, b.at),
        accepted_at = coalesce(c.accepted_at, b.accepted_at),
        ended_at = CASE WHEN b.outcome <> 'accepted' THEN b.at END
    FROM best b
    WHERE b.id = c.id AND CASE b.outcome
        WHEN 'accepted' THEN c.state IN ('queued', 'sent')
        WHEN 'rejected' THEN c.state IN ('queued', 'sent', 'expired')
        ELSE c.state NOT IN ('done', 'failed') END
    RETURNING c.id
), told AS (
    SELECT pg_notify('pilewatch_command', CASE WHEN count(*) <= 400
                     THEN string_agg(id::text, ',') ELSE '*' END)::text AS word
    FROM moved HAVING count(*) > 0
)
SELECT (SELECT count(*) FROM said) - (SELECT count(*) FROM known) AS unknown,
       (SELECT count(*) FROM moved) AS moved, (SELECT max(word) FROM told) AS told;

-- name: charger_for_command
-- A charger that this caller may command: of the own company's sites, of the own grids, or with a
-- live ticket that was given to the caller or the caller's company.
SELECT c.id AS charger_id, n.id AS connector_id, c.site_id,
       charger_in_danger(c.id, %(dangers)s, %(now)s) AS danger
FROM charger c
JOIN site s ON s.id = c.site_id
LEFT JOIN connector n ON n.charger_id = c.id AND n.number = %(connector)s AND n.active
WHERE c.code = %(code)s AND c.active
  AND (%(grids)s::bigint[] IS NULL OR s.grid_id = ANY(%(grids)s))
  AND (%(company_id)s::bigint IS NULL OR s.company_id = %(company_id)s OR EXISTS (
      SELECT FROM ticket t
      WHERE t.charger_id = c.id AND t.state NOT IN ('closed', 'rejected', 'merged')
        AND (t.company_id = %(company_id)s OR t.assignee_id = %(person_id)s)));

-- name: commands
-- Newest first, within the caller's scope.
SELECT k.id, k.command_id, c.code AS charger, n.number AS connector, s.code AS site, k.name,
       k.args, k.state, k.reason, k.detail, p.login AS ordered_by, k.on_site,
       k.incident_id AS incident, k.ticket_id AS ticket, k.issued_at, k.expires_at, k.sent_at,
       k.accepted_at, k.ended_at, s.company_id, s.grid_id
FROM command k
JOIN charger c ON c.id = k.charger_id
JOIN site s ON s.id = c.site_id
LEFT JOIN connector n ON n.id = k.connector_id
LEFT JOIN person p ON p.id = k.person_id
WHERE k.id < %(before)s
  AND (%(ids)s::bigint[] IS NULL OR k.id = ANY(%(ids)s))
  AND (%(charger)s::text IS NULL OR c.code = %(charger)s)
  AND (%(grids)s::bigint[] IS NULL OR s.grid_id = ANY(%(grids)s))
  AND (%(company_id)s::bigint IS NULL OR s.company_id = %(company_id)s OR EXISTS (
      SELECT FROM ticket t
      WHERE t.charger_id = c.id AND t.state NOT IN ('closed', 'rejected', 'merged')
        AND (t.company_id = %(company_id)s OR t.assignee_id = %(person_id)s)))
ORDER BY k.id DESC LIMIT %(limit)s;

-- name: ticket_on_charger
-- A live ticket about this charger, or about what it hangs on.
SELECT FROM ticket t
WHERE t.id = %(ticket_id)s AND t.state NOT IN ('closed', 'rejected', 'merged')
  AND (t.charger_id = %(charger_id)s OR (t.charger_id IS NULL AND t.site_id = %(site_id)s));

-- name: begin_self_repair
INSERT INTO self_repair (incident_id, charger_id, began_at)
VALUES (%(incident_id)s, %(charger_id)s, %(now)s)
ON CONFLICT DO NOTHING;

-- name: charger_of
SELECT c.id AS charger_id FROM charger c
WHERE %(subject_kind)s = 'charger' AND c.id = %(subject_id)s
UNION ALL SELECT n.charger_id FROM connector n
WHERE %(subject_kind)s = 'connector' AND n.id = %(subject_id)s;

-- name: live_self_repairs
-- Incidents on trial with what became of their reset.
SELECT i.*, r.charger_id AS repair_charger, r.began_at, r.gone_at, k.state AS reset_state,
       k.issued_at AS ordered_at, coalesce(k.sent_at, k.issued_at) AS reset_at
FROM self_repair r
JOIN incident i ON i.id = r.incident_id
LEFT JOIN command k ON k.id = r.command_id
WHERE r.ended_at IS NULL
ORDER BY r.incident_id FOR NO KEY UPDATE OF r, i;

-- name: self_repair_of
SELECT r.command_id, r.began_at, r.gone_at, k.state AS reset_state, k.issued_at AS ordered_at,
       coalesce(k.sent_at, k.issued_at) AS reset_at
FROM self_repair r LEFT JOIN command k ON k.id = r.command_id
WHERE r.incident_id = %(incident_id)s AND r.ended_at IS NULL
FOR NO KEY UPDATE OF r;

-- name: circumstances
-- All that speaks for and against a reset of this charger now.
SELECT coalesce(h.last_seen_at >= coalesce(h.offline_said_at, '-infinity')
                AND h.last_seen_at > %(now)s - h.heartbeat_s * interval '3 s', false) AS online,
       charger_in_use(c.id) AS in_use,
       charger_in_danger(c.id, %(dangers)s, %(now)s) AS danger,
       EXISTS (SELECT FROM ticket t
               WHERE t.subject_kind = %(subject_kind)s AND t.subject_id = %(subject_id)s
                 AND t.family = %(family)s
                 AND t.state NOT IN ('closed', 'rejected', 'merged')) AS ticketed,
       (SELECT count(*) FROM command k
        WHERE k.charger_id = c.id AND k.name = 'reset' AND k.person_id IS NULL
          AND k.issued_at > %(now)s - interval '24 hours') AS resets_today,
       (SELECT max(k.issued_at) FROM self_repair r JOIN incident o ON o.id = r.incident_id
        JOIN command k ON k.id = r.command_id
        WHERE r.charger_id = c.id AND o.subject_kind = %(subject_kind)s
          AND o.subject_id = %(subject_id)s AND o.family = %(family)s
          AND o.id <> %(incident_id)s) AS last_tried_at,
       (SELECT max(k.id) FROM command k
        WHERE k.charger_id = c.id AND k.name = 'reset' AND k.person_id IS NULL
          AND (k.state IN ('queued', 'sent', 'accepted')
               OR (k.state = 'done' AND k.issued_at >= %(started_at)s))) AS shared
FROM charger c LEFT JOIN charger_state h ON h.charger_id = c.id
WHERE c.id = %(charger_id)s;

-- name: attach_reset
UPDATE self_repair SET command_id = %(command_id)s WHERE incident_id = %(incident_id)s;

-- name: note_gone
UPDATE self_repair SET gone_at = %(gone_at)s WHERE incident_id = %(incident_id)s;

-- name: end_self_repair
UPDATE self_repair SET ended_at = %(now)s, outcome = %(outcome)s, reason = %(reason)s
WHERE incident_id = %(incident_id)s AND ended_at IS NULL;

-- name: reset_history
-- The engine's resets because of this matter that its ticket does not tell yet, oldest first.
SELECT DISTINCT ON (k.id) k.id, k.issued_at, k.state, k.detail, r.outcome, r.reason
FROM self_repair r
JOIN incident o ON o.id = r.incident_id
JOIN command k ON k.id = r.command_id
WHERE o.subject_kind = %(subject_kind)s AND o.subject_id = %(subject_id)s
  AND o.family = %(family)s AND k.issued_at > %(since)s
  AND NOT EXISTS (
      SELECT FROM ticket_entry e WHERE e.ticket_id = %(ticket_id)s AND e.action = 'reset-tried'
        AND (e.data ->> 'command')::bigint = k.id)
ORDER BY k.id, r.incident_id;

-- name: link_ticket
UPDATE command SET ticket_id = coalesce(ticket_id, %(ticket_id)s) WHERE id = %(id)s;
