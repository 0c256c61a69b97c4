-- Connections with an API key get no webhooks: how far each has been polled, and what was last seen there.

CREATE TABLE polling (
    connection TEXT PRIMARY KEY NOT NULL REFERENCES connections(id),
    tenant TEXT NOT NULL,
    -- Watermarks and cursors, JSON of the sync room.
    progress TEXT NOT NULL,
    passes BIGINT NOT NULL,
    began_at BIGINT,
    ended_at BIGINT,
    next_at BIGINT NOT NULL,
    -- When the first complete pass ended.
    backfilled_at BIGINT,
    -- What was changed in GHL before this moment has been found.
    covers_until BIGINT,
    -- Events by kind of object, JSON.
    found TEXT NOT NULL,
    calls BIGINT NOT NULL,
    -- Why the last pass could not go on, without personal data.
    failure TEXT,
    failed_at BIGINT,
    -- What the key could read when it was last tried, JSON.
    self_test TEXT
);

-- Each object as it was last seen: fingerprints alone, no field of it.
CREATE TABLE polled (
    connection TEXT NOT NULL REFERENCES connections(id),
    kind TEXT NOT NULL,
    ghl_id TEXT NOT NULL,
    tenant TEXT NOT NULL,
    contact TEXT,
    -- The same for the same state.
    version TEXT NOT NULL,
    -- Of parts that have event types of their own.
    parts TEXT NOT NULL,
    source_time BIGINT NOT NULL,
    -- How often it changed, so that a state that comes back is news again.
    changes BIGINT NOT NULL,
    -- The last complete listing it was seen in.
    round BIGINT NOT NULL,
    -- When an appointment begins.
    starts_at BIGINT,
    -- Of contacts: when what belongs to it was last read, and by what order it is read next.
    visited_at BIGINT,
    due_at BIGINT NOT NULL,
    deleted_at BIGINT,
    PRIMARY KEY (connection, kind, ghl_id)
);
CREATE INDEX polled_due ON polled (connection, due_at) WHERE kind = 'contact' AND deleted_at IS NULL;
CREATE INDEX polled_round ON polled (connection, kind, round) WHERE deleted_at IS NULL;
CREATE INDEX polled_contact ON polled (connection, contact) WHERE contact IS NOT NULL AND deleted_at IS NULL;

-- Objects whose echo has not come.
CREATE INDEX mirror_answered ON mirror (connection) WHERE answered <> '{}';
