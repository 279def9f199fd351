-- Checklists, patrols and surveys with their rounds, what inspections found, and posters.

ALTER TABLE charger ADD COLUMN installed_on date;
COMMENT ON COLUMN charger.installed_on IS 'since when it stands; null where nobody knows';

-- Every version that was ever answered is kept. A row without area ships with the program.
CREATE TABLE checklist (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    area_id   bigint REFERENCES area,
    code      text NOT NULL,
    number    integer NOT NULL,
    purpose   text NOT NULL CHECK (purpose IN ('patrol', 'electrical')),
    chargers  text[] NOT NULL,
    digest    bytea NOT NULL,
    content   jsonb NOT NULL,
    added_at  timestamptz NOT NULL
);
CREATE UNIQUE INDEX checklist_number ON checklist (coalesce(area_id, 0), code, number);
CREATE INDEX checklist_digest ON checklist (digest);

CREATE TABLE patrol_plan (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name          text NOT NULL,
    kind          text NOT NULL CHECK (kind IN ('patrol', 'survey')),
    purpose       text NOT NULL CHECK (purpose IN ('patrol', 'electrical')),
    scope_kind    text NOT NULL CHECK (scope_kind IN ('area', 'grid', 'site')),
    scope_id      bigint NOT NULL,
    interval_days smallint CHECK (interval_days > 0),
    route         text NOT NULL CHECK (route IN ('given', 'nearest')),
    chargers      text[] NOT NULL DEFAULT '{}',
    worker_id     bigint REFERENCES person,
    first_due_at  timestamptz NOT NULL,
    look_at       timestamptz,
    entered_by    bigint NOT NULL REFERENCES person,
    entered_at    timestamptz NOT NULL,
    ended_at      timestamptz,
    version       integer NOT NULL DEFAULT 1,
    CHECK ((kind = 'patrol') = (interval_days IS NOT NULL))
);
COMMENT ON COLUMN patrol_plan.chargers IS 'the given order of the route, by code';
COMMENT ON COLUMN patrol_plan.look_at IS 'when the engine looks for due piles next';
CREATE INDEX patrol_plan_look ON patrol_plan (look_at) WHERE look_at IS NOT NULL;

CREATE TABLE patrol_round (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    plan_id   bigint NOT NULL REFERENCES patrol_plan,
    number    integer NOT NULL,
    worker_id bigint REFERENCES person,
    opened_at timestamptz NOT NULL,
    due_at    timestamptz NOT NULL,
    state     text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'done', 'partly', 'missed')),
    closed_at timestamptz,
    version   integer NOT NULL DEFAULT 1,
    UNIQUE (plan_id, number),
    CHECK ((state = 'open') = (closed_at IS NULL))
);
COMMENT ON COLUMN patrol_round.state IS
    'partly and missed are facts: what comes later is kept as late and does not change them';
CREATE INDEX patrol_round_open ON patrol_round (due_at) WHERE state = 'open';

CREATE TABLE patrol_stop (
    round_id      bigint NOT NULL REFERENCES patrol_round,
    charger_id    integer NOT NULL REFERENCES charger,
    place         integer NOT NULL,
    checklist_id  bigint NOT NULL REFERENCES checklist,
    interval_days smallint,
    reasons       jsonb NOT NULL DEFAULT '[]',
    inspection_id uuid REFERENCES inspection,
    late          boolean,
    PRIMARY KEY (round_id, charger_id),
    CHECK ((inspection_id IS NULL) = (late IS NULL))
);
COMMENT ON COLUMN patrol_stop.reasons IS 'why its interval is shorter than the plan''s';
CREATE INDEX patrol_stop_charger ON patrol_stop (charger_id);

ALTER TABLE inspection
    ADD COLUMN checklist_id  bigint REFERENCES checklist,
    ADD COLUMN round_id      bigint REFERENCES patrol_round,
    ADD COLUMN complete      boolean NOT NULL DEFAULT true,
    ADD COLUMN presence      text CHECK (presence IN ('proven', 'unproven', 'wrong-pile')),
    ADD COLUMN presence_why  text,
    ADD COLUMN poster_number integer,
    ADD COLUMN photos        jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN digest        bytea;
COMMENT ON COLUMN inspection.complete IS 'false: required items were left out, with a reason each';
COMMENT ON COLUMN inspection.poster_number IS 'the version of the poster that was scanned';
COMMENT ON COLUMN inspection.digest IS 'SHA-256 of what the phone sent: tells a repeat from another';

-- What an inspection found broken: item by item, port by port.
CREATE TABLE inspection_failure (
    inspection_id  uuid NOT NULL REFERENCES inspection,
    item           text NOT NULL,
    connector_id   bigint REFERENCES connector,
    code           text NOT NULL,
    value          double precision,
    session_proves boolean NOT NULL,
    ticket_id      bigint REFERENCES ticket
);
CREATE INDEX inspection_failure_ticket ON inspection_failure (ticket_id);
CREATE INDEX inspection_failure_inspection ON inspection_failure (inspection_id);
COMMENT ON COLUMN inspection_failure.session_proves IS
    'false: no charging shows its repair, only another inspection does';

-- The same id with other content: kept beside, so that nothing of a worker's day is lost.
CREATE TABLE inspection_conflict (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    inspection_id uuid NOT NULL,
    person_id     bigint NOT NULL REFERENCES person,
    received_at   timestamptz NOT NULL,
    digest        bytea NOT NULL,
    content       jsonb NOT NULL,
    UNIQUE (inspection_id, digest)
);

-- Storm, flood, great heat: such days wear on piles, and shorten their intervals.
CREATE TABLE harsh_day (
    area_id    bigint NOT NULL REFERENCES area,
    day        date NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('heat', 'frost', 'storm', 'flood')),
    entered_by bigint NOT NULL REFERENCES person,
    entered_at timestamptz NOT NULL,
    PRIMARY KEY (area_id, day)
);

-- Each version of a pile's poster that was ever made; the newest is the one to hang there.
CREATE TABLE poster (
    charger_id integer NOT NULL REFERENCES charger,
    number     integer NOT NULL,
    digest     bytea NOT NULL,
    content    jsonb NOT NULL,
    key_id     text,
    made_at    timestamptz NOT NULL,
    made_by    bigint REFERENCES person,
    PRIMARY KEY (charger_id, number)
);

ALTER TABLE report DROP CONSTRAINT IF EXISTS report_source_check;
ALTER TABLE report ADD CONSTRAINT report_source_check
    CHECK (source IN ('page', 'phone', 'meeting', 'open311', 'patrol'));
