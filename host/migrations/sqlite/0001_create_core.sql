-- The core: whose data it is, what came in, what became of it.
-- Times are product time in milliseconds since 1970; JSON is text; ids are text as given.

CREATE TABLE apps (
    id TEXT PRIMARY KEY NOT NULL,
    environment TEXT NOT NULL,
    client_id TEXT NOT NULL,
    settings TEXT NOT NULL,
    sealed_secret BLOB,
    created_at BIGINT NOT NULL
);

CREATE TABLE tenants (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE connections (
    id TEXT PRIMARY KEY NOT NULL,
    tenant TEXT NOT NULL REFERENCES tenants(id),
    app TEXT,
    environment TEXT NOT NULL,
    location TEXT NOT NULL,
    company TEXT,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    scopes TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
-- At most one connection receives for a location, whether by webhook or by polling.
CREATE UNIQUE INDEX connections_receiving ON connections (environment, location) WHERE state <> 'closed';

CREATE TABLE credentials (
    connection TEXT PRIMARY KEY NOT NULL REFERENCES connections(id),
    tenant TEXT NOT NULL,
    sealed BLOB NOT NULL,
    sealed_previous BLOB,
    expires_at BIGINT,
    refreshing_since BIGINT,
    version BIGINT NOT NULL
);

CREATE TABLE plugin_versions (
    id TEXT PRIMARY KEY NOT NULL,
    plugin TEXT NOT NULL,
    semver TEXT NOT NULL,
    description TEXT NOT NULL,
    uploaded BLOB NOT NULL,
    component BLOB NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX plugin_versions_plugin ON plugin_versions (plugin, created_at);

CREATE TABLE assignments (
    id TEXT PRIMARY KEY NOT NULL,
    tenant TEXT NOT NULL REFERENCES tenants(id),
    plugin TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX assignments_tenant_plugin ON assignments (tenant, plugin);

CREATE TABLE activations (
    assignment TEXT NOT NULL REFERENCES assignments(id),
    version TEXT NOT NULL REFERENCES plugin_versions(id),
    tenant TEXT NOT NULL,
    mode TEXT NOT NULL,
    config TEXT NOT NULL,
    prepared BLOB NOT NULL,
    grants TEXT NOT NULL,
    activated_at BIGINT NOT NULL,
    PRIMARY KEY (assignment, version)
);
CREATE UNIQUE INDEX activations_active ON activations (assignment) WHERE mode = 'active';

-- One slim row for each thing that happened; the dedupe key is 16 bytes of a hash over app and webhook id.
CREATE TABLE inbox (
    sequence INTEGER PRIMARY KEY NOT NULL,
    dedupe BLOB NOT NULL,
    tenant TEXT NOT NULL,
    connection TEXT NOT NULL,
    event_type TEXT NOT NULL,
    cause TEXT NOT NULL,
    lane TEXT NOT NULL,
    webhook_id TEXT,
    received_at BIGINT NOT NULL,
    source_time BIGINT NOT NULL,
    body TEXT NOT NULL
);
CREATE UNIQUE INDEX inbox_dedupe ON inbox (dedupe);

CREATE TABLE conflicting_deliveries (
    id INTEGER PRIMARY KEY NOT NULL,
    sequence BIGINT NOT NULL,
    tenant TEXT NOT NULL,
    webhook_id TEXT,
    received_at BIGINT NOT NULL,
    body TEXT NOT NULL
);

-- What became of an inbox row; no row yet means: received, not begun.
CREATE TABLE events (
    sequence INTEGER PRIMARY KEY NOT NULL,
    tenant TEXT NOT NULL,
    state TEXT NOT NULL,
    run_order BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    next_at BIGINT,
    folded_into BIGINT,
    ended_at BIGINT
);
CREATE INDEX events_open ON events (state, sequence) WHERE state <> 'done';

CREATE TABLE runs (
    id INTEGER PRIMARY KEY NOT NULL,
    tenant TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    assignment TEXT NOT NULL,
    version TEXT NOT NULL,
    interface TEXT NOT NULL,
    outcome TEXT NOT NULL,
    detail TEXT,
    fuel BIGINT NOT NULL,
    micros BIGINT NOT NULL,
    ran_at BIGINT NOT NULL,
    log TEXT
);
CREATE INDEX runs_sequence ON runs (sequence);

CREATE TABLE dead_letters (
    sequence BIGINT NOT NULL,
    assignment TEXT NOT NULL,
    tenant TEXT NOT NULL,
    version TEXT NOT NULL,
    outcome TEXT NOT NULL,
    detail TEXT NOT NULL,
    died_at BIGINT NOT NULL,
    resolved_at BIGINT,
    PRIMARY KEY (sequence, assignment)
);
CREATE INDEX dead_letters_tenant ON dead_letters (tenant, died_at);

-- The last known fields of each GHL object: {field: {"v": value, "t": source time, "s": sequence}}.
CREATE TABLE mirror (
    connection TEXT NOT NULL,
    kind TEXT NOT NULL,
    ghl_id TEXT NOT NULL,
    tenant TEXT NOT NULL,
    contact TEXT,
    fields TEXT NOT NULL,
    answered TEXT,
    deleted_at BIGINT,
    PRIMARY KEY (connection, kind, ghl_id)
);

-- Rankr's copy, each field with its provenance.
CREATE TABLE records (
    tenant TEXT NOT NULL,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    fields TEXT NOT NULL,
    provenance TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted_at BIGINT,
    PRIMARY KEY (tenant, kind, id)
);

CREATE TABLE links (
    tenant TEXT NOT NULL,
    kind TEXT NOT NULL,
    connection TEXT NOT NULL,
    ghl_id TEXT NOT NULL,
    rankr_id TEXT NOT NULL,
    made_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, kind, connection, ghl_id)
);
CREATE INDEX links_rankr ON links (tenant, kind, rankr_id);

CREATE TABLE timeline (
    id INTEGER PRIMARY KEY NOT NULL,
    tenant TEXT NOT NULL,
    contact TEXT,
    at BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    kind TEXT NOT NULL,
    entry TEXT NOT NULL
);
CREATE INDEX timeline_contact ON timeline (tenant, contact, at, id);

CREATE TABLE progress (
    name TEXT PRIMARY KEY NOT NULL,
    value BIGINT NOT NULL
);
