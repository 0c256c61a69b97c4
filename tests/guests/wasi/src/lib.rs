//! A guest that asks WASI 0.2 for what Rust's std asks of it on `wasm32-wasip2`: it prints, looks at clocks, draws random
//! numbers, reads its environment, sleeps and exits. The event's type says which.

// Natively there is no host to speak to, and nothing of it is built.
#[cfg(target_family = "wasm")]
mod guest;
