-- What others may know: places in full, what was told of them when, and who asked to be told.

ALTER TABLE site
    ADD COLUMN IF NOT EXISTS opening_hours text,
    ADD COLUMN city        text,
    ADD COLUMN postal_code text;
COMMENT ON COLUMN site.opening_hours IS
    '24/7, or as Mo-Fr 08:00-20:00; Sa 09:00-18:00; null: not known, taken as always';
ALTER TABLE connector
    ADD COLUMN plug          text,
    ADD COLUMN power_type    text CHECK (power_type IN ('AC_1_PHASE', 'AC_3_PHASE', 'DC')),
    ADD COLUMN max_voltage_v double precision CHECK (max_voltage_v > 0),
    ADD COLUMN max_current_a double precision CHECK (max_current_a > 0);
COMMENT ON COLUMN connector.plug IS 'ConnectorType of OCPI 2.2.1; null: as usual for the kind';

-- What has been told to others, and since when: `told` changes only where something has changed.
CREATE TABLE told_site (
    site_id    bigint PRIMARY KEY REFERENCES site ON DELETE CASCADE,
    told       bytea NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE TABLE told_connector (
    connector_id bigint PRIMARY KEY REFERENCES connector ON DELETE CASCADE,
    site_id      bigint NOT NULL,
    status       text NOT NULL,
    told         bytea NOT NULL,
    equipped_at  timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL
);
COMMENT ON COLUMN told_connector.status IS 'of OCPI';
COMMENT ON COLUMN told_connector.equipped_at IS 'when the equipment itself changed';
CREATE INDEX told_connector_site ON told_connector (site_id, updated_at);

-- One row: when it was last looked whether anything has changed.
CREATE TABLE telling (told_at timestamptz NOT NULL);
INSERT INTO telling VALUES ('-infinity');

-- Parties that read our locations, and those of them that want changes pushed.
CREATE TABLE ocpi_party (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL UNIQUE,
    hash       bytea NOT NULL UNIQUE,
    push_url   text,
    push_token text,
    created_at timestamptz NOT NULL,
    ended_at   timestamptz,
    CHECK ((push_url IS NULL) = (push_token IS NULL))
);
COMMENT ON COLUMN ocpi_party.hash IS 'SHA-256 of the token that this party shows to us';
COMMENT ON COLUMN ocpi_party.push_token IS 'what we show to this party; never told by the API';

CREATE TABLE webhook (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    url        text NOT NULL,
    secret     text NOT NULL,
    topics     text[] NOT NULL CHECK (topics <> '{}'),
    sites      text[] NOT NULL DEFAULT '{}',
    company_id bigint REFERENCES company,
    active     boolean NOT NULL DEFAULT true,
    created_by bigint NOT NULL REFERENCES person,
    created_at timestamptz NOT NULL,
    ended_at   timestamptz,
    version    integer NOT NULL DEFAULT 1
);
COMMENT ON COLUMN webhook.secret IS 'signs what is sent; told once, when it is made';
COMMENT ON COLUMN webhook.company_id IS 'only matters of this company; null: all';

-- Somebody waits for a free port: no name, no address, only the hash of the page's secret.
CREATE TABLE waiter (
    hash       bytea PRIMARY KEY,
    site_id    bigint NOT NULL REFERENCES site ON DELETE CASCADE,
    since      timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    free_at    timestamptz
);
CREATE INDEX waiter_waiting ON waiter (site_id) WHERE free_at IS NULL;
CREATE INDEX waiter_expires ON waiter (expires_at);

-- Word from other cities' apps.
DO $$ BEGIN
    IF pg_get_constraintdef((SELECT oid FROM pg_constraint WHERE conname = 'report_source_check'
                             AND conrelid = 'report'::regclass)) NOT LIKE '%open311%' THEN
        ALTER TABLE report DROP CONSTRAINT report_source_check,
            ADD CHECK (source IN ('page', 'phone', 'meeting', 'open311'));
    END IF;
END $$;
CREATE INDEX IF NOT EXISTS report_reported ON report (reported_at);
