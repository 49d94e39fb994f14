//! Finds the services that `cargo xtask services up` started, or those that the environment names.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// A service that answers somewhere.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    pub(crate) url: String,
    /// Whether it runs for this checkout on this machine, and not for others as well.
    pub(crate) is_private: bool,
}

/// The broker.
pub(crate) fn broker() -> Service {
    find("AMQP_URL", "amqp_url")
}

/// The database server.
pub(crate) fn database() -> Service {
    find("DATABASE_URL", "database_url")
}

/// The HTTP interface of the private broker.
pub(crate) fn management_url() -> Option<String> {
    remembered("management_url")
}

#[expect(clippy::disallowed_methods, reason = "the tests' services are found here and nowhere else")]
#[expect(clippy::panic, reason = "a test without its services can't go on")]
fn find(variable: &str, key: &str) -> Service {
    if let Some(url) = std::env::var(variable).ok().filter(|url| !url.is_empty()) {
        return Service { is_private: remembered(key).as_ref() == Some(&url), url };
    }
    match remembered(key) {
        Some(url) => Service { url, is_private: true },
        None => panic!("no service for this test: run `cargo xtask services up`, or set {variable}"),
    }
}

fn remembered(key: &str) -> Option<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?;
    let text = fs::read_to_string(root.join("target/services/services.json")).ok()?;
    let state: Value = serde_json::from_str(&text).ok()?;
    Some(state.get(key)?.as_str()?.to_owned())
}
