//! The only place that writes to standard output and standard error directly.

/// Writes a line of data to standard output.
#[expect(clippy::print_stdout, reason = "standard output is where a command's data goes")]
pub(super) fn say(line: &str) {
    println!("{line}");
}

/// Writes a line for the person at the terminal to standard error.
#[expect(clippy::print_stderr, reason = "standard error is where a command speaks to its person")]
pub(super) fn complain(line: &str) {
    eprintln!("{line}");
}
