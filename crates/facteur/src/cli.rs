//! The command line, as values.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use uuid::Uuid;

use crate::exit::Exit;

mod bulk;
mod control;
mod integrations;
mod keys;
mod templates;
mod tenants;

pub use bulk::BulkArgs;
pub use control::{CancelArgs, LimitsCommand, PauseArgs, PauseCommand, PauseList, ResumeArgs, ScopeName};
pub use integrations::{AddIntegration, IntegrationsCommand, TypeName};
pub use keys::{KeyArgs, KeysCommand, RoleName};
pub use templates::{ChannelChoice, PreviewArgs, PutTemplate, TemplateName, TemplatesCommand};
pub use tenants::{Switch, TenantSetArgs, TenantsCommand};

/// Longest `--wait`, in seconds.
const WAIT_S_MAX: u64 = 3_600;

/// Carries messages from RabbitMQ to Twilio, exactly as fast as Twilio allows, and says where each one is.
#[derive(Debug, Parser)]
#[command(name = "facteur", version, disable_help_subcommand = true, after_help = Exit::table())]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// For every command.
    #[command(flatten)]
    pub global: Global,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// Configuration file; without it, facteur.toml in the working directory is read if it is there.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Sets one value over file and environment, such as worker.concurrency=32; may be repeated.
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Prints one JSON document instead of text.
    #[arg(long, global = true)]
    pub json: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Brings the database up to date, then works and takes webhooks: all that one machine needs.
    Up(WorkArgs),
    /// Works: takes jobs from the broker and hands them to Twilio, until it is stopped.
    ///
    /// The first SIGTERM or SIGINT stops it softly: calls in flight are finished and recorded. The second ends
    /// it at once. /metrics, /healthz and /readyz are on telemetry.metrics_listen.
    Worker(WorkArgs),
    /// Serves the HTTP API and takes Twilio's status callbacks on web.listen, until it is stopped.
    ///
    /// Twilio is told to call the public URL (FACTEUR_PUBLIC_URL), which must lead here. Signals, /metrics,
    /// /healthz and /readyz are as those of `worker`.
    Web,
    /// Brings the database up to date. Workers of the previous release go on working.
    Migrate,
    /// Publishes one job and prints its id.
    ///
    /// The broker has confirmed the job when the id is printed. The same id given again never makes a second
    /// message.
    Send(Box<SendArgs>),
    /// Makes a bulk of a CSV file: one text or template for many recipients.
    ///
    /// All of its lines are in the database once it is accepted; workers send them at the bulk's rate, and the command
    /// follows them to the end. Ctrl-C stops the following, not the bulk. The same file with the same options is resumed
    /// where it was cut, and never sent twice.
    Bulk(Box<BulkArgs>),
    /// Tells the story of a message: where it stands and why, every attempt, and what comes next.
    #[command(visible_alias = "explain")]
    Status(IdArgs),
    /// Prints what Twilio answers, as it happens, until it is interrupted: one line for each attempt.
    ///
    /// A database that goes away is waited for. With --json, each line is a JSON object.
    Tail(TailArgs),
    /// Examines configuration, broker, database and Twilio, and says what to do about each fault.
    Doctor,
    /// Shows or checks the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Lists dead letters, shows one, or sends them back to work.
    #[command(subcommand)]
    Dead(DeadCommand),
    /// Pauses a lane, tenant, sender, integration or bulk: nothing of it leaves any more until somebody resumes it.
    ///
    /// What is claimed already still leaves. What is paused waits and ages: a message that expires meanwhile is not
    /// sent later. Pausing again changes reason and end.
    Pause(PauseCommand),
    /// Ends a pause: what it held back leaves, the urgent lane first and in each the oldest first.
    Resume(ResumeArgs),
    /// Shows what cancelling a message, or a bulk, would do; does it with --yes.
    ///
    /// What has not left will not leave, also what no worker has seen yet. What is being sent can't be called back.
    Cancel(CancelArgs),
    /// Lists and changes rates of senders and weights of tenants; every worker knows within a second.
    #[command(subcommand)]
    Limits(LimitsCommand),
    /// Lists and changes the accounts at Twilio of tenants that have their own; every worker knows within a second.
    #[command(subcommand)]
    Integrations(IntegrationsCommand),
    /// Lists, shows, writes, previews and deletes templates.
    #[command(subcommand)]
    Templates(TemplatesCommand),
    /// Shows and changes what tenants set: countries, budget, quiet hours, weight, language, country, time zone.
    #[command(subcommand)]
    Tenants(TenantsCommand),
    /// Makes, lists and revokes keys of the HTTP API.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Prints the completions of a shell, for it to read at start.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Prints a page of the documentation that is made from the code.
    #[command(hide = true)]
    Reference {
        /// Which page.
        page: ReferencePage,
    },
}

