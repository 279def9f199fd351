-- What residents say, show and are asked; bench meetings and the matters raised there.

ALTER TABLE report
    DROP CONSTRAINT report_source_check,
    ADD CHECK (source IN ('page', 'phone', 'meeting', 'open311')),
    ADD COLUMN entered_by  bigint REFERENCES person,
    ADD COLUMN said        bytea,
    ADD COLUMN doubt       text[] NOT NULL DEFAULT '{}',
    ADD COLUMN reviewed_at timestamptz,
    ADD COLUMN reviewed_by bigint REFERENCES person,
    ADD COLUMN accepted    boolean,
    ADD CHECK ((reviewed_at IS NULL) = (accepted IS NULL));
COMMENT ON COLUMN report.said IS 'digest of the note without case, spaces and punctuation';
COMMENT ON COLUMN report.doubt IS 'signs of spam: what has some waits for a review, or for nothing '
    'where people are in danger; it is never dropped';
CREATE INDEX report_said ON report (said, reported_at) WHERE said IS NOT NULL;
CREATE INDEX report_charger ON report (charger_id, reported_at);
CREATE INDEX report_to_review ON report (id) WHERE doubt <> '{}' AND reviewed_at IS NULL;

-- Signs the moment at which a form was shown, and makes the receipts that can be read out.
CREATE TABLE form_key (key bytea NOT NULL);
INSERT INTO form_key VALUES (uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));

CREATE TABLE report_photo (
    report_id bigint NOT NULL REFERENCES report ON DELETE CASCADE,
    number    smallint NOT NULL CHECK (number BETWEEN 1 AND 9),
    added_at  timestamptz NOT NULL,
    sent      bytea NOT NULL,
    width     integer NOT NULL,
    height    integer NOT NULL,
    jpeg      bytea NOT NULL,
    PRIMARY KEY (report_id, number),
    UNIQUE (report_id, sent)
);
COMMENT ON COLUMN report_photo.jpeg IS 'made anew from what was sent: nothing but the picture';
COMMENT ON COLUMN report_photo.sent IS 'SHA-256 of what was sent, so that a repeat is no double';
ALTER TABLE report_photo ALTER COLUMN jpeg SET STORAGE EXTERNAL;

-- How a reporter may be reached, for a time. No other table has anything of it.
CREATE TABLE report_contact (
    report_id bigint PRIMARY KEY REFERENCES report ON DELETE CASCADE,
    kind      text NOT NULL CHECK (kind IN ('phone', 'email')),
    sealed    bytea NOT NULL,
    kept_at   timestamptz NOT NULL
);
COMMENT ON COLUMN report_contact.sealed IS 'encrypted with a key that is not in the database';

-- "Does it charge now?", when the ticket is closed and once more weeks later, to each reporter.
CREATE TABLE question (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    report_id   bigint NOT NULL REFERENCES report ON DELETE CASCADE,
    ticket_id   bigint NOT NULL REFERENCES ticket,
    round       integer NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('now', 'later')),
    due_at      timestamptz NOT NULL,
    asked_at    timestamptz,
    answered_at timestamptz,
    charges     boolean,
    UNIQUE (report_id, ticket_id, round, kind),
    CHECK ((answered_at IS NULL) = (charges IS NULL))
);
COMMENT ON COLUMN question.round IS 'how often the ticket had been reopened';
CREATE INDEX question_due ON question (due_at) WHERE asked_at IS NULL;
CREATE INDEX question_ticket ON question (ticket_id);

CREATE TABLE meeting (
    id          uuid PRIMARY KEY,
    grid_id     bigint NOT NULL REFERENCES grid,
    place       text NOT NULL,
    starts_at   timestamptz NOT NULL,
    agenda      text[] NOT NULL DEFAULT '{}',
    attendees   integer CHECK (attendees BETWEEN 0 AND 100000),
    minutes     text,
    next_at     timestamptz,
    next_place  text,
    entered     bytea NOT NULL,
    entered_by  bigint NOT NULL REFERENCES person,
    entered_at  timestamptz NOT NULL,
    closed_at   timestamptz,
    version     integer NOT NULL DEFAULT 1,
    CHECK (closed_at IS NULL OR attendees IS NOT NULL)
);
COMMENT ON TABLE meeting IS '板凳会: how many came is kept, never who';
COMMENT ON COLUMN meeting.id IS 'made by the worker''s phone, so that a repeat is no double';
COMMENT ON COLUMN meeting.entered IS 'digest of the first order: the same again is a repeat';
CREATE INDEX meeting_grid ON meeting (grid_id, starts_at);

