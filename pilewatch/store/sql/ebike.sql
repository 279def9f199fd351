-- What the e-bike gateway and tap keep; see docs/dialects/ebike-dny.md.

-- name: find_devices
-- Under which code each device publishes; null for a host that the registry has as a gateway.
SELECT a.name, c.code AS charger, g.code AS gateway
FROM unnest(%(names)s::text[]) AS a(name)
LEFT JOIN charger c ON c.active AND (c.device = a.name OR c.code = a.name)
LEFT JOIN gateway g ON g.device = a.name;

-- name: find_held
SELECT physical_id, source, port, code, text, since FROM ebike_held
WHERE physical_id = ANY(%(physical_ids)s) ORDER BY since, source, port;

-- name: keep_settlements
-- The new ones among these come back; a repeat is there already.
INSERT INTO ebike_settlement (physical_id, key, session_id, charger, messages, heard_at)
SELECT r.physical_id, r.key, r.session_id, r.charger, r.messages, r.heard_at
FROM jsonb_to_recordset(%(rows)s) AS r(
    physical_id bigint, key bigint, session_id text, charger text, messages jsonb,
    heard_at timestamptz)
ON CONFLICT DO NOTHING
RETURNING id, physical_id, key, session_id;

-- name: drop_held
DELETE FROM ebike_held WHERE physical_id = ANY(%(physical_ids)s);

-- name: keep_held
INSERT INTO ebike_held (physical_id, source, port, code, text, since)
SELECT * FROM jsonb_to_recordset(%(rows)s) AS r(
    physical_id bigint, source text, port smallint, code text, text text, since timestamptz);

-- name: waiting_settlements
SELECT id, charger, messages FROM ebike_settlement
WHERE published_at IS NULL AND id > %(after)s ORDER BY id LIMIT %(limit)s;

-- name: mark_published
UPDATE ebike_settlement SET published_at = %(now)s WHERE id = ANY(%(ids)s);

-- name: drop_old_settlements
DELETE FROM ebike_settlement
WHERE heard_at < %(before)s AND published_at IS NOT NULL;
