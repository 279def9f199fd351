-- Who is told of what: one row for each notification and receiver, written once by the router.

CREATE TABLE delivery (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    outbox_id  bigint NOT NULL REFERENCES outbox ON DELETE CASCADE,
    receiver   text NOT NULL,
    key        text NOT NULL,
    created_at timestamptz NOT NULL,
    due_at     timestamptz NOT NULL,
    attempts   integer NOT NULL DEFAULT 0,
    sent_at    timestamptz,
    dead_at    timestamptz,
    last_error text,
    UNIQUE (outbox_id, receiver)
);
COMMENT ON COLUMN delivery.key IS 'those of one receiver with one key leave as one message; the '
    'same for every attempt: receivers deduplicate on it';
CREATE INDEX delivery_due ON delivery (due_at) WHERE sent_at IS NULL AND dead_at IS NULL;
CREATE INDEX delivery_dead ON delivery (id) WHERE dead_at IS NOT NULL;

ALTER TABLE outbox ADD COLUMN routed_at timestamptz;
UPDATE outbox SET routed_at = coalesce(sent_at, dead_at), sent_at = coalesce(sent_at, dead_at);
DROP INDEX outbox_due;
ALTER TABLE outbox DROP COLUMN attempts, DROP COLUMN dead_at, DROP COLUMN last_error;
COMMENT ON COLUMN outbox.routed_at IS 'when its deliveries were written';
COMMENT ON COLUMN outbox.sent_at IS 'when the last of its deliveries was sent or given up';
CREATE INDEX outbox_to_route ON outbox (id) WHERE routed_at IS NULL;
CREATE INDEX outbox_to_settle ON outbox (id) WHERE routed_at IS NOT NULL AND sent_at IS NULL;
COMMENT ON COLUMN event.charger_id IS '0: the event is about a whole site';
