//! Where values come from: file < environment < flags, over the defaults of the table.

use std::collections::BTreeMap;
use std::fmt;

use super::Problems;
use super::settings::{Form, SETTINGS, Setting};

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The table.
    Default,
    /// The configuration file.
    File,
    /// An environment variable.
    Environment,
    /// `--set`, or a flag of its own.
    Flag,
}

impl Origin {
    /// The origin's name, as shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Environment => "environment",
            Self::Flag => "flag",
        }
    }

    /// How a person finds the value again.
    fn place(self, setting: &Setting) -> String {
        match self {
            Self::Default => format!("{} (default)", setting.key),
            Self::File => format!("{} (configuration file)", setting.key),
            Self::Environment => setting.env.to_owned(),
            Self::Flag => format!("--set {}", setting.key),
        }
    }
}

/// One setting's text and where it comes from. The text may be a secret, so there is no `Debug`.
#[derive(Clone)]
pub struct Value {
    /// The setting.
    pub setting: &'static Setting,
    /// Its text; `None` where nothing is set.
    pub text: Option<String>,
    /// Where it comes from.
    pub origin: Origin,
}

impl Value {
    /// Starts a sentence about this value.
    pub(super) fn place(&self) -> String {
        self.origin.place(self.setting)
    }
}

/// What the process was given. Tests write one; only `environment.rs` reads the real one.
#[derive(Default)]
pub struct Sources {
    /// The configuration file's text.
    pub file: Option<String>,
    /// The environment; a value is `None` if it is not Unicode.
    pub environment: BTreeMap<String, Option<String>>,
    /// `key=value` flags, in the order given: the last one holds.
    pub flags: Vec<String>,
}

/// Lays the sources over the defaults.
pub(super) fn lay(sources: &Sources) -> Result<Vec<Value>, Problems> {
    let mut problems = Vec::new();
    let file = read_file(sources.file.as_deref(), &mut problems);
    let environment = read_environment(&sources.environment, &mut problems);
    let flags = read_flags(&sources.flags, &mut problems);
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    let layers = [(Origin::Flag, flags), (Origin::Environment, environment), (Origin::File, file)];
    let value = |setting: &'static Setting| {
        let found =
            layers.iter().find_map(|(origin, texts)| Some((*origin, texts.get(setting.key)?.clone())));
        match found {
            Some((origin, text)) => Value { setting, text: Some(text), origin },
            None => Value { setting, text: setting.default.map(str::to_owned), origin: Origin::Default },
        }
    };
    Ok(SETTINGS.iter().map(value).collect())
}

type Texts = BTreeMap<&'static str, String>;

fn read_file(text: Option<&str>, problems: &mut Vec<String>) -> Texts {
    let mut texts = Texts::new();
    let Some(text) = text else { return texts };
    let table = match text.parse::<toml::Table>() {
        Ok(table) => table,
        Err(error) => {
            // The error's own Display quotes the line, which may hold a secret.
            let at = error.span().map_or(0, |span| span.start.min(text.len()));
            let line = 1 + text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count();
            problems.push(format!("the configuration file is not TOML: line {line}: {}", error.message()));
            return texts;
        }
    };
    for (section, entries) in table {
        let Some(entries) = entries.as_table() else {
            problems.push(format!(
                "`{section}` in the configuration file stands outside of a section{}",
                meant(&section)
            ));
            continue;
        };
        for (name, value) in entries {
            let key = format!("{section}.{name}");
            match (find(&key), value) {
                (None, _) => {
                    problems.push(format!("unknown key `{key}` in the configuration file{}", meant(&key)))
                }
                (Some(setting), value) => match text_of(setting.form, value) {
                    Ok(text) => drop(texts.insert(setting.key, text)),
                    Err(why) => problems.push(format!("{} {why}", Origin::File.place(setting))),
                },
            }
        }
    }
    texts
}

