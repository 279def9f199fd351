-- What the OCPP gateway knows of chargers, and what it must know after a restart.

-- name: find_charger
SELECT c.id IS NOT NULL AS known, r.secret_hash, coalesce(s.boot_id IS NOT NULL, false) AS booted,
       coalesce((SELECT array_agg(n.number ORDER BY n.number) FROM connector n
                 WHERE n.charger_id = c.id AND n.active), '{}') AS ports
FROM (VALUES (%(charger)s::text)) AS asked(code)
LEFT JOIN charger c ON c.code = asked.code AND c.active
LEFT JOIN charger_state s ON s.charger_id = c.id
LEFT JOIN ocpp_credential r ON r.charger = asked.code;

-- name: transactions_of
SELECT * FROM (
    SELECT id, own_id, connector, register_wh, ended_at IS NOT NULL AS ended
    FROM ocpp_transaction WHERE charger = %(charger)s ORDER BY id DESC LIMIT 50
) AS newest ORDER BY id;

-- name: resets_of
SELECT k.command_id, k.accepted_at FROM command k JOIN charger c ON c.id = k.charger_id
WHERE c.code = %(charger)s AND k.name = 'reset' AND k.state = 'accepted';

-- name: begin_transaction
INSERT INTO ocpp_transaction (charger, connector, started_at, register_wh)
VALUES (%(charger)s, %(connector)s, %(started_at)s, %(register_wh)s)
ON CONFLICT (charger, connector, started_at, register_wh) WHERE own_id IS NULL
    DO UPDATE SET charger = excluded.charger
RETURNING id;

-- name: begin_own_transaction
INSERT INTO ocpp_transaction (charger, own_id, connector, started_at, register_wh)
VALUES (%(charger)s, %(own_id)s, %(connector)s, %(started_at)s, %(register_wh)s)
ON CONFLICT (charger, own_id) WHERE own_id IS NOT NULL DO NOTHING;

-- name: end_transaction
UPDATE ocpp_transaction SET ended_at = %(now)s
WHERE charger = %(charger)s AND coalesce(own_id, id::text) = %(session)s AND ended_at IS NULL;

-- name: trim_transactions
DELETE FROM ocpp_transaction WHERE started_at < %(before)s;

-- name: set_credential
INSERT INTO ocpp_credential (charger, secret_hash, changed_at)
VALUES (%(charger)s, %(secret_hash)s, %(now)s)
ON CONFLICT (charger) DO UPDATE
    SET secret_hash = excluded.secret_hash, changed_at = excluded.changed_at;

-- name: drop_credential
DELETE FROM ocpp_credential WHERE charger = %(charger)s;

-- name: keep_bad_frame
INSERT INTO quarantine (received_at, topic, payload, size, reason, charger_code)
VALUES (%(now)s, %(topic)s, %(payload)s, %(size)s, %(reason)s, %(charger)s);
