-- Three promises of each ticket, pauses of their clock, and how far each has been escalated.

ALTER TABLE ticket
    ADD COLUMN accept_by_at timestamptz,
    ADD COLUMN arrive_by_at timestamptz,
    ADD COLUMN accepted_at  timestamptz,
    ADD COLUMN arrived_at   timestamptz,
    ADD COLUMN clock_at     timestamptz,
    ADD COLUMN clock_used_s double precision NOT NULL DEFAULT 0,
    ADD COLUMN paused_at    timestamptz,
    ADD COLUMN pause_reason text CHECK (pause_reason IN ('part', 'access', 'weather', 'other')),
    ADD COLUMN paused_s     double precision NOT NULL DEFAULT 0,
    ADD COLUMN accept_level smallint NOT NULL DEFAULT 0,
    ADD COLUMN arrive_level smallint NOT NULL DEFAULT 0,
    ADD COLUMN repair_level smallint NOT NULL DEFAULT 0,
    ADD COLUMN escalate_at  timestamptz,
    ADD CHECK ((paused_at IS NULL) = (pause_reason IS NULL));
COMMENT ON COLUMN ticket.deadline_at IS 'the promised repair';
COMMENT ON COLUMN ticket.clock_at IS 'since when the promises'' clock has been running';
COMMENT ON COLUMN ticket.clock_used_s IS 'what it had run before that, without pauses';
COMMENT ON COLUMN ticket.paused_s IS 'all pauses together, by the wall clock';
COMMENT ON COLUMN ticket.escalate_at IS 'when the engine has to look at its promises next';
CREATE INDEX ticket_escalate ON ticket (escalate_at) WHERE escalate_at IS NOT NULL;

-- What was opened before keeps its one promise, and is looked at once.
UPDATE ticket SET escalate_at = opened_at
WHERE state IN ('open', 'assigned', 'accepted', 'repairing', 'reopened');

-- Each step is taken once for each promise of each opening, whoever decides.
CREATE UNIQUE INDEX ticket_entry_escalated ON ticket_entry
    (ticket_id, (data ->> 'round'), (data ->> 'promise'), (data ->> 'level'))
    WHERE action = 'escalated';
