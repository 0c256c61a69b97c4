//! All SQL, a file per aggregate. No other room sees the database.
