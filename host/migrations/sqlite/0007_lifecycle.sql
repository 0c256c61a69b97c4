-- Activations as acts of people: each keeps its own prepared bytes and grants, so that roll back is a pointer.

ALTER TABLE plugin_versions ADD COLUMN imports TEXT NOT NULL DEFAULT '[]';

-- A version with a configuration, grants and a failure policy. Only its mode changes: active, off (later shadow, canary).
-- The same version with another configuration is another activation, so that roll back brings the configuration back.
CREATE TABLE activations_new (
    id TEXT PRIMARY KEY NOT NULL,
    assignment TEXT NOT NULL REFERENCES assignments(id),
    version TEXT NOT NULL REFERENCES plugin_versions(id),
    tenant TEXT NOT NULL,
    mode TEXT NOT NULL,
    config TEXT NOT NULL,
    prepared BLOB NOT NULL,
    grants TEXT NOT NULL,
    -- dead-letter or hold.
    on_failure TEXT NOT NULL,
    -- api, configuration or folder.
    source TEXT NOT NULL,
    -- The activation that was current before; roll back goes there.
    previous TEXT,
    activated_at BIGINT NOT NULL
);
INSERT INTO activations_new
    SELECT 'ac_' || lower(hex(randomblob(16))), assignment, version, tenant, mode, config, prepared, grants,
        'dead-letter', 'configuration', NULL, activated_at
    FROM activations;
DROP TABLE activations;
ALTER TABLE activations_new RENAME TO activations;
CREATE UNIQUE INDEX activations_active ON activations (assignment) WHERE mode = 'active';
CREATE INDEX activations_assignment ON activations (assignment, activated_at);

-- on or off; the activation that runs when it is on; what the configuration last asked for, as a hash.
ALTER TABLE assignments ADD COLUMN state TEXT NOT NULL DEFAULT 'on';
ALTER TABLE assignments ADD COLUMN current TEXT;
ALTER TABLE assignments ADD COLUMN configured TEXT;
UPDATE assignments SET current =
    (SELECT id FROM activations WHERE activations.assignment = assignments.id AND mode = 'active');