/// Options of `up` and `worker`.
#[derive(Debug, Args)]
pub struct WorkArgs {
    /// Jobs that the lane `normal` works on at once (worker.concurrency).
    #[arg(long, value_name = "JOBS")]
    pub concurrency: Option<String>,
}

/// Options of `send`.
#[derive(Debug, Args)]
pub struct SendArgs {
    /// The recipient's number, or whatsapp: and the number.
    #[arg(long, value_name = "NUMBER")]
    pub to: String,
    /// The text.
    #[arg(long, value_name = "TEXT", conflicts_with = "template")]
    pub body: Option<String>,
    /// The name of a template, in the place of a text.
    #[arg(long, value_name = "NAME")]
    pub template: Option<String>,
    /// The template's language; without it, the tenant's.
    #[arg(long, value_name = "LANGUAGE", requires = "template")]
    pub language: Option<String>,
    /// A value for the template, such as name=Jean; may be repeated.
    #[arg(long = "var", value_name = "NAME=VALUE", requires = "template", value_parser = name_and_value)]
    pub variables: Vec<(String, String)>,
    /// The URL of a picture or another medium; may be repeated.
    #[arg(long, value_name = "URL")]
    pub media: Vec<String>,
    /// The sender; without it, the configured one of the channel.
    #[arg(long, value_name = "SENDER")]
    pub from: Option<String>,
    /// For whom the message is sent; without it, `default`.
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<String>,
    /// What the message is for.
    #[arg(long, value_enum, default_value_t = CategoryName::Transactional)]
    pub category: CategoryName,
    /// The lane; without it, the category's.
    #[arg(long, value_enum)]
    pub lane: Option<LaneName>,
    /// After this time the message is worthless and is not sent any more, such as 90s, 10m or 2h.
    #[arg(long, value_name = "DURATION")]
    pub expires_in: Option<String>,
    /// The job's id, a UUID; without it, a new one is made.
    #[arg(long, value_name = "UUID")]
    pub id: Option<Uuid>,
    /// Waits until the message is handed to Twilio or will never be, at most so many seconds (30 if no number
    /// is given), and prints Twilio's SID.
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "30",
        value_parser = clap::value_parser!(u64).range(1..=WAIT_S_MAX)
    )]
    pub wait: Option<u64>,
}

/// The id of a message.
#[derive(Debug, Args)]
pub struct IdArgs {
    /// The job's id.
    pub id: Uuid,
}

/// Options of `tail`.
#[derive(Debug, Args)]
pub struct TailArgs {
    /// Only those of this tenant.
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<String>,
}

/// What `config` does.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Prints every value with where it comes from, secrets masked.
    Show,
    /// Says what is wrong with the configuration of a worker, or that nothing is.
    Check,
    /// Prints a commented configuration file that holds every default.
    Sample,
}

