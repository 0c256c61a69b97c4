//! Records, their provenance and links.
