-- People: auditors and devices, areas, second factors, identities of organisations, narrow keys.
-- The audit: append-only, and each row sealed by a hash over itself and the row before.

ALTER TABLE person
    DROP CONSTRAINT person_role_check,
    ADD CONSTRAINT person_role_check CHECK (role IN
        ('grid_worker', 'repairer', 'operator', 'admin', 'auditor', 'device')),
    ADD COLUMN email          text,
    ADD COLUMN version        integer NOT NULL DEFAULT 1,
    ADD COLUMN totp_secret    text,
    ADD COLUMN totp_since     timestamptz,
    ADD COLUMN totp_last_step bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN person.totp_since IS 'since when codes are asked for; null: not confirmed yet';
COMMENT ON COLUMN person.totp_last_step IS 'the half minute of the last code: none is taken twice';
CREATE UNIQUE INDEX person_email ON person (lower(email));

CREATE TABLE person_area (
    person_id bigint NOT NULL REFERENCES person ON DELETE CASCADE,
    area_id   bigint NOT NULL REFERENCES area ON DELETE CASCADE,
    PRIMARY KEY (person_id, area_id)
);

CREATE TABLE recovery_code (
    person_id bigint NOT NULL REFERENCES person ON DELETE CASCADE,
    hash      bytea NOT NULL,
    PRIMARY KEY (person_id, hash)
);
COMMENT ON TABLE recovery_code IS 'SHA-256 of each unused code; a used one is deleted';

