//! contact-profile
