-- Contacts are kept in the form of every other sealed secret (pilewatch/sealing.py).
UPDATE report_contact SET sealed = 'fernet:'::bytea || sealed
WHERE substring(sealed FOR 7) <> 'fernet:'::bytea;
COMMENT ON COLUMN webhook.secret IS 'sealed; signs what is sent; told once, when it is made';
COMMENT ON COLUMN ocpi_party.push_token IS 'sealed; what we show to this party; never told';
