//! Settings, checked as a whole.
