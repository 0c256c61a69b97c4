//! mapwright-tests
