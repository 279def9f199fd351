-- History to be played again, and what became of it. Reads only, but for the last one.

-- name: seed
-- What was last said before the beginning: each port's status, each charger's greeting.
SELECT DISTINCT ON (charger_id, connector, kind) *
FROM observation
WHERE kind IN (1, 7) AND received_at < %(begins)s
ORDER BY charger_id, connector, kind, observed_at DESC, seq DESC;

-- name: history
SELECT * FROM observation
WHERE received_at >= %(begins)s AND received_at < %(ends)s
ORDER BY received_at, observed_at, seq, charger_id, connector;

-- name: reports
SELECT reported_at AS at, source, site_id, charger_id, connector_id, code FROM report
WHERE reported_at >= %(begins)s AND reported_at < %(ends)s AND ticket_id IS NOT NULL
ORDER BY id;

-- name: inspections
SELECT received_at AS at, id, charger_id, connector_id, person_id, inspected_at, passed,
       test_charge
FROM inspection
WHERE received_at >= %(begins)s AND received_at < %(ends)s ORDER BY received_at, id;

-- name: actions
-- What people did with tickets.
SELECT e.at, e.action, e.person_id, e.note, e.data, t.subject_kind, t.subject_id, t.family
FROM ticket_entry e JOIN ticket t ON t.id = e.ticket_id
WHERE e.actor_kind <> 'engine'
  AND e.action IN ('assigned', 'reassigned', 'accepted', 'started', 'claimed', 'rejected',
                   'reopened')
  AND e.at >= %(begins)s AND e.at < %(ends)s ORDER BY e.id;

-- name: latest_ticket
SELECT id FROM ticket
WHERE subject_kind = %(subject_kind)s AND subject_id = %(subject_id)s AND family = %(family)s
ORDER BY id DESC LIMIT 1;

-- name: tickets
-- Tickets that lived at some time of the range. What the engine cannot hear again from history
-- is not replayed: a charger's wrong clock, and alerts of other programs.
SELECT t.subject_kind, t.subject_id, t.code, t.family, t.severity, t.state, t.opened_at,
       t.closed_at, i.began_at, coalesce(i.opened_at, t.opened_at) AS detected_at,
       concat_ws(' ', s.code, c.code, n.number) AS place,
       t.family = 'clock' OR coalesce(i.outside, false) AS unreplayable
FROM ticket t
JOIN site s ON s.id = t.site_id
LEFT JOIN charger c ON c.id = t.charger_id
LEFT JOIN connector n ON n.id = t.connector_id
LEFT JOIN LATERAL (
    SELECT min(started_at) AS began_at, min(opened_at) AS opened_at,
           bool_or(detector = 'alertmanager') AS outside
    FROM incident WHERE ticket_id = t.id
) i ON true
WHERE t.opened_at < %(ends)s AND coalesce(t.closed_at, 'infinity') >= %(begins)s
ORDER BY t.opened_at, t.id;

-- name: spared
-- Faults that a reset, or the wait for it, spared a ticket.
SELECT i.subject_kind, i.subject_id, i.family, i.opened_at, i.ended_at
FROM self_repair r JOIN incident i ON i.id = r.incident_id
WHERE r.outcome IN ('cured', 'cleared') AND i.opened_at < %(ends)s
  AND coalesce(i.ended_at, 'infinity') >= %(begins)s;

-- name: show_listener
INSERT INTO listener (client_id, since, alive_at) VALUES ('backtest', %(since)s, %(now)s)
ON CONFLICT (client_id) DO UPDATE SET alive_at = excluded.alive_at;
