//! What a command prints: one document, as text for people or as JSON for programs.

use std::io::{self, ErrorKind, Write};

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table, TableComponent};
use serde::Serialize;

/// Where a command prints to.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// Whether JSON was asked for.
    pub is_json: bool,
}

impl Output {
    /// Prints a command's one document: as JSON, or as the text that `human` makes of it.
    ///
    /// # Errors
    /// If stdout can't be written. A reader that went away (`| head`) is no error.
    pub fn show<T: Serialize>(self, document: &T, human: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
        let text = if self.is_json {
            serde_json::to_string_pretty(document)?
        } else {
            for_a_terminal(&human(document))
        };
        print(&text)
    }
}

/// What a stranger wrote (a routing key, a header, a body) must not steer the terminal.
fn for_a_terminal(text: &str) -> String {
    let shown = |line: &str| {
        let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
        line.trim_end().chars().map(escape).collect::<String>()
    };
    text.lines().map(shown).collect::<Vec<_>>().join("\n")
}

/// Prints a text and ends its last line.
///
/// # Errors
/// If stdout can't be written. A reader that went away (`| head`) is no error.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = writeln!(stdout, "{}", text.trim_end()).and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Tells a person something that is not the command's document.
pub fn tell(text: &str) {
    // Nobody is left to be told if stderr is gone.
    let _ = writeln!(io::stderr().lock(), "{}", for_a_terminal(text));
}

/// An empty table in the style of all tables.
#[must_use]
pub fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table
        .set_style(TableComponent::HeaderLines, '─')
        .set_style(TableComponent::MiddleHeaderIntersections, '─');
    table.set_header(headings);
    table
}

#[cfg(test)]
mod tests {
    use super::for_a_terminal;

    #[test]
    fn what_a_stranger_wrote_does_not_steer_the_terminal() {
        assert_eq!(for_a_terminal("a\u{1b}[2Jb  \nc\u{7}é\u{9b}"), "a\\u{1b}[2Jb\nc\\u{7}é\\u{9b}");
    }
}
