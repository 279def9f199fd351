-- The pictures that an inspection's answers name: sent by the phone after the inspection itself.
CREATE TABLE inspection_photo (
    inspection_id uuid NOT NULL REFERENCES inspection,
    name          text NOT NULL,
    added_at      timestamptz NOT NULL,
    sent          bytea NOT NULL,
    width         integer NOT NULL,
    height        integer NOT NULL,
    jpeg          bytea NOT NULL,
    PRIMARY KEY (inspection_id, name)
);
COMMENT ON COLUMN inspection_photo.jpeg IS 'made anew from what was sent: nothing but the picture';
COMMENT ON COLUMN inspection_photo.sent IS 'SHA-256 of what was sent: tells a repeat from another';
ALTER TABLE inspection_photo ALTER COLUMN jpeg SET STORAGE EXTERNAL;
