//! Options of `bulk`.

use std::path::PathBuf;

use clap::Args;
use uuid::Uuid;

use super::CategoryName;

/// Options of `bulk`.
#[derive(Debug, Args)]
pub struct BulkArgs {
    /// A CSV file whose first row names its columns: one is called phone, telephone, mobile, numero or to, and every
    /// one is a variable of its name.
    #[arg(required_unless_present = "follow")]
    pub file: Option<PathBuf>,
    /// The text; {{name}} is replaced by the column of that name.
    #[arg(long, value_name = "TEXT", required_unless_present_any = ["template", "follow"], conflicts_with = "template")]
    pub body: Option<String>,
    /// The name of a template, in the place of a text.
    #[arg(long, value_name = "NAME")]
    pub template: Option<String>,
    /// The template's language; without it, the tenant's.
    #[arg(long, value_name = "LANGUAGE", requires = "template")]
    pub language: Option<String>,
    /// sms, mms or whatsapp.
    #[arg(long, value_name = "CHANNEL", default_value = "sms")]
    pub channel: String,
    /// The URL of a picture or another medium, for all.
    #[arg(long, value_name = "URL")]
    pub media: Option<String>,
    /// The sender; without it, the configured one of the channel.
    #[arg(long, value_name = "SENDER")]
    pub from: Option<String>,
    /// For whom it is sent; without it, `default`.
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<String>,
    /// A name for people; without it, the file's.
    #[arg(long, value_name = "TEXT")]
    pub name: Option<String>,
    /// What the messages are for; without it, what the template says, or transactional.
    #[arg(long, value_enum)]
    pub category: Option<CategoryName>,
    /// Messages a second; without it, as fast as the senders allow.
    #[arg(long, value_name = "MESSAGES")]
    pub rate: Option<f64>,
    /// Pauses the bulk when more than this share of what has ended has failed, such as 0.2.
    #[arg(long, value_name = "SHARE")]
    pub error_ratio_max: Option<f64>,
    /// None leaves before this instant (RFC 3339).
    #[arg(long, value_name = "INSTANT")]
    pub send_at: Option<String>,
    /// None leaves after this instant (RFC 3339).
    #[arg(long, value_name = "INSTANT")]
    pub expires_at: Option<String>,
    /// Tells what it would be (lines, refused ones, segments, and the cost if prices are configured), and sends nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Ends once the bulk is accepted, and does not follow it to its end.
    #[arg(long, conflicts_with = "dry_run")]
    pub no_wait: bool,
    /// Follows a bulk that was accepted before, by its id.
    #[arg(long, value_name = "UUID", conflicts_with_all = ["file", "body", "template", "dry_run", "no_wait"])]
    pub follow: Option<Uuid>,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::Cli;

    #[test]
    fn a_file_and_a_text_are_given_or_a_bulk_that_is_followed() {
        let parse = |line: &[&str]| Cli::try_parse_from(["facteur", "bulk"].iter().chain(line)).map(|_| ());
        let id = "0197c1de-6b1c-7c3e-9a53-5a3f0a5f2f11";
        for good in [
            &["june.csv", "--body", "Bonjour"][..],
            &["june.csv", "--template", "june", "--language", "fr", "--dry-run"],
            &["june.csv", "--body", "Bonjour", "--rate", "20", "--no-wait", "--json"],
            &["--follow", id],
            &["--follow", id, "--json"],
        ] {
            assert!(parse(good).is_ok(), "{good:?}: {:?}", parse(good));
        }
        for bad in [
            &[][..],
            &["june.csv"],
            &["--body", "Bonjour"],
            &["june.csv", "--body", "Bonjour", "--template", "june"],
            &["june.csv", "--body", "Bonjour", "--no-wait", "--dry-run"],
            &["june.csv", "--follow", id],
            &["--follow", id, "--no-wait"],
            &["--follow", "7"],
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
