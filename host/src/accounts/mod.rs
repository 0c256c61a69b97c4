//! Who may do what: keys, actors, permissions.
