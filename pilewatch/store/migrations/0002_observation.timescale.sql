-- TimescaleDB: a hypertable with chunks of a day. Only what the Apache licence allows.

CREATE EXTENSION IF NOT EXISTS timescaledb;

CREATE TABLE observation (
    observed_at         timestamptz NOT NULL,
    received_at         timestamptz NOT NULL,
    charger_id          integer NOT NULL,
    connector           smallint NOT NULL,
    kind                smallint NOT NULL,
    seq                 bigint NOT NULL,
    connector_id        bigint,
    digest              bigint,
    status              text,
    errors              jsonb,
    session_id          text,
    reason              text,
    energy_wh           double precision,
    power_w             double precision,
    voltage_v           double precision,
    current_a           double precision,
    temperature_c       double precision,
    soc                 double precision,
    residual_current_ma double precision,
    data                jsonb,
    PRIMARY KEY (charger_id, connector, kind, observed_at, seq)
);

SELECT create_hypertable(
    'observation', 'observed_at',
    chunk_time_interval => interval '1 day', create_default_indexes => false
);

CREATE FUNCTION ensure_observation_day(day date) RETURNS void LANGUAGE sql AS $$
    SELECT -- TimescaleDB makes chunks by itself
$$;

CREATE FUNCTION drop_observations_before(before timestamptz) RETURNS integer
LANGUAGE sql AS $$
    SELECT count(*)::integer FROM drop_chunks('observation', older_than => before)
$$;
