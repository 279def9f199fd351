-- People, incidents, tickets and what proves them.

CREATE TABLE person (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    login         text NOT NULL UNIQUE,
    name          text NOT NULL,
    role          text NOT NULL CHECK (role IN ('grid_worker', 'repairer', 'operator', 'admin')),
    company_id    bigint REFERENCES company,
    password_hash text,
    active        boolean NOT NULL DEFAULT true
);

CREATE TABLE person_grid (
    person_id bigint NOT NULL REFERENCES person ON DELETE CASCADE,
    grid_id   bigint NOT NULL REFERENCES grid ON DELETE CASCADE,
    PRIMARY KEY (person_id, grid_id)
);

CREATE TABLE api_key (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    person_id  bigint NOT NULL REFERENCES person ON DELETE CASCADE,
    hash       bytea NOT NULL UNIQUE,
    label      text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz
);
COMMENT ON COLUMN api_key.hash IS 'SHA-256 of the key, which is random and shown once';

CREATE TABLE login_session (
    hash       bytea PRIMARY KEY,
    person_id  bigint NOT NULL REFERENCES person ON DELETE CASCADE,
    csrf       text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);

CREATE TABLE ticket (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject_kind text NOT NULL CHECK (subject_kind IN ('site', 'gateway', 'charger', 'connector')),
    subject_id   bigint NOT NULL,
    site_id      bigint NOT NULL REFERENCES site,
    charger_id   integer REFERENCES charger,
    connector_id bigint REFERENCES connector,
    code         text NOT NULL,
    family       text NOT NULL,
    severity     smallint NOT NULL CHECK (severity BETWEEN 1 AND 3),
    state        text NOT NULL CHECK (state IN ('open', 'assigned', 'accepted', 'repairing',
                     'repaired', 'verified', 'closed', 'reopened', 'rejected', 'merged')),
    company_id   bigint REFERENCES company,
    assignee_id  bigint REFERENCES person,
    opened_at    timestamptz NOT NULL,
    deadline_at  timestamptz NOT NULL,
    claimed_at   timestamptz,
    verify_by_at timestamptz,
    verified_at  timestamptz,
    closed_at    timestamptz,
    evidence     jsonb,
    cause        text,
    remedy       text,
    part         text,
    merged_into  bigint REFERENCES ticket,
    reopened     integer NOT NULL DEFAULT 0,
    version      integer NOT NULL DEFAULT 1,
    CHECK (state NOT IN ('verified', 'closed') OR evidence IS NOT NULL),
    CHECK ((state = 'merged') = (merged_into IS NOT NULL))
);
-- The promise "one fault, one ticket" is kept by the database, whoever decides.
CREATE UNIQUE INDEX ticket_one_live ON ticket (subject_kind, subject_id, family)
    WHERE state NOT IN ('closed', 'rejected', 'merged');
CREATE INDEX ticket_site ON ticket (site_id, state);
CREATE INDEX ticket_charger ON ticket (charger_id);
CREATE INDEX ticket_repaired ON ticket (verify_by_at) WHERE state = 'repaired';

