//! The only place that reads the environment.

use std::ffi::OsString;

/// The value of a variable, if it is set and not empty.
#[expect(
    clippy::disallowed_methods,
    reason = "a developer's tool takes its few settings here and nowhere else"
)]
fn read(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The broker that somebody else runs for us.
pub(crate) fn amqp_url() -> Option<String> {
    read("AMQP_URL")
}

/// The database that somebody else runs for us.
pub(crate) fn database_url() -> Option<String> {
    read("DATABASE_URL")
}

/// The directories that hold programs.
pub(crate) fn program_directories() -> Vec<std::path::PathBuf> {
    let path = read("PATH").unwrap_or_else(|| "/usr/bin:/bin".to_owned());
    std::env::split_paths(&path).collect()
}

/// The cargo that runs us, so that no other toolchain takes part.
pub(crate) fn cargo() -> String {
    read("CARGO").unwrap_or_else(|| "cargo".to_owned())
}

/// Variables that cargo set for this program alone. A cargo below us must not see them: build scripts that
/// watch them would run again and again.
pub(crate) fn cargo_variables() -> Vec<OsString> {
    names_with(&["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_BIN_"])
}

/// Variables that would configure the programs of the demo behind its back.
pub(crate) fn product_variables() -> Vec<OsString> {
    names_with(&["TWILIO_", "FACTEUR_"])
}

fn names_with(prefixes: &[&str]) -> Vec<OsString> {
    let names = std::env::vars_os().map(|(name, _)| name);
    names
        .filter(|name| name.to_str().is_some_and(|name| prefixes.iter().any(|p| name.starts_with(p))))
        .collect()
}
