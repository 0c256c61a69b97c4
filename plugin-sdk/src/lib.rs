//! mapwright-sdk
