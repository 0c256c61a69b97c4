//! What plugins ask for, from plan to outbox.
