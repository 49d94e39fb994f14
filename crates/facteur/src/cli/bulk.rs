//! Options of `bulk`.

use std::path::PathBuf;

use clap::Args;

use super::CategoryName;

/// Options of `bulk`.
#[derive(Debug, Args)]
pub struct BulkArgs {
    /// A CSV file whose first row names its columns: one is called phone, telephone, mobile, numero or to, and every
    /// one is a variable of its name.
    pub file: PathBuf,
    /// The text; {{name}} is replaced by the column of that name.
    #[arg(long, value_name = "TEXT", required_unless_present = "template", conflicts_with = "template")]
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
    /// Tells what it would be (lines, refused ones and segments), and sends nothing.
    #[arg(long)]
    pub dry_run: bool,
}
