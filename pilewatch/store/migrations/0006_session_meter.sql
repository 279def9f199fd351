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
    falls        integer NOT NULL,
    span_s       double precision,
    rise_wh      double precision,
    integral_wh  double precision,
    volts        double precision,
    peak_w       double precision,
    peak_a       double precision,
    mean_a2      double precision,
    start_c      double precision,
    peak_c       double precision,
    firmware     text,
    PRIMARY KEY (connector_id, session_id)
);
COMMENT ON COLUMN session_meter.valued IS 'samples with power or energy';
COMMENT ON COLUMN session_meter.absurd IS 'samples with power or current that cannot be';
COMMENT ON COLUMN session_meter.alike IS 'volts, power and register were the same in all samples';
COMMENT ON COLUMN session_meter.falls IS 'how often the register went down';
COMMENT ON COLUMN session_meter.rise_wh IS 'register: last sample less first';
COMMENT ON COLUMN session_meter.integral_wh IS 'power over time between the same two samples';
CREATE INDEX session_meter_ended ON session_meter (connector_id, ended_at);

ALTER TABLE charger_state ADD COLUMN clock_lag_s double precision;
COMMENT ON COLUMN charger_state.clock_lag_s IS
    'last heartbeat: our clock at arrival less the charger''s own time';
