-- Uptime: what was said and heard, kept beyond the raw observations; what is left out, with its
-- document; figures as they were published, each version.

-- What an observed status means for the service, by `stopping` (fault codes that put a port out
-- of order): working, unavailable, faulted, unknown.
CREATE FUNCTION service_state(status text, errors jsonb, stopping text[]) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN status = 'faulted' OR (errors IS NOT NULL AND errors <> '[]' AND EXISTS (
            SELECT FROM jsonb_array_elements(errors) e WHERE e ->> 'code' = ANY(stopping)
        )) THEN 'faulted'
        WHEN status = 'unavailable' THEN 'unavailable'
        WHEN status = 'unknown' THEN 'unknown'
        ELSE 'working'
    END
$$;

-- Step functions: a row where the value changes, valid until the next row.
CREATE TABLE state_change (
    connector_id bigint NOT NULL REFERENCES connector ON DELETE CASCADE,
    at           timestamptz NOT NULL,
    state        text NOT NULL CHECK (state IN ('working', 'unavailable', 'faulted', 'unknown')),
    PRIMARY KEY (connector_id, at)
);
COMMENT ON TABLE state_change IS 'what a connector said, by its own clock; silence is not in it';
CREATE TABLE contact_change (
    charger_id integer NOT NULL REFERENCES charger ON DELETE CASCADE,
    at         timestamptz NOT NULL,
    heard      boolean NOT NULL,
    PRIMARY KEY (charger_id, at)
);
COMMENT ON TABLE contact_change IS
    'heard: within three of its heartbeats after its last word, unless its last will spoke since';

-- The longest silence that each charger ever announced: how far its words may reach.
CREATE TABLE contact_reach (
    charger_id integer PRIMARY KEY REFERENCES charger ON DELETE CASCADE,
    longest_s  integer NOT NULL
);

-- Hours before `built_until` are in the step functions; what comes for them later marks them anew.
CREATE TABLE interval_progress (
    one         boolean PRIMARY KEY DEFAULT true CHECK (one),
    built_until timestamptz NOT NULL,
    kept_since  timestamptz NOT NULL
);
COMMENT ON COLUMN interval_progress.kept_since IS 'from then on all observations are still there';

CREATE TABLE exclusion (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scope_kind   text NOT NULL CHECK (scope_kind IN
                     ('area', 'grid', 'site', 'gateway', 'charger', 'connector')),
    scope_id     bigint NOT NULL,
    reason       text NOT NULL CHECK (reason IN ('utility', 'internet', 'maintenance', 'vandalism',
                     'disaster', 'vehicle', 'access')),
    document     text NOT NULL CHECK (document <> ''),
    note         text,
    from_at      timestamptz NOT NULL,
    to_at        timestamptz NOT NULL,
    entered_by   bigint NOT NULL REFERENCES person,
    entered_at   timestamptz NOT NULL,
    withdrawn_at timestamptz,
    version      integer NOT NULL DEFAULT 1,
    CHECK (to_at > from_at)
);
CREATE INDEX exclusion_time ON exclusion (to_at) WHERE withdrawn_at IS NULL;
CREATE INDEX downtime_time ON downtime (to_at);
CREATE INDEX incident_time ON incident (started_at) WHERE phase NOT IN ('pending', 'dismissed');

-- A site's weekly hours from a day on, in its own time: {"1": [["08:00", "22:00"]], …}, Monday is
-- 1. A site without a row is open round the clock.
CREATE TABLE opening_hours (
    site_id bigint NOT NULL REFERENCES site ON DELETE CASCADE,
    from_on date NOT NULL,
    week    jsonb NOT NULL,
    PRIMARY KEY (site_id, from_on)
);

-- Figures of whole periods. A correction adds a version and keeps the earlier ones.
CREATE TABLE uptime_figure (
    span         text NOT NULL CHECK (span IN ('month', 'twelve-months', 'year')),
    month        date NOT NULL,
    subject_kind text NOT NULL CHECK (subject_kind IN
                     ('connector', 'charger', 'site', 'company', 'area')),
    subject_id   bigint NOT NULL,
    version      integer NOT NULL,
    tally        jsonb NOT NULL,
    why          text NOT NULL,
    person_id    bigint REFERENCES person,
    published_at timestamptz NOT NULL,
    PRIMARY KEY (subject_kind, subject_id, span, month, version)
);
COMMENT ON COLUMN uptime_figure.month IS 'first day of the (last) month, in the site''s own time';
COMMENT ON COLUMN uptime_figure.tally IS 'microseconds of each kind';
COMMENT ON COLUMN uptime_figure.why IS 'what was corrected: downtime/12, exclusion/3, late data, …';
CREATE TABLE uptime_period (
    span         text NOT NULL,
    month        date NOT NULL,
    published_at timestamptz NOT NULL,
    PRIMARY KEY (span, month)
);

-- What was changed after the fact, and which time it concerns; deleted by its correction.
CREATE TABLE uptime_due (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    from_at timestamptz NOT NULL,
    to_at   timestamptz NOT NULL,
    why     text NOT NULL
);

-- Whoever changes a window, by whatever way: the figures that it touches are due.
CREATE FUNCTION mark_uptime_due() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO uptime_due (from_at, to_at, why)
    VALUES (NEW.from_at, greatest(NEW.to_at, CASE WHEN TG_OP = 'UPDATE' THEN OLD.to_at END),
            TG_TABLE_NAME || '/' || NEW.id);
    IF TG_OP = 'UPDATE' AND OLD.from_at < NEW.from_at THEN
        INSERT INTO uptime_due (from_at, to_at, why)
        VALUES (OLD.from_at, NEW.from_at, TG_TABLE_NAME || '/' || NEW.id);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER downtime_uptime AFTER INSERT OR UPDATE ON downtime
    FOR EACH ROW EXECUTE FUNCTION mark_uptime_due();
CREATE TRIGGER exclusion_uptime AFTER INSERT OR UPDATE ON exclusion
    FOR EACH ROW EXECUTE FUNCTION mark_uptime_due();

-- The same for an incident that is told, dismissed or ended after the fact, as far as something that
-- was published may change by it.
CREATE FUNCTION mark_uptime_incident() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    since timestamptz := CASE
        WHEN TG_OP = 'INSERT' OR OLD.phase = 'pending' OR NEW.phase = 'dismissed'
             OR OLD.effect <> NEW.effect THEN NEW.started_at
        ELSE least(coalesce(OLD.ended_at, OLD.quiet_since, '9999-01-01Z'),
                   coalesce(NEW.ended_at, NEW.quiet_since, '9999-01-01Z')) END;
BEGIN
    IF EXISTS (SELECT FROM uptime_period WHERE month + interval '1 month 1 day' > since) THEN
        INSERT INTO uptime_due (from_at, to_at, why)
        VALUES (since, '9999-01-01Z', 'incident/' || NEW.id);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER incident_told AFTER INSERT ON incident
    FOR EACH ROW WHEN (NEW.phase <> 'pending') EXECUTE FUNCTION mark_uptime_incident();
CREATE TRIGGER incident_changed AFTER UPDATE ON incident
    FOR EACH ROW WHEN (
        (OLD.phase, OLD.effect, OLD.quiet_since, OLD.ended_at)
        IS DISTINCT FROM (NEW.phase, NEW.effect, NEW.quiet_since, NEW.ended_at)
    ) EXECUTE FUNCTION mark_uptime_incident();
