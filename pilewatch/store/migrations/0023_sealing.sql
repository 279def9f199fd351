-- Contacts are kept in the form of every other sealed secret (pilewatch/sealing.py).
UPDATE report_contact SET sealed = 'fernet:'::bytea || sealed
WHERE substring(sealed FOR 7) <> 'fernet:'::bytea;
COMMENT ON COLUMN webhook.secret IS 'sealed; signs what is sent; told once, when it is made';
COMMENT ON COLUMN ocpi_party.push_token IS 'sealed; what we show to this party; never told';

-- Parties that have registered by OCPI's credentials module: `hash` is then of the token that the
-- handshake gave them.
ALTER TABLE ocpi_party
    ADD COLUMN registered_at timestamptz,
    ADD COLUMN versions_url  text,
    ADD COLUMN roles         jsonb NOT NULL DEFAULT '[]';
COMMENT ON COLUMN ocpi_party.roles IS 'CredentialsRole objects of OCPI 2.2.1, as the party says';
