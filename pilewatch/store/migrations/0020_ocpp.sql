-- What the OCPP gateway must know after a restart.

CREATE TABLE ocpp_credential (
    charger     text PRIMARY KEY CHECK (charger ~ '^[A-Za-z0-9._-]{1,64}$'),
    secret_hash text NOT NULL,
    changed_at  timestamptz NOT NULL
);
COMMENT ON COLUMN ocpp_credential.charger IS
    'the id that it connects under; it may be registered later';

CREATE TABLE ocpp_transaction (
    id          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    charger     text NOT NULL,
    own_id      text,
    connector   smallint NOT NULL,
    started_at  timestamptz NOT NULL,
    register_wh double precision NOT NULL,
    ended_at    timestamptz
);
COMMENT ON COLUMN ocpp_transaction.id IS 'transactionId of OCPP 1.6, unique for ever';
COMMENT ON COLUMN ocpp_transaction.own_id IS 'transactionId of OCPP 2.0.1, which the charger makes';
COMMENT ON COLUMN ocpp_transaction.register_wh IS 'what its meter showed at the start';
-- A charger that got no answer starts the same transaction again: it gets the same number.
CREATE UNIQUE INDEX ocpp_transaction_start
    ON ocpp_transaction (charger, connector, started_at, register_wh) WHERE own_id IS NULL;
CREATE UNIQUE INDEX ocpp_transaction_own
    ON ocpp_transaction (charger, own_id) WHERE own_id IS NOT NULL;
CREATE INDEX ocpp_transaction_charger ON ocpp_transaction (charger, id);
CREATE INDEX ocpp_transaction_started ON ocpp_transaction (started_at);
