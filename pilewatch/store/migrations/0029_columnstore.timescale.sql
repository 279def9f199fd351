-- TimescaleDB's columnstore, where its licence allows it: the build of Debian is Apache-only, its
-- makers' own has it (timescaledb.license is timescale). Nothing needs it.

CREATE FUNCTION compress_observations_before(before timestamptz) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    chunk record;
    done integer := 0;
BEGIN
    IF current_setting('timescaledb.license', true) IS DISTINCT FROM 'timescale' THEN
        RETURN 0;
    END IF;
    -- Until 2.11 a late row could not be told from one that is there already.
    IF (SELECT string_to_array(split_part(extversion, '-', 1), '.')::integer[] < '{2,11}'
        FROM pg_extension WHERE extname = 'timescaledb')
    THEN
        RETURN 0;
    END IF;
    IF NOT (SELECT compression_enabled FROM timescaledb_information.hypertables
            WHERE hypertable_name = 'observation' AND hypertable_schema = current_schema())
    THEN
        ALTER TABLE observation SET (
            timescaledb.compress,
            timescaledb.compress_segmentby = 'charger_id, connector, kind',
            timescaledb.compress_orderby = 'observed_at, seq'
        );
    END IF;
    FOR chunk IN
        SELECT format('%I.%I', chunk_schema, chunk_name)::regclass AS name
        FROM timescaledb_information.chunks
        WHERE hypertable_name = 'observation' AND hypertable_schema = current_schema()
            AND NOT is_compressed AND range_end <= before
        ORDER BY range_start
        LIMIT 1
    LOOP
        PERFORM compress_chunk(chunk.name);
        done := done + 1;
    END LOOP;
    RETURN done;
END $$;
