-- Planned downtime explains incidents; a silence keeps notifications back.

CREATE TABLE downtime (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scope_kind   text NOT NULL CHECK (scope_kind IN
                     ('area', 'grid', 'site', 'gateway', 'charger', 'connector')),
    scope_id     bigint NOT NULL,
    kind         text NOT NULL CHECK (kind IN ('power-cut', 'maintenance')),
    from_at      timestamptz NOT NULL,
    to_at        timestamptz NOT NULL,
    reason       text NOT NULL,
    reference    text,
    entered_by   bigint NOT NULL REFERENCES person,
    entered_at   timestamptz NOT NULL,
    cancelled_at timestamptz,
    CHECK (to_at > from_at)
);
COMMENT ON COLUMN downtime.reference IS 'the document that announced it';
CREATE INDEX downtime_scope ON downtime (scope_kind, scope_id) WHERE cancelled_at IS NULL;

ALTER TABLE incident
    ADD COLUMN planned_by    bigint REFERENCES downtime,
    ADD COLUMN planned_until timestamptz;
COMMENT ON COLUMN incident.planned_by IS 'the downtime that explains it, kept for the figures';
COMMENT ON COLUMN incident.planned_until IS
    'no ticket and no notification until then; null once it is an ordinary incident';
CREATE INDEX incident_planned ON incident (planned_until) WHERE planned_until IS NOT NULL;
CREATE INDEX incident_planned_by ON incident (planned_by) WHERE planned_by IS NOT NULL;

-- Everything that a subject is a part of, itself included.
CREATE FUNCTION scopes_of(subject_kind text, subject_id bigint)
RETURNS TABLE (scope_kind text, scope_id bigint) LANGUAGE sql STABLE AS $$
    WITH place AS (
        SELECT n.id AS connector_id, c.id::bigint AS charger_id, c.gateway_id, c.site_id
        FROM connector n JOIN charger c ON c.id = n.charger_id
        WHERE scopes_of.subject_kind = 'connector' AND n.id = scopes_of.subject_id
        UNION ALL SELECT NULL, c.id, c.gateway_id, c.site_id FROM charger c
        WHERE scopes_of.subject_kind = 'charger' AND c.id = scopes_of.subject_id
        UNION ALL SELECT NULL, NULL, w.id, w.site_id FROM gateway w
        WHERE scopes_of.subject_kind = 'gateway' AND w.id = scopes_of.subject_id
        UNION ALL SELECT NULL, NULL, NULL, s.id FROM site s
        WHERE scopes_of.subject_kind = 'site' AND s.id = scopes_of.subject_id
    )
    SELECT v.kind, v.id
    FROM place p JOIN site s ON s.id = p.site_id JOIN grid g ON g.id = s.grid_id
    CROSS JOIN LATERAL (VALUES
        ('connector', p.connector_id), ('charger', p.charger_id), ('gateway', p.gateway_id),
        ('site', p.site_id), ('grid', g.id), ('area', g.area_id)) v(kind, id)
    WHERE v.id IS NOT NULL
$$;

CREATE TABLE silence (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site_id    bigint REFERENCES site,
    charger_id integer REFERENCES charger,
    code       text,
    severity   smallint CHECK (severity BETWEEN 1 AND 3),
    from_at    timestamptz NOT NULL,
    to_at      timestamptz NOT NULL,
    reason     text NOT NULL,
    entered_by bigint NOT NULL REFERENCES person,
    entered_at timestamptz NOT NULL,
    CHECK (to_at >= from_at),
    CHECK (num_nonnulls(site_id, charger_id, code, severity) > 0)
);
CREATE INDEX silence_to ON silence (to_at);

ALTER TABLE outbox ADD COLUMN silence_id bigint REFERENCES silence;
COMMENT ON COLUMN outbox.silence_id IS 'what held it back until due_at';

-- The silence that holds a notification about this back, the longest one where there are several.
-- Danger to people is silenced only by a silence that names severity 1.
CREATE FUNCTION silence_over(
    subject_kind text, subject_id bigint, code text, severity integer, moment timestamptz
) RETURNS TABLE (id bigint, to_at timestamptz) LANGUAGE sql STABLE AS $$
    SELECT q.id, q.to_at FROM silence q
    WHERE q.from_at <= moment AND q.to_at > moment
      AND (q.code IS NULL OR q.code = silence_over.code)
      AND (q.severity = silence_over.severity
           OR (q.severity IS NULL AND silence_over.severity > 1))
      AND (q.site_id IS NULL OR ('site', q.site_id) IN (
          SELECT s.scope_kind, s.scope_id
          FROM scopes_of(silence_over.subject_kind, silence_over.subject_id) s))
      AND (q.charger_id IS NULL OR ('charger', q.charger_id) IN (
          SELECT s.scope_kind, s.scope_id
          FROM scopes_of(silence_over.subject_kind, silence_over.subject_id) s))
    ORDER BY q.to_at DESC, q.id LIMIT 1
$$;
