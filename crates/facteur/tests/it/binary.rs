//! Runs the binary in a directory and an environment of its own.

use std::process::{Command, Output};

/// What a run printed, and its exit code.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("one JSON document, not: {self:?}"))
    }
}

pub(crate) fn facteur(arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
    let output: Output = Command::new(env!("CARGO_BIN_EXE_facteur"))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        // Where no facteur.toml lies.
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))
        .output()
        .unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// An address of this machine on which nobody listens.
pub(crate) fn deserted() -> String {
    let [port] = facteur_testkit::free_ports().unwrap();
    format!("127.0.0.1:{port}")
}