-- The ticket's timeline; append-only.
CREATE TABLE ticket_entry (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticket_id  bigint NOT NULL REFERENCES ticket,
    at         timestamptz NOT NULL,
    actor_kind text NOT NULL CHECK (actor_kind IN ('engine', 'person', 'resident')),
    person_id  bigint REFERENCES person,
    action     text NOT NULL,
    from_state text,
    to_state   text NOT NULL,
    note       text,
    data       jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX ticket_entry_ticket ON ticket_entry (ticket_id, id);

CREATE TABLE incident (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject_kind text NOT NULL CHECK (subject_kind IN ('site', 'gateway', 'charger', 'connector')),
    subject_id   bigint NOT NULL,
    site_id      bigint NOT NULL REFERENCES site,
    charger_id   integer REFERENCES charger,
    connector_id bigint REFERENCES connector,
    code         text NOT NULL,
    family       text NOT NULL,
    severity     smallint NOT NULL,
    effect       text NOT NULL,
    detector     text NOT NULL,
    phase        text NOT NULL CHECK (phase IN
                     ('pending', 'open', 'clearing', 'cleared', 'dismissed', 'member')),
    parent_id    bigint REFERENCES incident,
    ticket_id    bigint REFERENCES ticket,
    started_at   timestamptz NOT NULL,
    opened_at    timestamptz,
    quiet_since  timestamptz,
    ended_at     timestamptz,
    due_at       timestamptz,
    evidence     jsonb NOT NULL DEFAULT '{}',
    CHECK ((phase = 'member') = (parent_id IS NOT NULL) OR phase IN ('cleared', 'dismissed'))
);
COMMENT ON COLUMN incident.phase IS 'pending: seen, debounced; open; clearing: gone, held for a '
    'while; cleared; dismissed: gone before its debounce; member: explained by parent_id';
COMMENT ON COLUMN incident.due_at IS 'when the clock alone moves it on';
CREATE UNIQUE INDEX incident_one_live ON incident (subject_kind, subject_id, family)
    WHERE phase IN ('pending', 'open', 'clearing', 'member');
CREATE INDEX incident_due ON incident (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX incident_parent ON incident (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX incident_ticket ON incident (ticket_id);
CREATE INDEX incident_site ON incident (site_id, started_at);

CREATE TABLE report (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    receipt      bytea NOT NULL UNIQUE,
    source       text NOT NULL CHECK (source IN ('page', 'phone', 'meeting')),
    site_id      bigint NOT NULL REFERENCES site,
    charger_id   integer REFERENCES charger,
    connector_id bigint REFERENCES connector,
    code         text NOT NULL,
    note         text,
    reported_at  timestamptz NOT NULL,
    ticket_id    bigint REFERENCES ticket
);
COMMENT ON COLUMN report.receipt IS 'SHA-256 of the token in the resident''s receipt link';
CREATE INDEX report_ticket ON report (ticket_id);

CREATE TABLE inspection (
    id            uuid PRIMARY KEY,
    charger_id    integer NOT NULL REFERENCES charger,
    connector_id  bigint REFERENCES connector,
    person_id     bigint NOT NULL REFERENCES person,
    inspected_at  timestamptz NOT NULL,
    received_at   timestamptz NOT NULL,
    passed        boolean NOT NULL,
    test_charge   boolean NOT NULL DEFAULT false,
    answers       jsonb NOT NULL DEFAULT '[]',
    note          text,
    ticket_id     bigint REFERENCES ticket
);
COMMENT ON COLUMN inspection.id IS 'made by the worker''s phone, so that a repeat is no double';
CREATE INDEX inspection_charger ON inspection (charger_id, inspected_at);

-- Notifications on their way out: written by the decision, sent afterwards, at least once.
CREATE TABLE outbox (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key          text NOT NULL UNIQUE,
    topic        text NOT NULL,
    payload      jsonb NOT NULL,
    created_at   timestamptz NOT NULL,
    due_at       timestamptz NOT NULL,
    attempts     integer NOT NULL DEFAULT 0,
    sent_at      timestamptz,
    dead_at      timestamptz,
    last_error   text
);
COMMENT ON COLUMN outbox.key IS 'the same for every attempt: receivers deduplicate on it';
CREATE INDEX outbox_due ON outbox (due_at) WHERE sent_at IS NULL AND dead_at IS NULL;

-- Answers already given to a POST with an Idempotency-Key.
CREATE TABLE idempotency_key (
    caller     text NOT NULL,
    key        text NOT NULL,
    request    bytea NOT NULL,
    status     smallint NOT NULL,
    response   jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (caller, key)
);

CREATE TABLE audit (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at        timestamptz NOT NULL,
    person_id bigint REFERENCES person,
    action    text NOT NULL,
    object    text NOT NULL,
    before    jsonb,
    after     jsonb
);

-- Events that no detector could digest: kept for a developer, never in the way of the others.
CREATE TABLE dead_event (
    id        bigint PRIMARY KEY,
    kind      text NOT NULL,
    payload   jsonb NOT NULL,
    error     text NOT NULL,
    failed_at timestamptz NOT NULL
);
