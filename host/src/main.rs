//! The `mapwright` command; everything it does is in the library.

/// Runs, bodies and records are many small allocations on several threads at once, where the system's allocator is slow.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    mapwright::cli::run()
}
