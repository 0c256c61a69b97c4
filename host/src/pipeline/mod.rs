//! One event's journey from the inbox to its end.
