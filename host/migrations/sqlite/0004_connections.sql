-- Connections through OAuth: links that wait for a person, agencies, tokens that are refreshed, installs.

-- Tokens belong to a connection or to an agency; so they name their owner and no longer refer to connections alone.
CREATE TABLE credentials_by_owner (
    owner TEXT PRIMARY KEY NOT NULL,
    tenant TEXT NOT NULL,
    sealed BLOB NOT NULL,
    -- The pair that a refresh under way began with.
    sealed_previous BLOB,
    issued_at BIGINT,
    -- None: it does not end.
    expires_at BIGINT,
    -- When it is to be refreshed; none: not by itself.
    refresh_at BIGINT,
    -- Since when a refresh is under way, and by which process; a mark by none is that of a process that died.
    refreshing_since BIGINT,
    refreshing_by TEXT,
    -- Refreshes that failed since the last that went well, and how the last failed, JSON.
    failures BIGINT NOT NULL,
    failure TEXT,
    version BIGINT NOT NULL
);
INSERT INTO credentials_by_owner (owner, tenant, sealed, failures, version)
    SELECT connection, tenant, sealed, 0, version FROM credentials;
DROP TABLE credentials;
ALTER TABLE credentials_by_owner RENAME TO credentials;
CREATE INDEX credentials_refresh ON credentials (refresh_at) WHERE refresh_at IS NOT NULL;

-- The agency whose token mints this connection's.
ALTER TABLE connections ADD COLUMN agency TEXT;
ALTER TABLE connections ADD COLUMN connected_at BIGINT;
ALTER TABLE connections ADD COLUMN closed_at BIGINT;
ALTER TABLE connections ADD COLUMN closed_reason TEXT;
-- Scopes that GHL refused although they were granted or declared, space separated.
ALTER TABLE connections ADD COLUMN lacking TEXT NOT NULL DEFAULT '';
-- How the first real read went, JSON.
ALTER TABLE connections ADD COLUMN test TEXT;
CREATE INDEX connections_tenant ON connections (tenant, id);

-- A tenant's authorisation of a whole GHL agency.
CREATE TABLE agencies (
    id TEXT PRIMARY KEY NOT NULL,
    tenant TEXT NOT NULL REFERENCES tenants(id),
    app TEXT NOT NULL,
    environment TEXT NOT NULL,
    company TEXT NOT NULL,
    -- active, reconnect-needed or closed.
    state TEXT NOT NULL,
    scopes TEXT NOT NULL,
    connected_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX agencies_company ON agencies (app, company, tenant);

-- Attempts to connect: a link that was handed out, and what became of it. Of the link's state only the hash is kept.
CREATE TABLE authorizations (
    id TEXT PRIMARY KEY NOT NULL,
    state_hash BLOB NOT NULL,
    tenant TEXT NOT NULL REFERENCES tenants(id),
    app TEXT NOT NULL,
    -- The connection it reconnects.
    connection TEXT,
    scopes TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    ended_at BIGINT,
    -- waiting, exchanging, connected or failed.
    outcome TEXT NOT NULL,
    -- Which step failed, with GHL's status, and what was said, secrets left out.
    step TEXT,
    status BIGINT,
    detail TEXT,
    -- What was connected: ids, JSON.
    connected TEXT NOT NULL
);
CREATE UNIQUE INDEX authorizations_state ON authorizations (state_hash);
CREATE INDEX authorizations_tenant ON authorizations (tenant, id);

-- INSTALL and UNINSTALL as they came, done in this order.
CREATE TABLE installs (
    id INTEGER PRIMARY KEY NOT NULL,
    dedupe BLOB NOT NULL,
    app TEXT NOT NULL,
    op TEXT NOT NULL,
    company TEXT,
    location TEXT,
    source_time BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    -- due, waiting for an agency's authorisation, done or failed.
    state TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    detail TEXT,
    ended_at BIGINT
);
CREATE UNIQUE INDEX installs_dedupe ON installs (dedupe);
CREATE INDEX installs_due ON installs (next_at, id) WHERE state = 'due';
CREATE INDEX installs_waiting ON installs (app, company) WHERE state = 'waiting';
