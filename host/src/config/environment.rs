//! The process's environment, read here and nowhere else.

/// The value of an environment variable, if it is set to text.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this file is where the environment enters")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
