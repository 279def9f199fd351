-- Tickets shared out between companies, what a repair cost and who warrants it, and the ledger.

ALTER TABLE ticket ADD COLUMN cause_code text, ADD COLUMN remedy_code text;

-- One company's part of a ticket; the ticket cannot be claimed before all of its orders are settled.
CREATE TABLE work_order (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticket_id   bigint NOT NULL REFERENCES ticket,
    duty        text NOT NULL CHECK (duty IN ('power', 'operator', 'property', 'community')),
    company_id  bigint REFERENCES company,
    owner_id    bigint REFERENCES person,
    task        text NOT NULL,
    deadline_at timestamptz NOT NULL,
    state       text NOT NULL CHECK (state IN ('open', 'accepted', 'done', 'cancelled')),
    opened_at   timestamptz NOT NULL,
    accepted_at timestamptz,
    settled_at  timestamptz,
    note        text,
    version     integer NOT NULL DEFAULT 1,
    CHECK (num_nonnulls(company_id, owner_id) > 0),
    CHECK ((state IN ('done', 'cancelled')) = (settled_at IS NOT NULL))
);
COMMENT ON COLUMN work_order.duty IS 'whose responsibility: 供电, 运营, 物业, 社区';
CREATE INDEX work_order_ticket ON work_order (ticket_id);
CREATE INDEX work_order_company ON work_order (company_id, id);
CREATE INDEX work_order_owner ON work_order (owner_id, id);

CREATE TABLE ticket_cost (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticket_id         bigint NOT NULL REFERENCES ticket,
    kind              text NOT NULL CHECK (kind IN ('part', 'labour', 'travel', 'other')),
    part              text,
    serial            text,
    quantity          integer NOT NULL CHECK (quantity BETWEEN 1 AND 10000),
    unit_fen          bigint NOT NULL CHECK (unit_fen BETWEEN 0 AND 100000000000),
    amount_fen        bigint GENERATED ALWAYS AS (quantity * unit_fen) STORED,
    payer             text NOT NULL CHECK (payer IN
                          ('power', 'operator', 'property', 'community', 'warrantor', 'user')),
    warrantor_id      bigint REFERENCES company,
    warranty_until    date,
    under_warranty_of bigint REFERENCES ticket_cost,
    note              text,
    entered_by        bigint NOT NULL REFERENCES person,
    entered_at        timestamptz NOT NULL,
    withdrawn_at      timestamptz,
    CHECK ((kind = 'part') = (part IS NOT NULL)),
    CHECK ((warrantor_id IS NULL) = (warranty_until IS NULL)),
    CHECK (part IS NOT NULL OR num_nonnulls(serial, warranty_until, under_warranty_of) = 0)
);
COMMENT ON COLUMN ticket_cost.unit_fen IS 'hundredths of a yuan';
COMMENT ON COLUMN ticket_cost.warranty_until IS 'the last day on which the warrantor answers for it';
COMMENT ON COLUMN ticket_cost.under_warranty_of IS
    'the same part that was put in before, and was still under warranty';
CREATE INDEX ticket_cost_ticket ON ticket_cost (ticket_id);

-- The ledger (问题台账): one line for each ticket and for each other matter, kept by triggers so that
-- it is right whoever writes. It holds what is filtered, ordered and searched; the rest is joined.

