-- Parts of events that wait, and the breakers that make them wait.

-- Assignments that failed on too many contacts. No row: the breaker is closed.
CREATE TABLE breakers (
    assignment TEXT PRIMARY KEY NOT NULL REFERENCES assignments(id),
    tenant TEXT NOT NULL,
    opened_at BIGINT NOT NULL,
    -- When one held run is tried.
    probe_at BIGINT NOT NULL,
    -- Probes that failed since it opened; each doubles the pause.
    probes BIGINT NOT NULL,
    -- How many contacts it failed on when it opened, and the outcome's word of the last failure.
    contacts BIGINT NOT NULL,
    outcome TEXT NOT NULL
);

-- This assignment has not run on this event yet; everything else of the event is done. In the order of ingest within
-- the lane it will.
CREATE TABLE held_runs (
    assignment TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    tenant TEXT NOT NULL,
    lane TEXT NOT NULL,
    -- breaker, failure (it failed under the policy hold) or behind (it waits for one before it in its lane).
    reason TEXT NOT NULL,
    -- What the event changed, JSON: the run is told what it would have been told then.
    changed TEXT NOT NULL,
    -- Of a failure: the version, the outcome's word and what failed.
    version TEXT,
    outcome TEXT,
    detail TEXT,
    held_at BIGINT NOT NULL,
    PRIMARY KEY (assignment, sequence)
);
CREATE INDEX held_runs_lane ON held_runs (assignment, lane, sequence);
CREATE INDEX held_runs_sequence ON held_runs (sequence);
CREATE INDEX held_runs_tenant ON held_runs (tenant, sequence);
