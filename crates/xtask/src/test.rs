//! `cargo xtask test`: every test, with the services that they need.

use std::path::Path;

use anyhow::Result;

use crate::{cargo, say, services};

/// Properties are tried with the same draws each time, so that no change is refused for what another one left; plain
/// `cargo nextest run` draws anew and finds the rest.
const DRAWS: (&str, &str) = ("PROPTEST_RNG_SEED", "1");

/// Runs every test and gives the lines that sum it up. The services are afterwards as they were before.
pub(crate) async fn run(root: &Path) -> Result<Vec<String>> {
    let started = services::up(root).await?;
    let outcome = run_tests(root);
    services::stop(root, &started).await?;
    outcome
}

fn run_tests(root: &Path) -> Result<Vec<String>> {
    if cargo::output(root, &["nextest", "--version"]).is_none() {
        say::progress("cargo-nextest is not installed: using cargo test");
        return Ok(summaries(&cargo::watch(root, &["test", "--workspace", "--no-fail-fast"], DRAWS)?));
    }
    let mut lines = cargo::watch(root, &["nextest", "run", "--workspace", "--no-fail-fast"], DRAWS)?;
    // nextest knows nothing of the examples in the documentation.
    lines.extend(cargo::watch(root, &["test", "--quiet", "--workspace", "--doc"], DRAWS)?);
    Ok(summaries(&lines))
}

/// The lines in which nextest and cargo test sum up what they ran.
fn summaries(lines: &[String]) -> Vec<String> {
    let is_summary = |line: &&String| {
        let line = line.trim_start();
        line.starts_with("Summary [")
            || (line.starts_with("test result:") && !line.contains(" 0 passed; 0 failed"))
    };
    lines.iter().filter(is_summary).map(|line| line.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::summaries;

    #[test]
    fn the_summaries_of_both_runners_are_found_and_empty_ones_left_out() {
        let lines = [
            "        PASS [   0.005s] (1/2) facteur-core a_test",
            "     Summary [   0.790s] 14 tests run: 14 passed, 0 skipped",
            "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        ];
        let found = summaries(&lines.map(str::to_owned));
        assert_eq!(found.len(), 2);
        assert!(found[0].starts_with("Summary [") && found[1].contains("3 passed"));
    }
}
