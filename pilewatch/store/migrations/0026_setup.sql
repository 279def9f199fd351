-- The first steps of an installation: who becomes its first admin, and messages to try the way out.
CREATE TABLE setup_code (
    hash       bytea PRIMARY KEY,
    expires_at timestamptz NOT NULL
);
COMMENT ON TABLE setup_code IS 'opens /setup while nobody can log in; SHA-256, told once';
CREATE TABLE message_test (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    person_id bigint NOT NULL REFERENCES person,
    asked_at  timestamptz NOT NULL,
    done_at   timestamptz,
    results   jsonb NOT NULL DEFAULT '[]'
);
COMMENT ON COLUMN message_test.results IS '[{"receiver": …, "problem": null or why it was not sent}]';
