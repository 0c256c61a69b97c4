-- What people do about failures: effects decided, retried and cancelled; events run again.

-- When it was first sent with nobody knowing whether it arrived; what was made since may be its work.
ALTER TABLE effects ADD COLUMN first_sent_at BIGINT;
-- Since when nobody knows whether the last sending arrived, and how often GHL's answer left that open.
ALTER TABLE effects ADD COLUMN doubt_since BIGINT;
ALTER TABLE effects ADD COLUMN doubts BIGINT NOT NULL DEFAULT 0;
-- Since when it fails; time that its connection was parked does not count.
ALTER TABLE effects ADD COLUMN failing_since BIGINT;
-- What the plugin asked for, where a rerun made something else of it: an update in the place of a changed create.
ALTER TABLE effects ADD COLUMN asked TEXT;

DROP INDEX effects_open;
CREATE INDEX effects_open ON effects (id) WHERE state IN ('waiting', 'sending');
CREATE INDEX effects_after ON effects (after_key) WHERE after_key IS NOT NULL;
CREATE INDEX effects_unsettled ON effects (tenant, state) WHERE state IN ('unclear', 'held');
CREATE INDEX effects_failed ON effects (tenant, state, id) WHERE state IN ('refused', 'dead', 'unclear', 'held', 'cancelled');

-- Each sending of an effect; no outcome: under way, or the process ended meanwhile.
CREATE TABLE effect_attempts (
    id INTEGER PRIMARY KEY NOT NULL,
    effect BIGINT NOT NULL,
    tenant TEXT NOT NULL,
    sent_at BIGINT NOT NULL,
    answered_at BIGINT,
    outcome TEXT,
    detail TEXT
);
CREATE INDEX effect_attempts_effect ON effect_attempts (effect, id);

-- What an event changed in the mirror: names of changed fields, which of them are echo, whether it deleted the object.
ALTER TABLE events ADD COLUMN changed TEXT;

-- The run belongs to a rerun of its event: the sequence of the event that asked for it.
ALTER TABLE runs ADD COLUMN rerun BIGINT;

ALTER TABLE dead_letters ADD COLUMN resolution TEXT;
ALTER TABLE dead_letters ADD COLUMN reason TEXT;
CREATE INDEX dead_letters_listed ON dead_letters (tenant, sequence, assignment);

-- Events that people have run again: a retry of a dead letter, or a reprocess with its comparison.
CREATE TABLE reruns (
    id TEXT PRIMARY KEY NOT NULL,
    tenant TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    kind TEXT NOT NULL,
    assignments TEXT NOT NULL,
    state TEXT NOT NULL,
    asked_by TEXT,
    asked_at BIGINT NOT NULL,
    ended_at BIGINT,
    result TEXT
);
CREATE INDEX reruns_sequence ON reruns (tenant, sequence);
