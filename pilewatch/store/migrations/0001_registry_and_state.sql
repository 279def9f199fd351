-- Places and piles: area -> grid -> site -> (gateway) -> charger -> connector.

CREATE TABLE area (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code     text NOT NULL UNIQUE,
    name     text NOT NULL,
    timezone text NOT NULL DEFAULT 'Asia/Shanghai'
);

CREATE TABLE grid (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    area_id bigint NOT NULL REFERENCES area,
    code    text NOT NULL UNIQUE,
    name    text NOT NULL
);

-- Operating, repair, property or power companies.
CREATE TABLE company (
    id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code  text NOT NULL UNIQUE,
    name  text NOT NULL,
    phone text
);

CREATE TABLE site (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code         text NOT NULL UNIQUE,
    grid_id      bigint NOT NULL REFERENCES grid,
    company_id   bigint REFERENCES company,
    name         text NOT NULL,
    address      text,
    latitude     double precision CHECK (latitude BETWEEN -90 AND 90),
    longitude    double precision CHECK (longitude BETWEEN -180 AND 180),
    repair_phone text
);
CREATE INDEX site_grid ON site (grid_id);

CREATE TABLE gateway (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code    text NOT NULL UNIQUE,
    site_id bigint NOT NULL REFERENCES site
);

CREATE TABLE charger (
    id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code       text NOT NULL UNIQUE CHECK (code ~ '^[A-Za-z0-9._-]{1,64}$'),
    site_id    bigint NOT NULL REFERENCES site,
    gateway_id bigint REFERENCES gateway,
    kind       text NOT NULL CHECK (kind IN ('ebike', 'car')),
    label      text NOT NULL,
    vendor     text,
    model      text,
    active     boolean NOT NULL DEFAULT true
);
COMMENT ON COLUMN charger.code IS 'the id that the charger publishes under';
COMMENT ON COLUMN charger.label IS 'what stands on the pile, for people';
CREATE INDEX charger_site ON charger (site_id);
CREATE INDEX charger_gateway ON charger (gateway_id);

CREATE TABLE connector (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    charger_id  integer NOT NULL REFERENCES charger,
    number      smallint NOT NULL CHECK (number BETWEEN 1 AND 999),
    max_power_w double precision CHECK (max_power_w > 0),
    active      boolean NOT NULL DEFAULT true,
    UNIQUE (charger_id, number)
);

-- Current state: one row a charger, one a connector, moved only by newer observations.

CREATE TABLE charger_state (
    charger_id      integer PRIMARY KEY REFERENCES charger ON DELETE CASCADE,
    last_seen_at    timestamptz,
    offline_said_at timestamptz,
    confirmed_at    timestamptz,
    boot_id         text,
    boot_at         timestamptz,
    firmware        text,
    vendor          text,
    model           text,
    heartbeat_s     integer NOT NULL DEFAULT 60,
    meter_s         integer,
    uptime_s        double precision,
    rssi_dbm        double precision,
    clock_notice_on date
) WITH (fillfactor = 70);
COMMENT ON COLUMN charger_state.last_seen_at IS 'our clock: last word from the charger itself';
COMMENT ON COLUMN charger_state.offline_said_at IS 'our clock: last time its last will spoke';
COMMENT ON COLUMN charger_state.confirmed_at IS
    'our clock: last heartbeat that confirmed the status of all its connectors';

CREATE TABLE connector_state (
    connector_id          bigint PRIMARY KEY REFERENCES connector ON DELETE CASCADE,
    charger_id            integer NOT NULL REFERENCES charger ON DELETE CASCADE,
    status                text NOT NULL DEFAULT 'unknown',
    errors                jsonb NOT NULL DEFAULT '[]',
    status_at             timestamptz,
    status_seq            bigint NOT NULL DEFAULT -1,
    confirmed_at          timestamptz,
    healthy_since         timestamptz,
    session_id            text,
    meter_at              timestamptz,
    energy_wh             double precision,
    power_w               double precision,
    voltage_v             double precision,
    current_a             double precision,
    temperature_c         double precision,
    soc                   double precision,
    residual_current_ma   double precision,
    delivered_at          timestamptz,
    delivered_wh          double precision
) WITH (fillfactor = 70);
COMMENT ON COLUMN connector_state.status_at IS 'the charger''s clock: when the status was observed';
COMMENT ON COLUMN connector_state.confirmed_at IS
    'our clock: last time this connector itself spoke or was named by a heartbeat';
