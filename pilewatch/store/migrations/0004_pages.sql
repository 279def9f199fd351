-- What the pages need: attempts to log in, and what a resident is told of a port.

-- Attempts that have not succeeded, for a short time. The login name is kept as its SHA-256:
-- people type passwords into the wrong field.
CREATE TABLE login_attempt (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL,
    login   bytea NOT NULL,
    address text NOT NULL
);
CREATE INDEX login_attempt_at ON login_attempt (at);
CREATE INDEX login_session_person ON login_session (person_id);

-- A port in a resident's words: free, busy, reported, broken, off, unknown. `stopping` are the
-- fault codes that put a port out of order. A port that somebody has reported, and nobody claims
-- to have repaired, is not called free.
CREATE FUNCTION port_now(moment timestamptz, stopping text[]) RETURNS TABLE (
    connector_id bigint, charger_id integer, site_id bigint, number smallint, shown text,
    errors jsonb, heard_at timestamptz
) LANGUAGE sql STABLE AS $$
    SELECT k.connector_id, k.charger_id, k.site_id, k.number,
           CASE
               WHEN k.status = 'unknown' THEN 'unknown'
               WHEN k.status = 'faulted' OR EXISTS (
                   SELECT FROM jsonb_array_elements(k.errors) e WHERE e ->> 'code' = ANY(stopping)
               ) THEN 'broken'
               WHEN k.status = 'unavailable' THEN 'off'
               WHEN k.status <> 'available' THEN 'busy'
               WHEN EXISTS (
                   SELECT FROM ticket t
                   WHERE t.state NOT IN ('closed', 'rejected', 'merged')
                     AND t.state NOT IN ('repaired', 'verified') AND t.code = ANY(stopping)
                     AND ((t.subject_kind = 'connector' AND t.subject_id = k.connector_id)
                          OR (t.subject_kind = 'charger' AND t.subject_id = k.charger_id))
               ) THEN 'reported'
               ELSE 'free'
           END,
           k.errors, k.heard_at
    FROM connector_now(moment) k
$$;
