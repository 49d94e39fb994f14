//! The table as people read it: masked values, the commented sample file and the reference page.

use std::fmt::Write as _;

use super::layers::Value;
use super::settings::{Form, SECTIONS, SETTINGS, Secrecy, Setting, section_of};

/// What stands for a secret.
const MASK: &str = "***";
/// Width of the comments in the sample file.
const COMMENT_WIDTH: usize = 96;

/// A value as it may be shown; `None` where nothing is set.
#[must_use]
pub fn masked(value: &Value) -> Option<String> {
    let text = value.text.as_deref()?;
    Some(match value.setting.secrecy {
        Secrecy::Public => text.to_owned(),
        Secrecy::Password => without_password(text),
        Secrecy::Secret => MASK.to_owned(),
    })
}

/// Hides the password of a URL, before the host or among the parameters. Works on the text, because the
/// database's URLs may name several hosts, which a URL parser refuses.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return MASK.to_owned() };
    let (before_query, query) =
        rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    // The last @ ends the user, wherever a password with a raw / or @ may seem to end.
    let place = match before_query.rsplit_once('@') {
        Some((user, place)) => match user.split_once(':') {
            Some((name, _)) => format!("{name}:{MASK}@{place}"),
            None => before_query.to_owned(),
        },
        None => before_query.to_owned(),
    };
    let query = query.map(|query| query.split('&').map(masked_parameter).collect::<Vec<_>>().join("&"));
    query.map_or_else(|| format!("{scheme}://{place}"), |query| format!("{scheme}://{place}?{query}"))
}

fn masked_parameter(parameter: &str) -> String {
    match parameter.split_once('=') {
        Some((name, _)) if name.to_ascii_lowercase().contains("pass") => format!("{name}={MASK}"),
        _ => parameter.to_owned(),
    }
}

/// The commented sample that holds every default; `deploy/facteur.toml` is this text.
#[must_use]
pub fn sample_file() -> String {
    let mut text = String::from(
        "# Facteur's configuration: every setting with its default. A line that starts with a single # and no\n\
         # space is a setting that is unset by default. The environment goes over this file, and flags\n\
         # (`--set section.name=value`) over both; `facteur config show` says what holds and where it comes\n\
         # from. This file is made by `facteur config sample`.\n",
    );
    for (section, about) in SECTIONS {
        let _ = write!(text, "\n{}[{section}]\n", commented(about));
        for setting in SETTINGS.iter().filter(|setting| section_of(setting.key) == section) {
            let name = setting.key.split_once('.').map_or(setting.key, |(_, name)| name);
            let _ =
                write!(text, "\n{}", commented(&format!("{} Environment: {}.", setting.doc, setting.env)));
            let _ = match setting.default {
                Some(default) => writeln!(text, "{name} = {}", in_toml(setting.form, default)),
                None => writeln!(text, "#{name} = {}", in_toml(setting.form, example(setting))),
            };
        }
    }
    text
}

fn in_toml(form: Form, text: &str) -> String {
    match form {
        Form::Text => toml::Value::String(text.to_owned()).to_string(),
        Form::Whole | Form::Number | Form::Boolean => text.to_owned(),
    }
}

/// What an unset setting looks like in the sample.
fn example(setting: &Setting) -> &'static str {
    match setting.form {
        Form::Text => "",
        Form::Whole | Form::Number => "10",
        Form::Boolean => "false",
    }
}

fn commented(sentence: &str) -> String {
    let mut lines = vec![String::from("#")];
    for word in sentence.split_whitespace() {
        let is_full =
            lines.last().is_some_and(|line| line.chars().count() + 1 + word.chars().count() > COMMENT_WIDTH);
        if is_full {
            lines.push(String::from("#"));
        }
        if let Some(line) = lines.last_mut() {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines.join("\n") + "\n"
}

/// The reference page; `docs/configuration.md` is this text.
#[must_use]
pub fn reference_page() -> String {
    let mut text = String::from(
        "# Configuration\n\n\
         <!-- Made from the table of settings by `facteur reference configuration`; a test compares. -->\n\n\
         Values are laid over each other: the defaults, then the configuration file (`--config FILE`, or\n\
         `facteur.toml` in the working directory if it is there), then the environment, then flags\n\
         (`--set section.name=value`). `facteur config show` prints every value with where it comes from,\n\
         secrets masked; `facteur config check` says what is wrong; `facteur config sample` prints a commented\n\
         file with every default, which is also `deploy/facteur.toml`.\n\n\
         Unknown keys, and unknown variables that start with `FACTEUR_`, are refused with the nearest known\n\
         name. (What Kubernetes adds for a Service named `facteur-…` is passed over.) An empty environment\n\
         variable is an unset one. Numbers, true and false stand without quotes in the file.\n\n\
         With `TWILIO_BASE_URL` on this machine and no account, token or key set, the fixed account of\n\
         `twilio-sim` is used, so that development needs no secrets. In any other case a missing secret is an\n\
         error that names the variable.\n",
    );
    for (section, about) in SECTIONS {
        let _ =
            write!(text, "\n## `[{section}]`\n\n{about}\n\n| setting | environment | default | meaning |\n");
        text.push_str("|---|---|---|---|\n");
        for setting in SETTINGS.iter().filter(|setting| section_of(setting.key) == section) {
            let default =
                setting.default.map_or_else(|| "unset".to_owned(), |default| format!("`{default}`"));
            let secret = if setting.secrecy == Secrecy::Secret { " Secret." } else { "" };
            let _ = writeln!(
                text,
                "| `{}` | `{}` | {default} | {}{secret} |",
                setting.key,
                setting.env,
                setting.doc.replace('|', "\\|")
            );
        }
    }
    text
}
