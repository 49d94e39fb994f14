//! The command line of templates.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{CategoryName, name_and_value};

/// What `templates` does.
#[derive(Debug, Subcommand)]
pub enum TemplatesCommand {
    /// Lists the templates of a tenant, the newest first, and the built-in ones that it has not replaced.
    List {
        /// Whose.
        #[arg(long, value_name = "TENANT", default_value = "default")]
        tenant: String,
    },
    /// Shows a template with its versions.
    Show(TemplateName),
    /// Writes a template, or changes one: another text is a new version, which messages take within a second.
    Put(Box<PutTemplate>),
    /// Shows what a template, or a text, would come to: text, alphabet, segments. Sends nothing.
    Preview(PreviewArgs),
    /// Shows which template would be deleted with its versions; does it with --yes. What was sent keeps its text.
    Delete {
        /// Which.
        #[command(flatten)]
        name: TemplateName,
        /// Does it. Without it, nothing is changed.
        #[arg(long)]
        yes: bool,
    },
}

/// Which template.
#[derive(Debug, Args)]
pub struct TemplateName {
    /// Its name.
    pub name: String,
    /// Its language.
    #[arg(long, value_name = "LANGUAGE", default_value = "fr")]
    pub language: String,
    /// Whose.
    #[arg(long, value_name = "TENANT", default_value = "default")]
    pub tenant: String,
}

/// Options of `templates put`.
#[derive(Debug, Args)]
pub struct PutTemplate {
    /// Which.
    #[command(flatten)]
    pub name: TemplateName,
    /// Its text, with placeholders such as {{name}}.
    #[arg(long, value_name = "TEXT", conflicts_with = "file")]
    pub text: Option<String>,
    /// A file that holds its text; the line break at its end does not count.
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// What its messages are for.
    #[arg(long, value_enum)]
    pub category: Option<CategoryName>,
    /// The channel that it is written for; `any` for all.
    #[arg(long, value_enum)]
    pub channel: Option<ChannelChoice>,
    /// The event at which it is sent, such as ticket_created; empty for none.
    #[arg(long, value_name = "EVENT")]
    pub event: Option<String>,
    /// A subject, for people; empty for none.
    #[arg(long, value_name = "TEXT")]
    pub subject: Option<String>,
    /// Whether messages find it.
    #[arg(long, value_name = "true|false")]
    pub active: Option<bool>,
}

/// Options of `templates preview`.
#[derive(Debug, Args)]
pub struct PreviewArgs {
    /// The template's name.
    #[arg(required_unless_present = "text", conflicts_with = "text")]
    pub name: Option<String>,
    /// A text in the place of a template.
    #[arg(long, value_name = "TEXT")]
    pub text: Option<String>,
    /// The template's language.
    #[arg(long, value_name = "LANGUAGE", default_value = "fr")]
    pub language: String,
    /// Whose template.
    #[arg(long, value_name = "TENANT", default_value = "default")]
    pub tenant: String,
    /// A value, such as name=Jean; may be repeated.
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub variables: Vec<(String, String)>,
}

/// For which channel a template is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ChannelChoice {
    /// For all.
    Any,
    /// For text messages.
    Sms,
    /// For text messages with media.
    Mms,
    /// For WhatsApp.
    Whatsapp,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::Cli;

    #[test]
    fn a_template_is_named_or_a_text_is_given() {
        let parse =
            |line: &[&str]| Cli::try_parse_from(["facteur", "templates"].iter().chain(line)).map(|_| ());
        for good in [
            &["list"][..],
            &["list", "--tenant", "acme", "--json"],
            &["show", "hello", "--language", "en"],
            &["put", "hello", "--text", "Hello {{name}}", "--category", "marketing", "--channel", "sms"],
            &["put", "hello", "--active", "false"],
            &["preview", "hello", "--var", "name=Jean"],
            &["preview", "--text", "Hello"],
            &["delete", "hello", "--yes"],
        ] {
            assert!(parse(good).is_ok(), "{good:?}: {:?}", parse(good));
        }
        for bad in [
            &[][..],
            &["show"],
            &["preview"],
            &["preview", "hello", "--text", "x"],
            &["put", "hello", "--text", "x", "--file", "y"],
            &["put", "hello", "--channel", "pigeon"],
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
