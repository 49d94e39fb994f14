//! The only module that reads the environment and the configuration file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use super::{Problems, Sources};

/// The file that is read where `--config` names none, if it is there.
pub const FILE_DEFAULT: &str = "facteur.toml";
/// What the standard library reads at its first thread.
pub const THREAD_STACK_VARIABLE: &str = "RUST_MIN_STACK";
/// Longest configuration file, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Collects what this process was given.
///
/// # Errors
/// A sentence, if the configuration file can't be read.
pub fn sources(file: Option<&Path>, flags: Vec<String>) -> Result<Sources, Problems> {
    let path = file.unwrap_or(Path::new(FILE_DEFAULT));
    let text = match read(path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == ErrorKind::NotFound && file.is_none() => None,
        Err(error) => {
            let path = path.display();
            return Err(Problems(vec![format!("the configuration file {path} can't be read: {error}")]));
        }
    };
    Ok(Sources { file: text, environment: environment(), flags })
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(std::io::Error::other(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}

fn environment() -> BTreeMap<String, Option<String>> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok())))
        .collect()
}

/// The stack of threads that ask for none, in bytes, if it is set (`RUST_MIN_STACK`); 0 if it is no number.
#[must_use]
pub fn thread_stack_bytes() -> Option<usize> {
    let text = std::env::var_os(THREAD_STACK_VARIABLE)?;
    Some(text.to_str().and_then(|text| text.parse().ok()).unwrap_or_default())
}

/// Who runs this command, for the history of what was done: `cli:` and the user's name, if it is known.
#[must_use]
pub fn user() -> String {
    let name = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var_os(name)?.into_string().ok());
    let name: String = name.unwrap_or_default().chars().filter(|c| !c.is_control()).take(100).collect();
    if name.is_empty() { "cli".to_owned() } else { format!("cli:{name}") }
}
