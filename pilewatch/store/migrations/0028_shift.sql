-- Who is on duty when, and what is left for whoever follows.

CREATE TABLE shift (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    person_id    bigint NOT NULL REFERENCES person,
    scope_kind   text CHECK (scope_kind IN ('area', 'grid', 'site')),
    scope_id     bigint,
    from_at      timestamptz NOT NULL,
    to_at        timestamptz NOT NULL,
    note         text,
    noted_at     timestamptz,
    entered_by   bigint NOT NULL REFERENCES person,
    entered_at   timestamptz NOT NULL,
    cancelled_at timestamptz,
    CHECK (to_at > from_at),
    CHECK (num_nonnulls(scope_kind, scope_id) IN (0, 2)),
    CHECK (num_nonnulls(note, noted_at) IN (0, 2))
);
COMMENT ON COLUMN shift.scope_kind IS 'null: for all sites';
COMMENT ON COLUMN shift.note IS 'the hand-over: what whoever follows should know';
CREATE INDEX shift_to ON shift (to_at) WHERE cancelled_at IS NULL;
