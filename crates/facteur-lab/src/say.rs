//! What the person at the terminal reads: results on stdout, progress on stderr.

use std::io::Write;

/// A line of the result. A closed stdout is nobody's fault and loses nothing.
pub fn result(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// A line of progress.
pub fn progress(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
