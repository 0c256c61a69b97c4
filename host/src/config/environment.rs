//! The process's environment, read here and nowhere else.

/// The value of an environment variable, if it is set to text.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this file is where the environment enters")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The file of the running program.
///
/// # Errors
/// When the operating system does not tell.
pub fn own_program() -> std::io::Result<std::path::PathBuf> {
    std::env::current_exe()
}
