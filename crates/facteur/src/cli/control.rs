//! The command line of what an operator changes while workers run: pauses, cancellations, limits.

use clap::{Args, Subcommand, ValueEnum};
use uuid::Uuid;

/// What `pause` does.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct PauseCommand {
    /// Instead of pausing.
    #[command(subcommand)]
    pub list: Option<PauseList>,
    /// What to pause.
    #[command(flatten)]
    pub pause: Option<PauseArgs>,
}

/// What `pause` does besides.
#[derive(Debug, Subcommand)]
pub enum PauseList {
    /// Lists the pauses that stand, with how many jobs wait for each and how many of those expire soon.
    List,
}

/// Options of `pause`.
#[derive(Debug, Args)]
pub struct PauseArgs {
    /// What kind of thing to pause.
    pub scope: ScopeName,
    /// Which one: the lane's name, the tenant, the sender's address, the account's SID or the integration's
    /// id, or the bulk's id.
    pub key: String,
    /// Why, for whoever asks why nothing leaves.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Ends the pause by itself after this time, such as 90s, 10m or 2h.
    #[arg(long = "for", value_name = "DURATION", conflicts_with = "until", allow_hyphen_values = true)]
    pub duration: Option<String>,
    /// Ends the pause by itself at this instant, such as 2026-12-01T08:00:00Z.
    #[arg(long, value_name = "INSTANT")]
    pub until: Option<String>,
}

/// Options of `resume`.
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// What kind of thing to resume.
    pub scope: ScopeName,
    /// Which one: the lane's name, the tenant, the sender's address, the account's SID or the integration's
    /// id, or the bulk's id.
    pub key: String,
    /// Why, for the history.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// Options of `cancel`.
#[derive(Debug, Args)]
pub struct CancelArgs {
    /// The message's id.
    #[arg(required_unless_present = "bulk", conflicts_with = "bulk")]
    pub id: Option<Uuid>,
    /// A whole bulk in the place of one message.
    #[arg(long, value_name = "UUID")]
    pub bulk: Option<Uuid>,
    /// Whose message it is, if none has been seen under this id yet (only that tenant's will not leave); without it, of
    /// `default`.
    #[arg(long, value_name = "TENANT", requires = "id")]
    pub tenant: Option<String>,
    /// Why, for the history.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Does it; --reason says why. Without it, nothing is changed.
    #[arg(long, requires = "reason")]
    pub yes: bool,
}

/// What `limits` does.
#[derive(Debug, Subcommand)]
pub enum LimitsCommand {
    /// Lists senders with their rate, what is reserved ahead and how many wait, and tenants with a weight of their own.
    List,
    /// Sets a sender's own rate.
    Set {
        /// The sender's address.
        sender: String,
        /// Segments in a time: 10 or 10/s, 0.5/s, 600/min, 1/h.
        rate: String,
    },
    /// Removes a sender's own rate; the configured default (worker.sender_rate) counts again.
    Clear {
        /// The sender's address.
        sender: String,
    },
    /// Sets a tenant's weight: how many turns it gets in a lane where others get one.
    Weight {
        /// The tenant.
        tenant: String,
        /// 1 to 100; 1 is what every tenant has.
        #[arg(value_parser = clap::value_parser!(i32).range(1..=100))]
        weight: i32,
    },
}

/// What can be paused, on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScopeName {
    /// A lane: urgent, normal or bulk.
    Lane,
    /// Everything of a tenant.
    Tenant,
    /// Everything from a sender.
    Sender,
    /// Everything over an account at Twilio, or over one integration.
    Integration,
    /// One bulk.
    Bulk,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::{Cli, Command};

    #[test]
    fn a_pause_is_told_from_the_list_of_pauses() {
        let parse = |line: &str| {
            let cli = Cli::try_parse_from(["facteur", "pause"].into_iter().chain(line.split(' '))).unwrap();
            match cli.command {
                Command::Pause(command) => (command.list.is_some(), command.pause.is_some()),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(parse("lane bulk --reason fire"), (false, true));
        assert_eq!(parse("list"), (true, false));
    }

    #[test]
    fn a_pause_names_what_and_why_and_at_most_one_end() {
        let parse = |line: &str| {
            Cli::try_parse_from(["facteur"].into_iter().chain(line.split_whitespace())).map(|_| ())
        };
        for good in [
            "pause list",
            "pause list --json",
            "pause lane bulk --reason fire",
            "pause sender +33612345678 --reason fire --for 2h",
            "pause tenant acme --reason fire --until 2026-12-01T08:00:00Z",
            "resume lane bulk",
            "resume lane bulk --reason done",
            "cancel 0197c1de-6b1c-7c3e-9a53-5a3f0a5f2f11 --tenant acme",
            "cancel --bulk 0197c1de-6b1c-7c3e-9a53-5a3f0a5f2f11 --yes --reason wrong",
            "limits list",
            "limits set +33612345678 10/s",
            "limits weight acme 3",
        ] {
            assert!(parse(good).is_ok(), "{good}: {:?}", parse(good));
        }
        for bad in [
            "pause",
            "pause lane bulk",
            "pause lane --reason fire",
            "pause moon full --reason fire",
            "pause lane bulk --reason fire --for 2h --until 2026-12-01T08:00:00Z",
            "resume",
            "cancel",
            "cancel 7",
            "cancel 0197c1de-6b1c-7c3e-9a53-5a3f0a5f2f11 --yes",
            "limits weight acme 0",
            "limits weight acme 101",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
