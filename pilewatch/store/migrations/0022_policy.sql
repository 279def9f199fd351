-- Policies that people wrote on the page: tried on history, and then made the installation's own.
CREATE TABLE policy_draft (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    text        text NOT NULL,
    written_by  bigint NOT NULL REFERENCES person,
    written_at  timestamptz NOT NULL,
    from_at     timestamptz NOT NULL,
    to_at       timestamptz NOT NULL CHECK (to_at > from_at),
    state       text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'done', 'failed')),
    alive_at    timestamptz,
    progress    double precision NOT NULL DEFAULT 0,
    result      jsonb,
    problem     text,
    saved_at    timestamptz,
    saved_by    bigint REFERENCES person
);
COMMENT ON COLUMN policy_draft.alive_at IS 'last sign of life of the process that tries it';
COMMENT ON COLUMN policy_draft.saved_at IS 'since when it is in force; the latest of all is';
CREATE INDEX policy_draft_waiting ON policy_draft (id) WHERE state IN ('queued', 'running');
CREATE INDEX policy_draft_saved ON policy_draft (saved_at) WHERE saved_at IS NOT NULL;
