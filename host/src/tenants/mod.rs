//! Apps, tenants, connections and assignments.