COMMENT ON COLUMN connector_state.healthy_since IS
    'our clock: since when the status has been a working one without errors; null if it is not';
COMMENT ON COLUMN connector_state.delivered_at IS 'end of the last session that delivered energy';
CREATE INDEX connector_state_charger ON connector_state (charger_id);

-- The one rule of what is known now (`moment` is our clock). A charger is online if it spoke after
-- its last will and within three of its own heartbeats; a connector whose last confirmation is
-- older than three heartbeats is stale, and then its status is shown as unknown.
CREATE FUNCTION connector_now(moment timestamptz) RETURNS TABLE (
    connector_id bigint, charger_id integer, site_id bigint, gateway_id bigint, number smallint,
    online boolean, stale boolean, status text, said text, errors jsonb, heard_at timestamptz
) LANGUAGE sql STABLE AS $$
    SELECT n.id, c.id, c.site_id, c.gateway_id, n.number, k.online, k.stale,
           CASE WHEN k.online AND NOT k.stale THEN coalesce(s.status, 'unknown') ELSE 'unknown' END,
           coalesce(s.status, 'unknown'), coalesce(s.errors, '[]'), k.heard_at
    FROM connector n
    JOIN charger c ON c.id = n.charger_id
    LEFT JOIN charger_state h ON h.charger_id = c.id
    LEFT JOIN connector_state s ON s.connector_id = n.id
    CROSS JOIN LATERAL (
        SELECT greatest(s.confirmed_at, h.confirmed_at) AS heard_at,
               coalesce(h.heartbeat_s, 60) * interval '3 seconds' AS patience
    ) p
    CROSS JOIN LATERAL (
        SELECT p.heard_at,
               coalesce(h.last_seen_at >= coalesce(h.offline_said_at, '-infinity')
                        AND h.last_seen_at > moment - p.patience, false) AS online,
               coalesce(p.heard_at <= moment - p.patience, true) AS stale
    ) k
    WHERE n.active AND c.active
$$;

CREATE TABLE charging_session (
    connector_id bigint NOT NULL REFERENCES connector ON DELETE CASCADE,
    session_id   text NOT NULL,
    started_at   timestamptz,
    ended_at     timestamptz,
    refused_at   timestamptz,
    energy_wh    double precision,
    reason       text,
    PRIMARY KEY (connector_id, session_id)
);
CREATE INDEX charging_session_ended ON charging_session (connector_id, ended_at);

-- A change that someone may have to decide about; deleted by the decision's transaction.
CREATE TABLE event (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind         text NOT NULL,
    charger_id   integer NOT NULL,
    connector_id bigint,
    observed_at  timestamptz NOT NULL,
    received_at  timestamptz NOT NULL,
    payload      jsonb NOT NULL DEFAULT '{}'
);

-- What could not be decoded or does not belong to a registered charger.
CREATE TABLE quarantine (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received_at  timestamptz NOT NULL,
    topic        text NOT NULL,
    payload      bytea NOT NULL,
    size         integer NOT NULL,
    reason       text NOT NULL,
    charger_code text,
    replayed_at  timestamptz
);
COMMENT ON COLUMN quarantine.payload IS 'the first 4 KiB';
CREATE INDEX quarantine_charger ON quarantine (charger_code) WHERE charger_code IS NOT NULL;

CREATE TABLE unknown_charger (
    code          text PRIMARY KEY,
    first_seen_at timestamptz NOT NULL,
    last_seen_at  timestamptz NOT NULL,
    messages      bigint NOT NULL
);

-- Hourly roll-up, and the hours whose rows changed since it was made.
CREATE TABLE observation_hour (
    connector_id        bigint NOT NULL,
    hour                timestamptz NOT NULL,
    samples             integer NOT NULL,
    energy_wh           double precision,
    power_avg_w         double precision,
    power_max_w         double precision,
    voltage_min_v       double precision,
    voltage_max_v       double precision,
    current_max_a       double precision,
    temperature_max_c   double precision,
    sessions_ended      integer NOT NULL,
    PRIMARY KEY (connector_id, hour)
);
CREATE TABLE rollup_due (hour timestamptz NOT NULL);
CREATE INDEX rollup_due_hour ON rollup_due (hour);

-- Who listens to the broker, and since when without a gap: while nobody listens, silence of the
-- chargers proves nothing.
CREATE TABLE listener (
    client_id text PRIMARY KEY,
    since     timestamptz NOT NULL,
    alive_at  timestamptz NOT NULL
);
