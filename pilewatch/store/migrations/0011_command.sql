-- Orders to chargers, what became of them, and the faults that a reset may cure.

CREATE TABLE command (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    command_id   text NOT NULL UNIQUE DEFAULT gen_random_uuid()::text,
    charger_id   integer NOT NULL REFERENCES charger,
    connector_id bigint REFERENCES connector,
    name         text NOT NULL CHECK (name IN
                     ('reset', 'unlock', 'setAvailability', 'triggerStatus', 'startTest')),
    args         jsonb NOT NULL DEFAULT '{}',
    person_id    bigint REFERENCES person,
    incident_id  bigint REFERENCES incident,
    ticket_id    bigint REFERENCES ticket,
    reason       text NOT NULL,
    on_site      boolean NOT NULL DEFAULT false,
    state        text NOT NULL DEFAULT 'queued' CHECK (state IN
                     ('queued', 'sent', 'accepted', 'rejected', 'done', 'failed', 'expired')),
    issued_at    timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    sent_at      timestamptz,
    accepted_at  timestamptz,
    ended_at     timestamptz,
    detail       text,
    CHECK (expires_at > issued_at),
    CHECK ((state IN ('rejected', 'done', 'failed', 'expired')) = (ended_at IS NOT NULL)),
    -- Nothing that lets current flow, opens a lock or stops a service goes out without a person.
    CHECK (person_id IS NOT NULL OR name IN ('reset', 'triggerStatus')),
    CHECK (name <> 'startTest' OR on_site)
);
COMMENT ON COLUMN command.command_id IS 'commandId of the wire: the same at each sending';
COMMENT ON COLUMN command.person_id IS 'null: the engine, by policy';
COMMENT ON COLUMN command.on_site IS 'whoever ordered it says to stand before the charger';
COMMENT ON COLUMN command.sent_at IS 'when the broker had it';
-- The same order is under way once at most, whoever gives it.
CREATE UNIQUE INDEX command_under_way ON command (charger_id, coalesce(connector_id, 0), name)
    WHERE state IN ('queued', 'sent', 'accepted');
CREATE INDEX command_charger ON command (charger_id, id);

-- Whether somebody is charging there, or about to.
CREATE FUNCTION charger_in_use(charger integer) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM connector_state s JOIN connector n ON n.id = s.connector_id AND n.active
        WHERE s.charger_id = charger AND s.status IN ('preparing', 'charging', 'suspended'))
$$;

-- Whether people may be in danger there: what the machine sees, what is not settled, what was said
-- of one of the `dangers`.
CREATE FUNCTION charger_in_danger(charger integer, dangers text[], moment timestamptz)
RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM incident i
        WHERE i.severity = 1 AND i.phase IN ('pending', 'open', 'clearing', 'member')
          AND i.site_id = c.site_id AND coalesce(i.charger_id, c.id) = c.id
    ) OR EXISTS (
        SELECT FROM ticket t LEFT JOIN report r ON r.ticket_id = t.id
        WHERE t.site_id = c.site_id AND t.state NOT IN ('closed', 'rejected', 'merged')
          AND ((t.severity = 1 AND coalesce(t.charger_id, c.id) = c.id)
               OR (r.code = ANY (dangers) AND coalesce(r.charger_id, c.id) = c.id))
    ) OR EXISTS (
        SELECT FROM report r
        WHERE r.site_id = c.site_id AND r.reported_at > moment - interval '1 day'
          AND r.ticket_id IS NULL AND r.code = ANY (dangers)
          AND coalesce(r.charger_id, c.id) = c.id
    )
    FROM charger c WHERE c.id = charger
$$;
CREATE INDEX report_site ON report (site_id, reported_at);

-- An incident that waits for a reset before it may ask people for a ticket; kept as its history.
CREATE TABLE self_repair (
    incident_id bigint PRIMARY KEY REFERENCES incident,
    charger_id  integer NOT NULL REFERENCES charger,
    began_at    timestamptz NOT NULL,
    command_id  bigint REFERENCES command,
    gone_at     timestamptz,
    ended_at    timestamptz,
    outcome     text CHECK (outcome IN ('cured', 'cleared', 'ticket')),
    reason      text,
    CHECK ((ended_at IS NULL) = (outcome IS NULL))
);
COMMENT ON COLUMN self_repair.command_id IS 'null while the charger is in use: the reset waits';
COMMENT ON COLUMN self_repair.gone_at IS 'when the fault was last seen to go';
CREATE INDEX self_repair_live ON self_repair (incident_id) WHERE ended_at IS NULL;
CREATE INDEX self_repair_charger ON self_repair (charger_id, began_at);