-- Who a person is at an organisation's own login.
CREATE TABLE identity (
    issuer    text NOT NULL,
    subject   text NOT NULL,
    person_id bigint NOT NULL REFERENCES person ON DELETE CASCADE,
    linked_at timestamptz NOT NULL,
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX identity_person ON identity (person_id);

-- A login that is under way at an organisation; used once.
CREATE TABLE oidc_login (
    state      bytea PRIMARY KEY,
    browser    bytea NOT NULL,
    nonce      text NOT NULL,
    verifier   text NOT NULL,
    next       text NOT NULL,
    expires_at timestamptz NOT NULL
);
COMMENT ON COLUMN oidc_login.browser IS 'SHA-256 of a cookie: it ends in the browser it began in';

ALTER TABLE api_key
    ADD COLUMN scopes text[];
COMMENT ON COLUMN api_key.scopes IS 'what it may be used for; null: all that its person may do';
CREATE INDEX api_key_person ON api_key (person_id);

ALTER TABLE login_session
    ADD COLUMN id    bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    ADD COLUMN stage text NOT NULL DEFAULT 'full' CHECK (stage IN ('code', 'enrol', 'full')),
    ADD COLUMN next  text NOT NULL DEFAULT '/console';
COMMENT ON COLUMN login_session.stage IS
    'code: the second factor is still asked for; enrol: it has to be set up first';

ALTER TABLE audit
    ADD COLUMN key_id     bigint,
    ADD COLUMN session_id bigint,
    ADD COLUMN request_id text,
    ADD COLUMN seq        bigint UNIQUE,
    ADD COLUMN hash       bytea;
COMMENT ON COLUMN audit.seq IS 'its place in the chain, in the order of commits, without gaps';
COMMENT ON COLUMN audit.hash IS
    'SHA-256 of the hash before (32 zero bytes at the start) and audit_content of this row';
CREATE INDEX audit_object ON audit (object, id);
CREATE INDEX audit_person ON audit (person_id, id);

-- One field of a row as bytes that no other value gives: its length, a colon, itself; - for null.
CREATE FUNCTION audit_field(value text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(octet_length(value) || ':' || value, '-')
$$;

CREATE FUNCTION audit_content(a audit) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT convert_to(
        audit_field(a.seq::text) || audit_field(a.id::text)
        || audit_field((extract(epoch FROM a.at) * 1000000)::bigint::text)
        || audit_field(a.person_id::text) || audit_field(a.key_id::text)
        || audit_field(a.session_id::text) || audit_field(a.request_id)
        || audit_field(a.action) || audit_field(a.object)
        || audit_field(a.before::text) || audit_field(a.after::text), 'UTF8')
$$;

-- Runs at the end of the writing transaction, when it has all its other locks: so the short wait
-- for the chain's lock can never be part of a deadlock, and the lock is held for the commit only.
CREATE FUNCTION audit_seal() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    last audit;
    mine audit;
BEGIN
    PERFORM pg_advisory_xact_lock(71500012);
    SELECT * INTO last FROM audit WHERE seq IS NOT NULL ORDER BY seq DESC LIMIT 1;
    SELECT * INTO STRICT mine FROM audit WHERE id = NEW.id;
    mine.seq := coalesce(last.seq, 0) + 1;
    UPDATE audit SET seq = mine.seq, hash = sha256(
        coalesce(last.hash, decode(repeat('00', 32), 'hex')) || audit_content(mine))
    WHERE id = mine.id;
    RETURN NULL;
END $$;

-- With the owner's rights it must not look into a temporary table that somebody calls `audit`.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION audit_seal() SET search_path = %I, pg_temp', current_schema());
END $$;

-- What was written before this migration is sealed in the order of its ids.
DO $$
DECLARE
    mine audit;
    seal bytea := decode(repeat('00', 32), 'hex');
    place bigint := 0;
BEGIN
    FOR mine IN SELECT * FROM audit ORDER BY id LOOP
        place := place + 1;
        mine.seq := place;
        seal := sha256(seal || audit_content(mine));
        UPDATE audit SET seq = place, hash = seal WHERE id = mine.id;
    END LOOP;
END $$;

CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.hash IS NULL AND NEW.hash IS NOT NULL
       AND (OLD.id, OLD.at, OLD.person_id, OLD.key_id, OLD.session_id, OLD.request_id, OLD.action,
            OLD.object, OLD.before, OLD.after) IS NOT DISTINCT FROM
           (NEW.id, NEW.at, NEW.person_id, NEW.key_id, NEW.session_id, NEW.request_id, NEW.action,
            NEW.object, NEW.before, NEW.after) THEN
        RETURN NEW; -- the seal itself
    END IF;
    RAISE EXCEPTION 'the audit is append-only: % refused', TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $$;

-- A row comes without a seal, whoever writes it; only the end of its transaction gives it one.
CREATE FUNCTION audit_unsealed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.seq := NULL;
    NEW.hash := NULL;
    RETURN NEW;
END $$;

CREATE TRIGGER audit_comes_unsealed BEFORE INSERT ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_unsealed();
CREATE CONSTRAINT TRIGGER audit_is_sealed AFTER INSERT ON audit
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION audit_seal();
CREATE TRIGGER audit_is_kept BEFORE UPDATE OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_is_kept_whole BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();

-- The sites that a scope of a downtime covers.
CREATE FUNCTION sites_of(scope_kind text, scope_id bigint) RETURNS SETOF site
LANGUAGE sql STABLE AS $$
    SELECT s.* FROM site s JOIN grid g ON g.id = s.grid_id
    WHERE CASE sites_of.scope_kind
        WHEN 'area' THEN g.area_id = sites_of.scope_id
        WHEN 'grid' THEN g.id = sites_of.scope_id
        WHEN 'site' THEN s.id = sites_of.scope_id
        WHEN 'gateway' THEN s.id = (SELECT w.site_id FROM gateway w WHERE w.id = sites_of.scope_id)
        WHEN 'charger' THEN s.id = (SELECT c.site_id FROM charger c WHERE c.id = sites_of.scope_id)
        ELSE s.id = (SELECT c.site_id FROM connector n JOIN charger c ON c.id = n.charger_id
                     WHERE n.id = sites_of.scope_id) END
$$;

-- The ticket that an incident came to, or its parent's.
CREATE FUNCTION incident_ticket(i incident) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT coalesce(i.ticket_id, (SELECT up.ticket_id FROM incident up WHERE up.id = i.parent_id))
$$;

-- The grids that narrow what a person sees; an area is its grids.
CREATE FUNCTION grids_of(p person) RETURNS bigint[] LANGUAGE sql STABLE AS $$
    SELECT coalesce(array_agg(own.id ORDER BY own.id), '{}') FROM (
        SELECT w.grid_id AS id FROM person_grid w
        WHERE w.person_id = p.id AND p.role NOT IN ('admin', 'auditor')
        UNION
        SELECT g.id FROM person_area a JOIN grid g ON g.area_id = a.area_id
        WHERE a.person_id = p.id AND p.role IN ('admin', 'auditor')) own
$$;

CREATE FUNCTION areas_of(p person) RETURNS bigint[] LANGUAGE sql STABLE AS $$
    SELECT coalesce(array_agg(a.area_id ORDER BY a.area_id), '{}') FROM person_area a
    WHERE a.person_id = p.id AND p.role IN ('admin', 'auditor')
$$;

-- Whether all that a person may reach lies in these areas, so that their admin answers for them.
-- Whoever reaches nothing yet, or everything, is nobody's but an admin's without areas.
CREATE FUNCTION person_within(p person, areas bigint[]) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT coalesce(bool_and(reach.area_id = ANY(areas)), false) FROM (
        SELECT unnest(areas_of(p)) AS area_id
        UNION ALL
        SELECT g.area_id FROM grid g
        WHERE p.role NOT IN ('admin', 'auditor') AND g.id = ANY(grids_of(p))
        UNION ALL
        SELECT g.area_id FROM site s JOIN grid g ON g.id = s.grid_id
        WHERE s.company_id = p.company_id
        UNION ALL
        SELECT g.area_id FROM ticket t JOIN site s ON s.id = t.site_id
        JOIN grid g ON g.id = s.grid_id
        WHERE t.company_id = p.company_id OR t.assignee_id = p.id) reach
    WHERE CASE p.role WHEN 'operator' THEN p.company_id IS NOT NULL
                      WHEN 'admin' THEN areas_of(p) <> '{}'
                      WHEN 'auditor' THEN areas_of(p) <> '{}' ELSE true END
$$;
