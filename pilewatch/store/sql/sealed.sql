-- Every secret that is kept sealed: read by piece and locked, to be closed by another key.

-- name: webhooks
SELECT id, secret AS kept FROM webhook WHERE secret <> '' AND id > %(after)s
ORDER BY id LIMIT %(limit)s FOR UPDATE;

-- name: renew_webhooks
UPDATE webhook SET secret = %(kept)s WHERE id = %(id)s;

-- name: ocpi_parties
SELECT id, push_token AS kept FROM ocpi_party WHERE push_token IS NOT NULL AND id > %(after)s
ORDER BY id LIMIT %(limit)s FOR UPDATE;

-- name: renew_ocpi_parties
UPDATE ocpi_party SET push_token = %(kept)s WHERE id = %(id)s;

-- name: second_factors
SELECT id, totp_secret AS kept FROM person WHERE totp_secret IS NOT NULL AND id > %(after)s
ORDER BY id LIMIT %(limit)s FOR UPDATE;

-- name: renew_second_factors
UPDATE person SET totp_secret = %(kept)s WHERE id = %(id)s;

-- name: contacts
SELECT report_id AS id, convert_from(sealed, 'UTF8') AS kept FROM report_contact
WHERE report_id > %(after)s ORDER BY report_id LIMIT %(limit)s FOR UPDATE;

-- name: renew_contacts
UPDATE report_contact SET sealed = convert_to(%(kept)s, 'UTF8') WHERE report_id = %(id)s;