/// What `dead` does.
#[derive(Debug, Subcommand)]
pub enum DeadCommand {
    /// Lists the open dead letters, the newest first.
    List {
        /// Only those with this code, such as uncertain or invalid_field.
        #[arg(long, value_name = "CODE")]
        code: Option<String>,
        /// At most so many.
        #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
        limit: u32,
    },
    /// Shows one dead letter, its body included: it may hold a number and a text.
    Show {
        /// The dead letter's id, as `dead list` prints it, or its message's.
        id: Uuid,
    },
    /// Shows what sending dead letters back to work would do; does it with --yes.
    ///
    /// What can't succeed, such as a message to somebody who opted out, is passed over with the reason.
    Requeue(RequeueArgs),
}

/// Options of `dead requeue`.
#[derive(Debug, Args)]
pub struct RequeueArgs {
    /// One dead letter, by its id or its message's.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub id: Option<Uuid>,
    /// All open ones.
    #[arg(long)]
    pub all: bool,
    /// With --all: only those with this code, such as destination_disabled.
    #[arg(long, value_name = "CODE", requires = "all", conflicts_with = "id")]
    pub code: Option<String>,
    /// Also those whose message may already have been sent (uncertain): look them up in Twilio's log first.
    #[arg(long)]
    pub force: bool,
    /// Why, for the history.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Does it; --reason says why. Without it, nothing is changed.
    #[arg(long, requires = "reason")]
    pub yes: bool,
}

/// A lane, on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LaneName {
    /// One-time passwords and whatever a person waits for.
    Urgent,
    /// Everything else that is not a campaign.
    Normal,
    /// Campaigns.
    Bulk,
}

/// A category, on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CategoryName {
    /// A one-time password.
    Otp,
    /// Something that the recipient waits for or must know.
    Transactional,
    /// Advertising.
    Marketing,
}

/// A page that is made from the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReferencePage {
    /// `docs/cli.md`.
    Cli,
    /// `docs/configuration.md`.
    Configuration,
    /// `docs/metrics.md`.
    Metrics,
    /// `docs/openapi.json`.
    Openapi,
    /// `docs/job.v1.schema.json`.
    Schema,
    /// `docs/states.md`.
    States,
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a variable is name=value")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Cli {
    /// The values that flags set, as the configuration reads them.
    #[must_use]
    pub fn settings(&self) -> Vec<String> {
        let mut settings = self.global.set.clone();
        if let Command::Up(work) | Command::Worker(work) = &self.command
            && let Some(concurrency) = &work.concurrency
        {
            settings.push(format!("worker.concurrency={concurrency}"));
        }
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_named_flag_is_a_setting() {
        let cli = Cli::try_parse_from(["facteur", "worker", "--set", "amqp.prefix=a", "--concurrency", "3"])
            .unwrap();
        assert_eq!(cli.settings(), ["amqp.prefix=a", "worker.concurrency=3"]);
    }

    #[test]
    fn wait_takes_seconds_or_thirty() {
        let wait = |flags: &[&str]| {
            let line = ["facteur", "send", "--to", "+33612345678", "--body", "x"].iter().chain(flags);
            Cli::try_parse_from(line).map(|cli| match cli.command {
                Command::Send(send) => send.wait,
                _ => None,
            })
        };
        assert_eq!(wait(&[]).unwrap(), None);
        assert_eq!(wait(&["--wait"]).unwrap(), Some(30));
        assert_eq!(wait(&["--wait=5"]).unwrap(), Some(5));
        assert!(wait(&["--wait=0"]).is_err());
        assert!(wait(&["--wait=999999"]).is_err());
    }

    #[test]
    fn a_requeue_names_one_or_all_and_says_why() {
        let parse = |flags: &[&str]| {
            Cli::try_parse_from(["facteur", "dead", "requeue"].iter().chain(flags)).map(|_| ())
        };
        let id = "0197c1de-6b1c-7c3e-9a53-5a3f0a5f2f11";
        assert!(parse(&[id]).is_ok());
        assert!(parse(&[id, "--yes", "--reason", "enabled"]).is_ok());
        assert!(parse(&["--all", "--code", "destination_disabled", "--yes", "--reason", "enabled"]).is_ok());
        for bad in [&[][..], &["7"], &[id, "--all"], &[id, "--code", "x"], &["--all", "--yes"]] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
