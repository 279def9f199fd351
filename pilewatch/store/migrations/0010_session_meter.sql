-- What a session's meter values came to, kept beyond the values themselves, and the charger's
-- clock as its heartbeats show it.

CREATE TABLE session_meter (
    connector_id bigint NOT NULL REFERENCES connector ON DELETE CASCADE,
    session_id   text NOT NULL,
    ended_at     timestamptz NOT NULL,
    seconds      double precision,
    energy_wh    double precision,
    samples      integer NOT NULL,
    valued       integer NOT NULL,
    absurd       integer NOT NULL,
    alike        boolean NOT NULL,
    steady       boolean NOT NULL,
    falls        integer NOT NULL,
    span_s       double precision,
    rise_wh      double precision,
    integral_wh  double precision,
    volts        double precision,
    peak_w       double precision,
    peak_a       double precision,
    mean_a2      double precision,
    excess_k     double precision,
    firmware     text,
    PRIMARY KEY (connector_id, session_id)
);
COMMENT ON COLUMN session_meter.valued IS 'samples with power or energy';
COMMENT ON COLUMN session_meter.absurd IS 'samples with power or current that cannot be';
COMMENT ON COLUMN session_meter.alike IS 'volts, power and register were the same in all samples';
COMMENT ON COLUMN session_meter.steady IS 'all samples came soon: no clock jumped, none is wrong';
COMMENT ON COLUMN session_meter.falls IS 'how often the register went down';
COMMENT ON COLUMN session_meter.rise_wh IS 'of the register, over neighbouring samples';
COMMENT ON COLUMN session_meter.integral_wh IS 'power over time, over the same samples';
COMMENT ON COLUMN session_meter.mean_a2 IS 'of the later half';
COMMENT ON COLUMN session_meter.excess_k IS
    'of the later half, above the idle ports of the site in the same time';
CREATE INDEX session_meter_ended ON session_meter (connector_id, ended_at);

ALTER TABLE charger_state ADD COLUMN clock_lag_s double precision;
COMMENT ON COLUMN charger_state.clock_lag_s IS
    'last heartbeat: our clock at arrival less the charger''s own time';

-- When a connector, or its charger, was last proven to be repaired.
CREATE FUNCTION repaired_at(of_connector bigint) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT max(t.verified_at)
    FROM connector n
    JOIN ticket t ON t.charger_id = n.charger_id
        AND (t.connector_id = n.id OR t.connector_id IS NULL)
    WHERE n.id = of_connector AND t.state = 'closed'
$$;
