//! The WebAssembly runtime: packages checked, versions loaded, runs under limits. The only room that knows wasmtime.
