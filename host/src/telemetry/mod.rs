//! Names of log fields and metrics; the subscriber.
