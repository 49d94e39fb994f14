//! Who may depend on whom (DESIGN: a crate earns itself by the rule it enforces).

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::cargo;

/// What must not be anywhere in a crate's tree, build and test aside.
const FORBIDDEN: [(&str, &[&str]); 7] = [
    ("facteur-core", &["tokio", "lapin", "reqwest", "tokio-postgres", "axum"]),
    ("facteur-amqp", &["facteur-postgres", "facteur-twilio", "facteur-worker", "tokio-postgres", "reqwest"]),
    ("facteur-postgres", &["facteur-amqp", "facteur-twilio", "facteur-worker", "lapin", "reqwest"]),
    ("facteur-twilio", &["facteur-amqp", "facteur-postgres", "facteur-worker", "lapin", "tokio-postgres"]),
    ("facteur-worker", &["axum", "facteur-web"]),
    ("facteur-web", &["facteur-worker", "facteur-amqp", "lapin"]),
    ("facteur", &["facteur-lab", "facteur-testkit", "twilio-sim", "xtask"]),
];

/// Who alone may name a library, test dependencies aside.
const OWNED: [(&str, &[&str]); 6] = [
    ("anyhow", &["facteur", "facteur-lab", "xtask"]),
    ("lapin", &["facteur-amqp", "facteur-lab", "xtask"]),
    ("tokio-postgres", &["facteur-lab", "facteur-postgres", "facteur-testkit", "xtask"]),
    ("reqwest", &["facteur-lab", "facteur-twilio", "twilio-sim"]),
    ("axum", &["facteur", "facteur-web", "twilio-sim"]),
    ("hyper", &["facteur-web"]),
];

/// The dependencies that should not be.
pub(crate) fn broken(root: &Path) -> Result<Vec<String>> {
    let mut broken = Vec::new();
    for (package, forbidden) in FORBIDDEN {
        let tree = tree(root, package)?;
        let found = forbidden.iter().filter(|name| tree.contains(**name));
        broken
            .extend(found.map(|name| {
                format!("{package} depends on {name} (see `cargo tree -p {package} -i {name}`)")
            }));
    }
    let metadata = cargo::output(root, &["metadata", "--format-version", "1", "--no-deps"]);
    let metadata: Value = serde_json::from_str(&metadata.context("`cargo metadata` failed")?)?;
    broken.extend(strangers(&metadata));
    Ok(broken)
}

/// The names of everything that a crate is built from.
fn tree(root: &Path, package: &str) -> Result<BTreeSet<String>> {
    let arguments =
        ["tree", "--package", package, "--edges", "normal", "--prefix", "none", "--format", "{p}"];
    let lines =
        cargo::output(root, &arguments).with_context(|| format!("`cargo tree -p {package}` failed"))?;
    Ok(lines.lines().filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect())
}

/// Crates that name a library which others own.
fn strangers(metadata: &Value) -> Vec<String> {
    let list =
        |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let name = |value: &Value| value.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut strangers = Vec::new();
    for package in list(metadata, "packages") {
        for dependency in list(&package, "dependencies") {
            let is_normal = dependency.get("kind").is_none_or(Value::is_null);
            let (library, package) = (name(&dependency), name(&package));
            let owners = OWNED.iter().find(|(owned, _)| *owned == library).map(|(_, owners)| owners);
            if is_normal && owners.is_some_and(|owners| !owners.contains(&package.as_str())) {
                strangers.push(format!("{package} names {library}, which is for others"));
            }
        }
    }
    strangers
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::strangers;

    #[test]
    fn a_stranger_is_told_and_owners_and_tests_are_not() {
        let dependency = |name: &str, kind: Option<&str>| json!({"name": name, "kind": kind});
        let metadata = json!({"packages": [
            {"name": "facteur", "dependencies": [dependency("anyhow", None), dependency("reqwest", Some("dev"))]},
            {"name": "facteur-core", "dependencies": [dependency("anyhow", None), dependency("serde", None)]},
        ]});
        assert_eq!(strangers(&metadata), ["facteur-core names anyhow, which is for others"]);
    }
}
