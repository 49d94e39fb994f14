//! Rules of the house that no compiler knows.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::check::files;

const LINES_MAX: usize = 400;
/// Put together, so that this file keeps its own rules.
const UNFINISHED: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];
const IGNORED: &str = concat!("#[ig", "nore");
const SLEEP: &str = concat!("sl", "eep(");

/// The places where a rule is broken.
pub(crate) fn broken(root: &Path) -> Result<Vec<String>> {
    let crates = root.join("crates");
    let mut sources = Vec::new();
    for path in files(&crates, ".rs")? {
        let text = fs::read_to_string(&path)?;
        sources.push((path.strip_prefix(root).unwrap_or(&path).to_owned(), text));
    }
    let mut broken = sources_broken(&sources);
    let page = fs::read_to_string(root.join("ARCHITECTURE.md")).context("ARCHITECTURE.md is missing")?;
    broken.extend(missing(root, &page)?);
    Ok(broken)
}

/// What the source files break. Under a virtual clock, waiting is a fact of the test and costs no time.
fn sources_broken(sources: &[(PathBuf, String)]) -> Vec<String> {
    let paused = sources.iter().filter(|(_, text)| text.contains("start_paused"));
    let paused: BTreeSet<&Path> = paused.map(|(path, _)| program(path)).collect();
    sources.iter().flat_map(|(path, text)| source(path, text, paused.contains(program(path)))).collect()
}

/// The test program that a file belongs to: the directory of one that has many files, else the file itself.
fn program(path: &Path) -> &Path {
    let is_program = |directory: &&Path| directory.parent().is_some_and(|above| above.ends_with("tests"));
    path.ancestors().skip(1).find(is_program).unwrap_or(path)
}

/// What one source file breaks.
fn source(path: &Path, text: &str, is_virtual_time: bool) -> Vec<String> {
    let is_test = path.components().any(|part| part.as_os_str() == "tests")
        || path.file_stem().is_some_and(|stem| stem == "tests" || stem.to_string_lossy().ends_with("_tests"));
    let mut broken = Vec::new();
    let lines = text.lines().count();
    if !is_test && lines > LINES_MAX {
        broken.push(format!("{}: {lines} lines; at most {LINES_MAX}", path.display()));
    }
    let mut word = |word: &str, why: &str| {
        // A word inside another one, such as pg_sleep, is another word.
        let is_there = |line: &str| {
            line.match_indices(word)
                .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
        };
        for (index, _) in text.lines().enumerate().filter(|(_, line)| is_there(line)) {
            broken.push(format!("{}:{}: {word} {why}", path.display(), index + 1));
        }
    };
    UNFINISHED.iter().for_each(|mark| word(mark, "says that something is not finished"));
    word(IGNORED, "hides a test");
    if is_test && !is_virtual_time {
        word(SLEEP, "is no synchronisation");
    }
    broken
}

/// Paths that a page names in backticks and that don't exist. Crates may be named without their directory,
/// files of the workspace by their bare name.
fn missing(root: &Path, page: &str) -> Result<Vec<String>> {
    let endings = [".rs", ".sql", ".toml", ".md", ".yml"];
    let names: BTreeSet<_> = files(&root.join("crates"), "")?
        .iter()
        .filter_map(|path| Some(path.file_name()?.to_owned()))
        .collect();
    let is_there = |name: &str| {
        let candidates: [PathBuf; 3] =
            [root.join(name), root.join("crates").join(name), root.join("migrations").join(name)];
        candidates.iter().any(|path| path.exists())
            || (!name.contains('/') && names.contains(Path::new(name).as_os_str()))
    };
    let is_path = |word: &str| {
        let is_plain =
            word.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c)) && !word.starts_with('/');
        let is_below =
            ["crates/", "migrations/", "deploy/", "docs/", ".ci/"].iter().any(|root| word.starts_with(root));
        is_plain && (is_below || endings.iter().any(|ending| word.ends_with(ending)))
    };
    let words = page.split('`').skip(1).step_by(2).filter(|word| is_path(word) && !is_there(word));
    Ok(words.map(|word| format!("ARCHITECTURE.md names {word}, which doesn't exist")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken_in(path: &str, text: &str) -> Vec<String> {
        sources_broken(&[(PathBuf::from(path), text.to_owned())])
    }

    #[test]
    fn a_long_file_is_told_unless_it_is_a_test() {
        let long = "//\n".repeat(LINES_MAX + 1);
        assert_eq!(broken_in("crates/a/src/lib.rs", &long), ["crates/a/src/lib.rs: 401 lines; at most 400"]);
        assert!(broken_in("crates/a/src/lib_tests.rs", &long).is_empty());
        assert!(broken_in("crates/a/tests/it.rs", &long).is_empty());
    }

    #[test]
    fn marks_of_unfinished_work_and_hidden_tests_are_told_with_their_line() {
        let text = format!("fn main() {{}}\n// {} later\n{}]\n", UNFINISHED[0], IGNORED);
        let broken = broken_in("crates/a/src/lib.rs", &text);
        assert_eq!(broken.len(), 2);
        assert!(
            broken[0].starts_with("crates/a/src/lib.rs:2: ")
                && broken[1].starts_with("crates/a/src/lib.rs:3: ")
        );
    }

    #[test]
    fn waiting_by_the_clock_is_told_in_tests_alone() {
        let text = format!("tokio::time::{SLEEP}moment);");
        assert_eq!(broken_in("crates/a/tests/it.rs", &text).len(), 1);
        assert_eq!(broken_in("crates/a/src/config/tests.rs", &text).len(), 1);
        assert!(broken_in("crates/a/src/lib.rs", &text).is_empty());
        assert!(broken_in("crates/a/tests/it.rs", &format!("SELECT pg_{SLEEP}1)")).is_empty());
    }

    #[test]
    fn waiting_is_allowed_in_programs_that_run_under_a_virtual_clock() {
        let file = |path: &str, text: &str| (PathBuf::from(path), text.to_owned());
        let clock = file("crates/a/tests/life/main.rs", "start_paused(true)");
        let waits = file("crates/a/tests/life/ports.rs", &format!("{SLEEP}latency)"));
        let other = file("crates/a/tests/it.rs", &format!("{SLEEP}moment)"));
        assert_eq!(
            sources_broken(&[clock, waits, other]),
            ["crates/a/tests/it.rs:1: sleep( is no synchronisation"]
        );
    }

    #[test]
    fn a_page_that_names_what_is_not_there_is_told() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        let page = "See `crates/xtask/src/tidy.rs`, `xtask/src/main.rs`, `tidy.rs`, `a sentence.md`, `crates/nowhere` \
                    and `nothing.rs`.";
        let missing = missing(root, page).unwrap();
        assert_eq!(missing.len(), 2, "{missing:?}");
        assert!(missing[0].contains("crates/nowhere") && missing[1].contains("nothing.rs"));
    }
}