-- A matter about charging is its report's ticket, whose owner, deadline and state `matter_now`
-- tells; any other matter has its own.
CREATE TABLE matter (
    id               uuid PRIMARY KEY,
    meeting_id       uuid NOT NULL REFERENCES meeting,
    grid_id          bigint NOT NULL REFERENCES grid,
    raised_at        timestamptz NOT NULL,
    kind             text NOT NULL CHECK (kind IN ('charging', 'parking', 'fire-safety',
                         'environment', 'facilities', 'neighbours', 'other')),
    text             text NOT NULL,
    owner_company_id bigint REFERENCES company,
    owner_person_id  bigint REFERENCES person,
    deadline_at      timestamptz,
    answer           text,
    answered_at      timestamptz,
    done_at          timestamptz,
    state            text NOT NULL CHECK (state IN ('raised', 'handed-on', 'answered', 'done')),
    ticket_id        bigint REFERENCES ticket,
    report_id        bigint REFERENCES report,
    entered          bytea NOT NULL,
    entered_by       bigint NOT NULL REFERENCES person,
    entered_at       timestamptz NOT NULL,
    version          integer NOT NULL DEFAULT 1,
    CHECK ((kind = 'charging') = (report_id IS NOT NULL)),
    CHECK ((ticket_id IS NULL) = (report_id IS NULL)),
    CHECK (report_id IS NOT NULL OR deadline_at IS NOT NULL
           AND num_nonnulls(owner_company_id, owner_person_id) = 1),
    CHECK (state NOT IN ('answered', 'done') OR answer IS NOT NULL),
    CHECK ((answer IS NULL) = (answered_at IS NULL)),
    CHECK ((state = 'done') = (done_at IS NOT NULL))
);
CREATE INDEX matter_meeting ON matter (meeting_id);
CREATE INDEX matter_grid ON matter (grid_id, raised_at);
CREATE INDEX matter_ticket ON matter (ticket_id) WHERE ticket_id IS NOT NULL;
CREATE INDEX matter_report ON matter (report_id) WHERE report_id IS NOT NULL;
CREATE INDEX matter_open ON matter (deadline_at) WHERE state NOT IN ('done') AND report_id IS NULL;

CREATE FUNCTION matter_follows_report() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE matter SET ticket_id = NEW.ticket_id WHERE report_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER matter_follows_report AFTER UPDATE OF ticket_id ON report
    FOR EACH ROW WHEN (NEW.ticket_id IS NOT NULL AND NEW.ticket_id IS DISTINCT FROM OLD.ticket_id)
    EXECUTE FUNCTION matter_follows_report();

CREATE VIEW matter_now AS
SELECT m.id, m.meeting_id, m.grid_id, m.raised_at, m.kind, m.text,
       CASE WHEN t.id IS NULL THEN m.owner_company_id ELSE t.company_id END AS owner_company_id,
       CASE WHEN t.id IS NULL THEN m.owner_person_id ELSE t.assignee_id END AS owner_person_id,
       coalesce(t.deadline_at, m.deadline_at) AS deadline_at,
       CASE WHEN t.id IS NULL THEN m.answer END AS answer,
       CASE WHEN t.id IS NULL THEN m.answered_at WHEN t.state IN ('closed', 'rejected')
            THEN t.closed_at END AS answered_at,
       CASE WHEN t.id IS NULL THEN m.done_at WHEN t.state = 'closed' THEN t.closed_at END AS done_at,
       CASE WHEN t.id IS NULL THEN m.state WHEN t.state = 'closed' THEN 'done'
            WHEN t.state = 'rejected' THEN 'answered' ELSE 'handed-on' END AS state,
       m.ticket_id, m.report_id, m.version, m.entered_by, m.entered_at
FROM matter m LEFT JOIN ticket t ON t.id = m.ticket_id;
COMMENT ON VIEW matter_now IS 'each matter as it stands: one about charging as its ticket stands';
