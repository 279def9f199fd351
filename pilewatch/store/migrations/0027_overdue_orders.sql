-- Work orders past their deadline are told upwards, as a ticket's promises are.

ALTER TABLE work_order
    ADD COLUMN level       smallint NOT NULL DEFAULT 0,
    ADD COLUMN escalate_at timestamptz;
COMMENT ON COLUMN work_order.level IS 'how many steps of escalation it has taken';
COMMENT ON COLUMN work_order.escalate_at IS 'when the engine has to look at it next';
CREATE INDEX work_order_escalate ON work_order (escalate_at) WHERE escalate_at IS NOT NULL;
UPDATE work_order SET escalate_at = deadline_at WHERE settled_at IS NULL;

-- Each step once for each promise of each opening and for each order, whoever decides.
DROP INDEX ticket_entry_escalated;
CREATE UNIQUE INDEX ticket_entry_escalated ON ticket_entry
    (ticket_id, (data ->> 'round'), (data ->> 'promise'), (data ->> 'level'),
     coalesce(data ->> 'order', ''))
    WHERE action = 'escalated';
