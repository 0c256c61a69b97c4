//! The `mapwright` command; everything it does is in the library.

fn main() -> std::process::ExitCode {
    mapwright::cli::run()
}