fn text_of(form: Form, value: &toml::Value) -> Result<String, &'static str> {
    match (form, value) {
        (Form::Text, toml::Value::String(text)) => Ok(text.clone()),
        (Form::Whole | Form::Number, toml::Value::Integer(number)) => Ok(number.to_string()),
        (Form::Number, toml::Value::Float(number)) => Ok(number.to_string()),
        (Form::Boolean, toml::Value::Boolean(value)) => Ok(value.to_string()),
        (Form::Text, _) => Err("is not a text: write it in quotes"),
        (Form::Whole, _) => Err("is not a whole number: write it without quotes"),
        (Form::Number, _) => Err("is not a number: write it without quotes"),
        (Form::Boolean, _) => Err("is neither true nor false: write it without quotes"),
    }
}

fn read_environment(environment: &BTreeMap<String, Option<String>>, problems: &mut Vec<String>) -> Texts {
    let mut texts = Texts::new();
    for (name, value) in environment {
        let setting = SETTINGS.iter().find(|setting| setting.env == name);
        match (setting, value) {
            (Some(setting), Some(text)) => {
                // Compose files and shells hand on unset variables as empty ones.
                if !text.trim().is_empty() {
                    texts.insert(setting.key, text.clone());
                }
            }
            (Some(_), None) => problems.push(format!("{name} is not Unicode text")),
            (None, value) if name.starts_with("FACTEUR_") && !is_service_link(name, value.as_deref()) => {
                let names = SETTINGS.iter().map(|setting| setting.env);
                problems.push(format!("unknown environment variable {name}{}", nearest(name, names)));
            }
            (None, _) => {}
        }
    }
    texts
}

/// Kubernetes gives every pod variables for each Service of its namespace: a Service named `facteur-…` gives
/// `FACTEUR_…_SERVICE_HOST`, `…_SERVICE_PORT…`, `…_PORT=tcp://…` and `…_PORT_9464_TCP…`. Nobody chose them.
fn is_service_link(name: &str, value: Option<&str>) -> bool {
    let is_url =
        value.is_some_and(|value| ["tcp://", "udp://", "sctp://"].iter().any(|s| value.starts_with(s)));
    let is_port_part = name.rsplit_once("_PORT_").is_some_and(|(_, rest)| {
        let mut parts = rest.split('_');
        let is_number = parts.next().is_some_and(|port| port.parse::<u16>().is_ok());
        is_number && parts.next().is_some_and(|protocol| ["TCP", "UDP", "SCTP"].contains(&protocol))
    });
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || (name.ends_with("_PORT") && is_url)
        || is_port_part
}

fn read_flags(flags: &[String], problems: &mut Vec<String>) -> Texts {
    let mut texts = Texts::new();
    for flag in flags {
        // A flag that can't be read is not repeated: it may hold a secret.
        let Some((key, text)) = flag.split_once('=') else {
            problems.push("--set takes key=value, such as --set worker.concurrency=32".to_owned());
            continue;
        };
        match find(key.trim()) {
            Some(setting) => drop(texts.insert(setting.key, text.to_owned())),
            None => problems.push(format!("unknown key `{key}` after --set{}", meant(key))),
        }
    }
    texts
}

fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

/// The nearest known key, also if only its last part or its variable was given.
fn meant(given: &str) -> String {
    let by_part = SETTINGS.iter().find(|setting| {
        let name = setting.key.split_once('.').map_or(setting.key, |(_, name)| name);
        setting.env.eq_ignore_ascii_case(given) || given.rsplit('.').next() == Some(name)
    });
    match by_part {
        Some(setting) => format!("; did you mean `{}`?", setting.key),
        None => nearest(given, SETTINGS.iter().map(|setting| setting.key)),
    }
}

/// The known name that is a slip of the finger away: one letter, and one more for every five.
fn nearest(given: &str, names: impl Iterator<Item = &'static str>) -> String {
    names
        .map(|name| (strsim::osa_distance(given, name), name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 5)
        .min_by_key(|(distance, _)| *distance)
        .map_or_else(
            || "; `facteur config show` lists what there is".to_owned(),
            |(_, name)| format!("; did you mean `{name}`?"),
        )
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
