-- E-bike cabinets that speak the DNY protocol to a gateway of ours.

ALTER TABLE charger ADD COLUMN device text UNIQUE;
COMMENT ON COLUMN charger.device IS
    'what its own protocol calls it, as dny-13544000; null where it publishes under its code';
ALTER TABLE gateway ADD COLUMN device text UNIQUE;
COMMENT ON COLUMN gateway.device IS 'the host or modem, as dny-13544000';

-- Settlements, committed before the device hears that it may delete its own copy, and published
-- from here. Nothing personal: neither card nor order is in it.
CREATE TABLE ebike_settlement (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    physical_id  bigint NOT NULL,
    key          bigint NOT NULL,
    session_id   text NOT NULL,
    charger      text NOT NULL,
    messages     jsonb NOT NULL,
    heard_at     timestamptz NOT NULL,
    published_at timestamptz,
    UNIQUE (physical_id, session_id, key)
);
COMMENT ON COLUMN ebike_settlement.key IS 'of what it came to: repeats have the same';
COMMENT ON COLUMN ebike_settlement.messages IS '[kind, payload] of the native contract, in order';
COMMENT ON COLUMN ebike_settlement.published_at IS 'when the broker had all of it';
CREATE INDEX ebike_settlement_waiting ON ebike_settlement (id) WHERE published_at IS NULL;
CREATE INDEX ebike_settlement_old ON ebike_settlement (heard_at);

-- Faults that a device says once and never withdraws, until something contradicts them.
CREATE TABLE ebike_held (
    physical_id bigint NOT NULL,
    source      text NOT NULL,
    port        smallint NOT NULL,
    code        text NOT NULL,
    text        text NOT NULL,
    since       timestamptz NOT NULL,
    PRIMARY KEY (physical_id, source, port)
);
COMMENT ON COLUMN ebike_held.port IS '0: the whole cabinet';
