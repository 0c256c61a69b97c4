-- Timing rules, and the moments they count from. Times are product time in milliseconds since 1970.

-- A rule and how far it has fired: every slot up to done_to is done.
CREATE TABLE timing_rules (
    id TEXT PRIMARY KEY NOT NULL,
    tenant TEXT NOT NULL REFERENCES tenants(id),
    kind TEXT NOT NULL,
    -- The rule as a person wrote it, JSON.
    spec TEXT NOT NULL,
    enabled BIGINT NOT NULL,
    -- `api` or `configuration`.
    origin TEXT NOT NULL,
    -- Grows with every change of the rule.
    revision BIGINT NOT NULL,
    -- Slots up to here are none of its.
    since BIGINT NOT NULL,
    done_to BIGINT NOT NULL,
    -- The calendar slot whose contacts are being told, if one is.
    under_way BIGINT,
    -- The last of them that was told, or the last object of done_to.
    done_after TEXT,
    -- When there is something to do; none: not before something changes.
    next_at BIGINT,
    fired BIGINT NOT NULL,
    last_slot BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX timing_rules_tenant ON timing_rules (tenant, id);
CREATE INDEX timing_rules_next ON timing_rules (next_at) WHERE enabled = 1 AND next_at IS NOT NULL;

-- For each object the moment that timing counts from: when a task is due, an appointment starts, something last
-- happened with a contact. None: it does not count, being done, cancelled or deleted.
CREATE TABLE moments (
    id INTEGER PRIMARY KEY NOT NULL,
    tenant TEXT NOT NULL,
    connection TEXT NOT NULL,
    kind TEXT NOT NULL,
    ghl_id TEXT NOT NULL,
    contact TEXT,
    at BIGINT,
    -- Grows with every change of any row, so that what came late is found.
    change BIGINT NOT NULL
);
CREATE UNIQUE INDEX moments_object ON moments (connection, kind, ghl_id);
CREATE INDEX moments_at ON moments (tenant, kind, at) WHERE at IS NOT NULL;
CREATE INDEX moments_change ON moments (change);

-- What was there before this table: tasks and appointments by their mirror, contacts by their timeline.
INSERT INTO moments (tenant, connection, kind, ghl_id, contact, at, change)
SELECT tenant, connection, kind, ghl_id, contact, at, row_number() OVER () FROM (
    SELECT m.tenant, m.connection, m.kind, m.ghl_id, m.contact,
        CASE
            WHEN m.deleted_at IS NOT NULL THEN NULL
            WHEN m.kind = 'task' AND m.fields ->> '$.completed[0]' = 1 THEN NULL
            WHEN m.kind = 'task' THEN CAST(unixepoch(m.fields ->> '$.dueDate[0]', 'subsec') * 1000 AS INTEGER)
            WHEN m.fields ->> '$.appointmentStatus[0]' IN ('cancelled', 'invalid') THEN NULL
            ELSE CAST(unixepoch(m.fields ->> '$.startTime[0]', 'subsec') * 1000 AS INTEGER)
        END AS at
    FROM mirror m WHERE m.kind IN ('task', 'appointment')
    UNION ALL
    SELECT m.tenant, m.connection, m.kind, m.ghl_id, m.ghl_id,
        CASE WHEN m.deleted_at IS NULL THEN (SELECT max(t.at) FROM links l JOIN timeline t
            ON t.tenant = l.tenant AND t.contact = l.rankr_id
            WHERE l.tenant = m.tenant AND l.kind = 'contact' AND l.connection = m.connection AND l.ghl_id = m.ghl_id) END
    FROM mirror m WHERE m.kind = 'contact'
);
INSERT INTO progress (name, value) SELECT 'moments', count(*) FROM moments;

-- What views look through: a tenant's rows in the order of writing and of happening, and all that belongs to an event.
CREATE INDEX timeline_tenant ON timeline (tenant);
CREATE INDEX timeline_time ON timeline (tenant, at);
CREATE INDEX timeline_sequence ON timeline (sequence);
CREATE INDEX events_tenant ON events (tenant, sequence);
CREATE INDEX events_folded ON events (folded_into) WHERE folded_into IS NOT NULL;
CREATE INDEX runs_tenant ON runs (tenant);
CREATE INDEX conflicting_deliveries_tenant ON conflicting_deliveries (tenant);
CREATE INDEX conflicting_deliveries_sequence ON conflicting_deliveries (sequence);
CREATE INDEX records_updated ON records (tenant, updated_at);
-- By what people look a contact up.
CREATE INDEX records_email ON records (tenant, fields ->> '$.email') WHERE kind = 'contact';
CREATE INDEX records_phone ON records (tenant, fields ->> '$.phone') WHERE kind = 'contact';
CREATE INDEX links_ghl ON links (tenant, ghl_id);
