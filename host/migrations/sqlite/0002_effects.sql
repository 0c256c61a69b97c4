-- What runs asked for, what they read, what they remember, what comes due.

-- The plan of each run, effect by effect. Local ones are done with the event; remote ones wait here to be sent.
-- States: waiting, sending, done, refused, dead, unclear; held while what it names is unclear.
CREATE TABLE effects (
    id INTEGER PRIMARY KEY NOT NULL,
    tenant TEXT NOT NULL,
    connection TEXT NOT NULL,
    assignment TEXT NOT NULL,
    version TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    -- Event, assignment, and the author's key or the position: the same for the same effect, however often it is planned.
    effect_key TEXT NOT NULL,
    author_key TEXT,
    lane TEXT NOT NULL,
    contact TEXT,
    cause TEXT NOT NULL,
    op TEXT NOT NULL,
    -- repeatable, findable or blind; none for local ones.
    class TEXT,
    makes BIGINT NOT NULL,
    content TEXT NOT NULL,
    -- The effect whose result it names.
    after_key TEXT,
    state TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    next_at BIGINT,
    sending_at BIGINT,
    ghl_id TEXT,
    detail TEXT,
    created_at BIGINT NOT NULL,
    ended_at BIGINT
);
CREATE UNIQUE INDEX effects_key ON effects (effect_key);
CREATE INDEX effects_open ON effects (lane, id) WHERE state IN ('waiting', 'sending');
CREATE INDEX effects_sending ON effects (connection, contact) WHERE state = 'sending';
CREATE INDEX effects_tenant ON effects (tenant, id);
CREATE INDEX effects_sequence ON effects (sequence);
CREATE INDEX effects_author ON effects (assignment, lane, author_key) WHERE author_key IS NOT NULL;
CREATE INDEX effects_made ON effects (ghl_id) WHERE ghl_id IS NOT NULL AND makes = 1;
CREATE INDEX effects_recent ON effects (assignment, contact, created_at);

-- What a plugin remembers, of a contact (GHL's id) or of the tenant ('').
CREATE TABLE plugin_state (
    tenant TEXT NOT NULL,
    plugin TEXT NOT NULL,
    state_schema BIGINT NOT NULL,
    contact TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB,
    version BIGINT NOT NULL,
    PRIMARY KEY (tenant, plugin, state_schema, contact, key)
);

-- Later runs that plugins asked for; each becomes one event.
CREATE TABLE schedules (
    assignment TEXT NOT NULL,
    contact TEXT NOT NULL,
    key TEXT NOT NULL,
    tenant TEXT NOT NULL,
    connection TEXT NOT NULL,
    lane TEXT NOT NULL,
    at BIGINT NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (assignment, contact, key)
);
CREATE INDEX schedules_at ON schedules (at);

-- Events for Rankr, in the order they were made.
CREATE TABLE rankr_events (
    id INTEGER PRIMARY KEY NOT NULL,
    tenant TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    assignment TEXT NOT NULL,
    contact TEXT,
    event_type TEXT NOT NULL,
    data TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX rankr_events_tenant ON rankr_events (tenant, id);

-- What the runs of an event were answered.
CREATE TABLE run_reads (
    sequence BIGINT NOT NULL,
    request TEXT NOT NULL,
    tenant TEXT NOT NULL,
    answer TEXT NOT NULL,
    read_at BIGINT NOT NULL,
    PRIMARY KEY (sequence, request)
);
