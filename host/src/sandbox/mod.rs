//! The imitation GHL, a process of its own.
