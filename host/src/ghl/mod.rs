//! The GHL client: transport, tokens, limiter and one file per resource.
