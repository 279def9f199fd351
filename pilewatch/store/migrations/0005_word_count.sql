-- How often somebody without an account has spoken. Addresses are kept only as keyed hashes, and
-- the day's secret is deleted afterwards, so that nobody can find them out.

CREATE TABLE daily_salt (
    day  date PRIMARY KEY,
    salt bytea NOT NULL
);

CREATE TABLE word_count (
    source    bytea NOT NULL,
    opens_at  timestamptz NOT NULL,
    closes_at timestamptz NOT NULL,
    words     integer NOT NULL,
    PRIMARY KEY (source, opens_at, closes_at)
);
CREATE INDEX word_count_closes ON word_count (closes_at);