-- Text as it is searched: compatibility forms folded, lower case, single spaces.
CREATE FUNCTION ledger_plain(said text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT btrim(regexp_replace(lower(normalize(said, NFKC)), '\s+', ' ', 'g'))
$$;

-- The beginning of it: a tsvector has a bound, and nobody searches for the fortieth comment.
CREATE FUNCTION ledger_bounded(said text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT left(ledger_plain(left(said, 8000)), 8000)
$$;

-- The tokens of plain text: whole words of ASCII letters and digits, and every pair of neighbouring
-- other characters (Chinese is not spaced), the last of a run also alone.
CREATE FUNCTION ledger_words(plain text) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(array_to_tsvector(array_agg(token)), '')
    FROM (
        SELECT left(m[1], 64) AS token FROM regexp_matches(plain, '[a-z0-9]+', 'g') m
        UNION ALL
        SELECT c || coalesce(lead(c) OVER (PARTITION BY run.number ORDER BY place), '')
        FROM regexp_matches(plain, '[^\u0001-\u007f]+', 'g') WITH ORDINALITY run(m, number),
             string_to_table(run.m[1], NULL) WITH ORDINALITY at(c, place)
    ) t
$$;

CREATE TABLE ledger (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticket_id   bigint UNIQUE REFERENCES ticket,
    matter_id   uuid UNIQUE REFERENCES matter,
    raised_at   timestamptz NOT NULL,
    area_id     bigint NOT NULL REFERENCES area,
    grid_id     bigint NOT NULL REFERENCES grid,
    site_id     bigint REFERENCES site,
    company_id  bigint REFERENCES company,
    owner_id    bigint REFERENCES person,
    kind        text NOT NULL,
    severity    smallint,
    source      text NOT NULL,
    state       text NOT NULL,
    deadline_at timestamptz NOT NULL,
    paused_at   timestamptz,
    done_at     timestamptz,
    settled_at  timestamptz,
    late        boolean NOT NULL GENERATED ALWAYS AS (coalesce(done_at > deadline_at, false)) STORED,
    said        text NOT NULL,
    words       tsvector NOT NULL
                GENERATED ALWAYS AS (ledger_words(said) || array_to_tsvector(ARRAY['=' || kind])) STORED,
    CHECK (num_nonnulls(ticket_id, matter_id) = 1)
);
COMMENT ON COLUMN ledger.kind IS 'a fault code, or the kind of another matter; in `words` after "="';
COMMENT ON COLUMN ledger.done_at IS 'when it was said to be done, which is what the deadline promises';
COMMENT ON COLUMN ledger.settled_at IS 'when it was closed, answered or rejected';
COMMENT ON COLUMN ledger.late IS 'done after the deadline; one that is still open is judged by now';
CREATE INDEX ledger_order ON ledger (raised_at, id);
CREATE INDEX ledger_area ON ledger (area_id, raised_at, id);
CREATE INDEX ledger_grid ON ledger (grid_id, raised_at, id);
CREATE INDEX ledger_site ON ledger (site_id, raised_at, id);
CREATE INDEX ledger_company ON ledger (company_id, raised_at, id);
CREATE INDEX ledger_owner ON ledger (owner_id, raised_at, id);
CREATE INDEX ledger_kind ON ledger (kind, raised_at, id);
CREATE INDEX ledger_state ON ledger (state, raised_at, id);
CREATE INDEX ledger_source ON ledger (source, raised_at, id);
CREATE INDEX ledger_severity ON ledger (severity, raised_at, id);
CREATE INDEX ledger_late ON ledger (raised_at, id) WHERE late;
CREATE INDEX ledger_undone ON ledger (raised_at, id) WHERE done_at IS NULL;
CREATE INDEX ledger_unsettled ON ledger (raised_at, id) WHERE settled_at IS NULL;
CREATE INDEX ledger_settled ON ledger (settled_at) WHERE settled_at IS NOT NULL;
CREATE INDEX ledger_words ON ledger USING gin (words);

-- The lines of these tickets, written anew from what is there.
CREATE FUNCTION ledger_take_tickets(ids bigint[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO ledger (ticket_id, raised_at, area_id, grid_id, site_id, company_id, owner_id, kind,
                        severity, source, state, deadline_at, paused_at, done_at, settled_at, said)
    SELECT t.id, t.opened_at, g.area_id, g.id, s.id, t.company_id, t.assignee_id, t.code,
           t.severity, opened.source, t.state, t.deadline_at, t.paused_at,
           CASE WHEN t.state IN ('repaired', 'verified', 'closed', 'rejected', 'merged')
                THEN coalesce(t.claimed_at, t.verified_at, t.closed_at) END,
           t.closed_at,
           ledger_bounded(concat_ws(' ', s.name, s.code, w.code, c.code, c.label, t.code, t.cause,
                                    t.remedy, t.part, notes.said, reports.said))
    FROM ticket t
    JOIN site s ON s.id = t.site_id
    JOIN grid g ON g.id = s.grid_id
    LEFT JOIN gateway w ON t.subject_kind = 'gateway' AND w.id = t.subject_id
    LEFT JOIN charger c ON c.id = t.charger_id
    CROSS JOIN LATERAL (
        SELECT coalesce((
            SELECT CASE WHEN e.actor_kind = 'engine' THEN 'machine'
                        WHEN e.data ? 'inspection' THEN 'inspection'
                        WHEN e.actor_kind = 'resident' THEN coalesce(e.data ->> 'source', 'page')
                        ELSE coalesce(e.data ->> 'source', 'staff') END
            FROM ticket_entry e WHERE e.ticket_id = t.id AND e.action = 'opened'
            ORDER BY e.id LIMIT 1), 'staff') AS source
    ) opened
    CROSS JOIN LATERAL (
        SELECT string_agg(e.note, ' ' ORDER BY e.id) AS said FROM ticket_entry e
        WHERE e.ticket_id = t.id AND e.note IS NOT NULL
    ) notes
    CROSS JOIN LATERAL (
        SELECT string_agg(r.note, ' ' ORDER BY r.id) AS said FROM report r
        WHERE r.ticket_id = t.id AND r.note IS NOT NULL
    ) reports
    WHERE t.id = ANY(ids)
    ON CONFLICT (ticket_id) DO UPDATE SET
        raised_at = EXCLUDED.raised_at, area_id = EXCLUDED.area_id, grid_id = EXCLUDED.grid_id,
        site_id = EXCLUDED.site_id, company_id = EXCLUDED.company_id, owner_id = EXCLUDED.owner_id,
        kind = EXCLUDED.kind, severity = EXCLUDED.severity, source = EXCLUDED.source,
        state = EXCLUDED.state, deadline_at = EXCLUDED.deadline_at, paused_at = EXCLUDED.paused_at,
        done_at = EXCLUDED.done_at, settled_at = EXCLUDED.settled_at, said = EXCLUDED.said
$$;

-- The same for matters of a meeting; one about charging is the line of its ticket.
CREATE FUNCTION ledger_take_matters(ids uuid[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO ledger (matter_id, raised_at, area_id, grid_id, company_id, owner_id, kind, source,
                        state, deadline_at, done_at, settled_at, said)
    SELECT m.id, m.raised_at, g.area_id, g.id, m.owner_company_id, m.owner_person_id, m.kind,
           'meeting', m.state, m.deadline_at, m.answered_at, m.answered_at,
           ledger_bounded(concat_ws(' ', g.name, m.text, m.answer))
    FROM matter m JOIN grid g ON g.id = m.grid_id
    WHERE m.id = ANY(ids) AND m.report_id IS NULL
    ON CONFLICT (matter_id) DO UPDATE SET
        raised_at = EXCLUDED.raised_at, area_id = EXCLUDED.area_id, grid_id = EXCLUDED.grid_id,
        company_id = EXCLUDED.company_id, owner_id = EXCLUDED.owner_id, kind = EXCLUDED.kind,
        state = EXCLUDED.state, deadline_at = EXCLUDED.deadline_at, done_at = EXCLUDED.done_at,
        settled_at = EXCLUDED.settled_at, said = EXCLUDED.said
$$;

CREATE FUNCTION ledger_follows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    CASE TG_TABLE_NAME
        WHEN 'ticket' THEN PERFORM ledger_take_tickets(ARRAY[NEW.id]);
        WHEN 'ticket_entry' THEN PERFORM ledger_take_tickets(ARRAY[NEW.ticket_id]);
        WHEN 'report' THEN
            IF TG_OP = 'UPDATE' THEN
                PERFORM ledger_take_tickets(ARRAY[OLD.ticket_id, NEW.ticket_id]);
            ELSE
                PERFORM ledger_take_tickets(ARRAY[NEW.ticket_id]);
            END IF;
        WHEN 'matter' THEN PERFORM ledger_take_matters(ARRAY[NEW.id]);
        WHEN 'charger' THEN PERFORM ledger_take_tickets(
            array(SELECT id FROM ticket WHERE charger_id = NEW.id));
        WHEN 'site' THEN PERFORM ledger_take_tickets(
            array(SELECT id FROM ticket WHERE site_id = NEW.id));
        WHEN 'grid' THEN
            UPDATE ledger SET area_id = NEW.area_id WHERE grid_id = NEW.id;
            PERFORM ledger_take_matters(array(SELECT id FROM matter WHERE grid_id = NEW.id));
    END CASE;
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_follows AFTER INSERT ON ticket
    FOR EACH ROW EXECUTE FUNCTION ledger_follows();
CREATE TRIGGER ledger_follows_change AFTER UPDATE ON ticket
    FOR EACH ROW WHEN (
        (OLD.state, OLD.code, OLD.severity, OLD.company_id, OLD.assignee_id, OLD.opened_at,
         OLD.deadline_at, OLD.paused_at, OLD.claimed_at, OLD.verified_at, OLD.closed_at, OLD.cause,
         OLD.remedy, OLD.part)
        IS DISTINCT FROM
        (NEW.state, NEW.code, NEW.severity, NEW.company_id, NEW.assignee_id, NEW.opened_at,
         NEW.deadline_at, NEW.paused_at, NEW.claimed_at, NEW.verified_at, NEW.closed_at, NEW.cause,
         NEW.remedy, NEW.part))
    EXECUTE FUNCTION ledger_follows();
CREATE TRIGGER ledger_follows AFTER INSERT ON ticket_entry
    FOR EACH ROW WHEN (NEW.note IS NOT NULL OR NEW.action = 'opened')
    EXECUTE FUNCTION ledger_follows();
CREATE TRIGGER ledger_follows AFTER INSERT ON report
    FOR EACH ROW WHEN (NEW.note IS NOT NULL) EXECUTE FUNCTION ledger_follows();
CREATE TRIGGER ledger_follows_change AFTER UPDATE OF ticket_id ON report
    FOR EACH ROW WHEN (NEW.note IS NOT NULL) EXECUTE FUNCTION ledger_follows();
CREATE TRIGGER ledger_follows AFTER INSERT OR UPDATE ON matter
    FOR EACH ROW EXECUTE FUNCTION ledger_follows();
CREATE TRIGGER ledger_follows AFTER UPDATE ON charger
    FOR EACH ROW WHEN (OLD.label IS DISTINCT FROM NEW.label) EXECUTE FUNCTION ledger_follows();
CREATE TRIGGER ledger_follows AFTER UPDATE ON site
    FOR EACH ROW WHEN ((OLD.name, OLD.grid_id) IS DISTINCT FROM (NEW.name, NEW.grid_id))
    EXECUTE FUNCTION ledger_follows();
CREATE TRIGGER ledger_follows AFTER UPDATE ON grid
    FOR EACH ROW WHEN ((OLD.name, OLD.area_id) IS DISTINCT FROM (NEW.name, NEW.area_id))
    EXECUTE FUNCTION ledger_follows();

SELECT ledger_take_tickets(array(SELECT id FROM ticket));
SELECT ledger_take_matters(array(SELECT id FROM matter));
