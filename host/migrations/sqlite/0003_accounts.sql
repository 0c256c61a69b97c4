-- Who may do what, and who did what.

-- A key is kept as its SHA-256; the key itself is shown once, when it is made.
CREATE TABLE api_keys (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    -- The only tenant it reaches; none: all.
    tenant TEXT REFERENCES tenants(id),
    hash BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    last_used_at BIGINT,
    revoked_at BIGINT
);
CREATE UNIQUE INDEX api_keys_hash ON api_keys (hash);

-- One row for each change that someone asked for; no secrets, no personal data.
CREATE TABLE audit (
    id INTEGER PRIMARY KEY NOT NULL,
    at BIGINT NOT NULL,
    -- `host-key`, `local`, or `key:` and the key's id.
    actor TEXT NOT NULL,
    address TEXT,
    -- The verb, such as tenant.pause.
    action TEXT NOT NULL,
    -- What it was done to, by id.
    object TEXT NOT NULL,
    tenant TEXT,
    -- done, refused (the caller's fault) or failed (ours).
    result TEXT NOT NULL,
    -- The HTTP status of what was refused or failed.
    status BIGINT,
    request TEXT
);
CREATE INDEX audit_tenant ON audit (tenant, id);
CREATE INDEX audit_action ON audit (action, id);
CREATE INDEX audit_actor ON audit (actor, id);

-- Since when a tenant is paused or, after that, active again.
ALTER TABLE tenants ADD COLUMN state_since BIGINT;
