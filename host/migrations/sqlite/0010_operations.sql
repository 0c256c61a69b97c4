-- What stands still is counted at each scrape of the metrics; these indexes hold nothing else.
CREATE INDEX effects_stuck ON effects (state) WHERE state IN ('held', 'unclear');
CREATE INDEX dead_letters_open ON dead_letters (tenant) WHERE resolved_at IS NULL;
