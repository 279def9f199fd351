-- Programs that are told by HTTP: subscriptions made by the API, and parties of OCPI.

-- name: webhooks
SELECT w.id, w.url, w.topics, w.sites, c.code AS company, w.active, p.login AS created_by,
       w.created_at, w.version,
       (SELECT count(*) FROM delivery d WHERE d.receiver = 'hook-' || w.id
                                          AND d.sent_at IS NULL AND d.dead_at IS NULL) AS waiting,
       (SELECT count(*) FROM delivery d WHERE d.receiver = 'hook-' || w.id
                                          AND d.dead_at IS NOT NULL) AS dead
FROM webhook w
JOIN person p ON p.id = w.created_by
LEFT JOIN company c ON c.id = w.company_id
WHERE w.ended_at IS NULL AND w.id < %(before)s
  AND (%(id)s::bigint IS NULL OR w.id = %(id)s)
  AND (%(company_id)s::bigint IS NULL OR w.company_id = %(company_id)s)
  AND (%(grids)s::bigint[] IS NULL OR w.sites <> '{}' AND NOT EXISTS (
      SELECT FROM unnest(w.sites) AS named(code) WHERE NOT EXISTS (
          SELECT FROM site s WHERE s.code = named.code AND s.grid_id = ANY(%(grids)s))))
ORDER BY w.id DESC LIMIT %(limit)s;

-- name: add_webhook
INSERT INTO webhook (url, secret, topics, sites, company_id, created_by, created_at)
VALUES (%(url)s, %(secret)s, %(topics)s, %(sites)s, %(company_id)s, %(person_id)s, %(now)s)
RETURNING id;

-- name: change_webhook
UPDATE webhook SET url = %(url)s, topics = %(topics)s, sites = %(sites)s, active = %(active)s,
                   version = version + 1
WHERE id = %(id)s AND ended_at IS NULL;

-- name: lock_webhook
SELECT version FROM webhook WHERE id = %(id)s AND ended_at IS NULL FOR UPDATE;

-- name: end_webhook
WITH ended AS (
    UPDATE webhook SET ended_at = %(now)s, active = false, secret = '' WHERE id = %(id)s
)
UPDATE delivery SET dead_at = %(now)s, last_error = 'the webhook was ended'
WHERE receiver = 'hook-' || %(id)s AND sent_at IS NULL AND dead_at IS NULL;

-- name: replay_webhook
-- Sent again with the same key, in order; gives how many.
WITH again AS (
    UPDATE delivery d SET due_at = %(now)s, sent_at = NULL, dead_at = NULL, attempts = 0,
                          last_error = NULL
    FROM outbox o
    WHERE o.id = d.outbox_id AND d.receiver = 'hook-' || %(id)s AND o.created_at >= %(from_at)s
    RETURNING d.outbox_id
), reopened AS (
    UPDATE outbox SET sent_at = NULL WHERE id IN (SELECT outbox_id FROM again)
)
SELECT count(*) AS messages FROM again;

-- name: unknown_sites
SELECT code FROM unnest(%(sites)s::text[]) AS code
WHERE NOT EXISTS (
    SELECT FROM site s WHERE s.code = code.code
      AND (%(company_id)s::bigint IS NULL OR s.company_id = %(company_id)s)
      AND (%(grids)s::bigint[] IS NULL OR s.grid_id = ANY(%(grids)s)));

-- name: subscribed_webhooks
SELECT w.id, w.url, w.secret, w.topics, w.sites, c.code AS company
FROM webhook w LEFT JOIN company c ON c.id = w.company_id
WHERE w.ended_at IS NULL ORDER BY w.id;

-- name: paused_webhooks
SELECT id FROM webhook WHERE NOT active AND ended_at IS NULL;

-- name: subscribed_parties
SELECT id, push_url, push_token FROM ocpi_party
WHERE push_url IS NOT NULL AND ended_at IS NULL ORDER BY id;

-- name: parties
SELECT id, name, push_url, created_at, registered_at, roles FROM ocpi_party
WHERE ended_at IS NULL AND id < %(before)s AND (%(id)s::bigint IS NULL OR id = %(id)s)
ORDER BY id DESC LIMIT %(limit)s;

-- name: add_party
INSERT INTO ocpi_party (name, hash, push_url, push_token, created_at)
VALUES (%(name)s, %(hash)s, %(push_url)s, %(push_token)s, %(now)s)
ON CONFLICT DO NOTHING RETURNING id;

-- name: end_party
WITH ended AS (
    UPDATE ocpi_party SET ended_at = %(now)s, name = name || ' (' || id || ')',
                          push_url = NULL, push_token = NULL
    WHERE id = %(id)s AND ended_at IS NULL
)
UPDATE delivery SET dead_at = %(now)s, last_error = 'the party was ended'
WHERE receiver = 'ocpi-' || %(id)s AND sent_at IS NULL AND dead_at IS NULL;

-- name: party_by_token
SELECT id, name, registered_at FROM ocpi_party WHERE hash = %(hash)s AND ended_at IS NULL;

-- name: register_party
-- Once for each token: it is replaced by this. `again` where the party had registered before.
UPDATE ocpi_party SET hash = %(new_hash)s, registered_at = %(now)s, versions_url = %(versions_url)s,
                      roles = %(roles)s, push_url = %(push_url)s, push_token = %(push_token)s
WHERE id = %(id)s AND hash = %(hash)s AND ended_at IS NULL
  AND (registered_at IS NOT NULL) = %(again)s
RETURNING id;
