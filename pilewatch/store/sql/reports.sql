-- What residents say, show, and leave of themselves.

-- name: form_key
SELECT key FROM form_key LIMIT 1;

-- name: one_at_a_time
SELECT pg_advisory_xact_lock(7151, hashtext(%(id)s));

-- name: add_report
INSERT INTO report (receipt, source, site_id, charger_id, connector_id, code, note, reported_at,
                    ticket_id, entered_by, said, doubt)
VALUES (%(receipt)s, %(source)s, %(site_id)s, %(charger_id)s, %(connector_id)s, %(code)s,
        %(note)s, %(now)s, %(ticket_id)s, %(entered_by)s, %(said)s, %(doubt)s)
RETURNING id;

-- name: recent_words
SELECT (SELECT count(*) FROM report r
        WHERE r.said = %(said)s AND r.reported_at > %(day)s) AS same_text,
       (SELECT count(*) FROM report r
        WHERE r.charger_id = %(charger_id)s AND r.reported_at > %(window)s
          AND r.source = ANY(%(public)s) AND r.entered_by IS NULL) AS same_charger;

-- name: reports_of_ticket
SELECT count(*) AS reports FROM report WHERE ticket_id = %(ticket_id)s;

-- name: report_by_receipt
SELECT r.*, t.state, coalesce(t.reopened, 0) AS round,
       EXISTS (SELECT FROM report_contact k WHERE k.report_id = r.id) AS contact,
       array(SELECT p.number FROM report_photo p WHERE p.report_id = r.id ORDER BY p.number)
           AS photos
FROM report r LEFT JOIN ticket t ON t.id = r.ticket_id
WHERE r.receipt = %(receipt)s;

-- name: lock_report
SELECT * FROM report WHERE id = %(id)s FOR NO KEY UPDATE;

-- name: review_report
UPDATE report SET reviewed_at = %(now)s, reviewed_by = %(person_id)s, accepted = %(accepted)s
WHERE id = %(id)s;

-- name: reports
-- Newest first, as this caller may see them: a company those of its tickets, and those of its
-- sites that have no ticket yet.
SELECT r.id, r.source, r.code, r.note, r.reported_at, r.ticket_id, r.doubt, r.reviewed_at,
       r.accepted, s.code AS site, c.code AS charger, n.number AS connector,
       p.login AS entered_by,
       EXISTS (SELECT FROM report_contact k WHERE k.report_id = r.id) AS contact,
       array(SELECT f.number FROM report_photo f WHERE f.report_id = r.id ORDER BY f.number)
           AS photos
FROM report r
JOIN site s ON s.id = r.site_id
LEFT JOIN charger c ON c.id = r.charger_id
LEFT JOIN connector n ON n.id = r.connector_id
LEFT JOIN person p ON p.id = r.entered_by
LEFT JOIN ticket t ON t.id = r.ticket_id
WHERE r.id < %(before)s
  AND (%(id)s::bigint IS NULL OR r.id = %(id)s)
  AND (%(ticket)s::bigint IS NULL OR r.ticket_id = %(ticket)s)
  AND (%(source)s::text IS NULL OR r.source = %(source)s)
  AND (NOT %(to_review)s OR (r.doubt <> '{}' AND r.reviewed_at IS NULL))
  AND (%(company_id)s::bigint IS NULL OR t.assignee_id = %(person_id)s
       OR s.company_id = %(owner_id)s
       OR CASE WHEN t.id IS NULL THEN s.company_id ELSE t.company_id END = %(company_id)s)
  AND (%(grids)s::bigint[] IS NULL OR s.grid_id = ANY(%(grids)s))
ORDER BY r.id DESC LIMIT %(limit)s;

-- name: room_for_photo
SELECT count(*) AS photos, coalesce(max(number), 0) + 1 AS number,
       max(number) FILTER (WHERE sent = %(sent)s) AS same
FROM report_photo WHERE report_id = %(report_id)s;

-- name: add_photo
INSERT INTO report_photo (report_id, number, added_at, sent, width, height, jpeg)
VALUES (%(report_id)s, %(number)s, %(now)s, %(sent)s, %(width)s, %(height)s, %(jpeg)s);

-- name: photo
SELECT jpeg FROM report_photo WHERE report_id = %(report_id)s AND number = %(number)s;

-- name: keep_contact
INSERT INTO report_contact (report_id, kind, sealed, kept_at)
VALUES (%(report_id)s, %(kind)s, %(sealed)s, %(now)s)
ON CONFLICT (report_id) DO UPDATE SET
    kind = excluded.kind, sealed = excluded.sealed, kept_at = excluded.kept_at;

-- name: contact_of
SELECT sealed FROM report_contact WHERE report_id = %(report_id)s;

-- name: erase_contact
DELETE FROM report_contact WHERE report_id = %(report_id)s RETURNING report_id;

-- name: erase_contacts
-- A merged ticket is never a report's own: its reports have moved on. What nobody reviews is not
-- kept for ever either.
DELETE FROM report_contact k
USING report r LEFT JOIN ticket t ON t.id = r.ticket_id
WHERE r.id = k.report_id
  AND (CASE WHEN t.id IS NULL THEN coalesce(r.reviewed_at, r.reported_at) <= %(before)s
       ELSE t.state IN ('closed', 'rejected') AND t.closed_at <= %(before)s END)
RETURNING k.report_id;
