-- Plain PostgreSQL: declarative partitions by day, made ahead by `ensure_observation_day`.

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
) PARTITION BY RANGE (observed_at);

CREATE TABLE observation_elsewhen PARTITION OF observation DEFAULT;
COMMENT ON TABLE observation_elsewhen IS 'rows of days that have no partition of their own';

CREATE FUNCTION ensure_observation_day(day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name text := format('observation_%s', to_char(day, 'YYYYMMDD'));
    opens timestamptz := day::timestamp AT TIME ZONE 'UTC';
BEGIN
    IF to_regclass(name) IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('ensure_observation_day'));
    IF to_regclass(name) IS NOT NULL OR EXISTS (
        SELECT FROM observation_elsewhen
        WHERE observed_at >= opens AND observed_at < opens + interval '24 hours'
    ) THEN
        RETURN; -- made meanwhile, or the day already lives in the default partition
    END IF;
    EXECUTE format(
        'CREATE TABLE %I PARTITION OF observation FOR VALUES FROM (%L) TO (%L)',
        name, opens, opens + interval '24 hours'
    );
END $$;

-- Drops whole days that lie entirely before `before`; gives the number of partitions dropped.
CREATE FUNCTION drop_observations_before(before timestamptz) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    part record;
    dropped integer := 0;
BEGIN
    FOR part IN
        SELECT c.oid::regclass AS name
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'observation'::regclass AND c.relname ~ '^observation_\d{8}$'
          AND (to_date(right(c.relname, 8), 'YYYYMMDD') + 1)::timestamp AT TIME ZONE 'UTC'
              <= before
    LOOP
        EXECUTE format('DROP TABLE %s', part.name);
        dropped := dropped + 1;
    END LOOP;
    DELETE FROM observation_elsewhen WHERE observed_at < before;
    RETURN dropped;
END $$;
