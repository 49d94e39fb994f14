//! `facteur pause` and `facteur resume`: what a person keeps back, why, and until when.

use std::time::Duration;

use facteur_core::Timestamp;
use facteur_core::hold::Scope;
use facteur_core::ids::Tenant;
use facteur_core::lane::Lane;
use facteur_core::sender::Sender;
use facteur_postgres::pauses::{self, COUNT_MAX, Pause, PauseEnd, PauseLine};
use facteur_postgres::{BatchFailure, Database, integrations};
use jiff::SignedDuration;
use serde::Serialize;
use uuid::Uuid;

use super::adapters;
use crate::cli::{PauseArgs, PauseCommand, ResumeArgs, ScopeName};
use crate::config::{self, Config, Problems};
use crate::exit::Exit;
use crate::output::{Output, table};

/// Runs `pause`.
///
/// # Errors
/// [`Problems`], if what is asked for is not as it must be; otherwise whatever the database says.
pub async fn run(command: &PauseCommand, config: &Config, output: Output) -> anyhow::Result<Exit> {
    match &command.pause {
        Some(args) => pause(args, config, output).await,
        None => list(&adapters::database(config, "pause").await?, output).await,
    }
}

#[derive(Serialize)]
struct Told {
    scope: &'static str,
    key: String,
    reason: String,
    by: String,
    since: Timestamp,
    until: Option<Timestamp>,
}

impl Told {
    fn of(pause: Pause) -> Self {
        Self {
            scope: pause.scope.kind(),
            key: pause.scope.key(),
            reason: pause.reason,
            by: pause.actor,
            since: pause.created_at,
            until: pause.until,
        }
    }

    fn until(&self) -> String {
        self.until.map_or_else(|| "until it is resumed".to_owned(), |at| format!("until {at:.0}"))
    }
}

#[derive(Serialize)]
struct Paused {
    #[serde(flatten)]
    pause: Told,
    /// Whether it was paused already: then reason and end were changed.
    was_paused: bool,
    /// Whether a message of this tenant or bulk was ever seen; absent for what is not looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    was_seen: Option<bool>,
}

async fn pause(args: &PauseArgs, config: &Config, output: Output) -> anyhow::Result<Exit> {
    let (scope, end) = (scope(args.scope, &args.key)?, end(args)?);
    let database = adapters::database(config, "pause").await?;
    is_used(&scope, config, &database).await?;
    let made = pauses::pause(&database, &scope, &args.reason, &config::user(), end).await;
    let (pause, was_paused) = made.map_err(wrong_or_failed)?;
    let was_seen = pauses::is_seen(&database, &scope).await?;
    output.show(&Paused { pause: Told::of(pause), was_paused, was_seen }, Paused::as_text)?;
    Ok(Exit::Done)
}

impl Paused {
    fn as_text(&self) -> String {
        let Told { scope, key, reason, by, since, .. } = &self.pause;
        let mut lines =
            vec![format!("the {scope} {key} is paused {} (by {by}: {reason})", self.pause.until())];
        if self.was_paused {
            lines.push(format!("it has been since {since:.0}; reason and end are changed"));
        } else {
            lines.push("what is claimed already still leaves; everything else waits, and ages".to_owned());
        }
        if self.was_seen == Some(false) {
            lines
                .push(format!("no message of this {scope} was seen yet: is it the one that producers name?"));
        }
        lines.join("\n")
    }
}

/// Runs `resume`.
///
/// # Errors
/// As [`run`].
pub async fn resume(args: &ResumeArgs, config: &Config, output: Output) -> anyhow::Result<Exit> {
    let scope = scope(args.scope, &args.key)?;
    let database = adapters::database(config, "resume").await?;
    let ended = pauses::resume(&database, &scope, args.reason.as_deref(), &config::user()).await;
    match ended.map_err(wrong_or_failed)? {
        Some(pause) => {
            let resumed = serde_json::json!({ "resumed": Told::of(pause) });
            output.show(&resumed, |_| {
                format!("the {} {} goes on; what waited is let out", scope.kind(), scope.key())
            })?;
            Ok(Exit::Done)
        }
        None => {
            let document = serde_json::json!({ "resumed": null });
            output.show(&document, |_| format!("the {} {} is not paused", scope.kind(), scope.key()))?;
            Ok(Exit::NotFound)
        }
    }
}

#[derive(Serialize)]
struct Listed {
    pauses: Vec<ListedPause>,
}

#[derive(Serialize)]
struct ListedPause {
    #[serde(flatten)]
    pause: Told,
    /// Counted up to 100,000.
    waiting: i64,
    /// How many of those expire within an hour.
    expiring_within_an_hour: i64,
}

async fn list(database: &Database, output: Output) -> anyhow::Result<Exit> {
    let listed = |line: PauseLine| ListedPause {
        pause: Told::of(line.pause),
        waiting: line.waiting,
        expiring_within_an_hour: line.near_end,
    };
    let listed = Listed { pauses: pauses::list(database).await?.into_iter().map(listed).collect() };
    output.show(&listed, Listed::as_text)?;
    Ok(Exit::Done)
}

impl Listed {
    fn as_text(&self) -> String {
        if self.pauses.is_empty() {
            return "nothing is paused".to_owned();
        }
        let mut pauses =
            table(&["scope", "which", "since", "until", "by", "why", "waiting", "expire within 1 h"]);
        for listed in &self.pauses {
            let Told { scope, key, reason, by, since, until } = &listed.pause;
            let more = if listed.waiting >= COUNT_MAX { "≥ " } else { "" };
            pauses.add_row([
                (*scope).to_owned(),
                key.clone(),
                format!("{since:.0}"),
                until.map_or_else(|| "resumed".to_owned(), |at| format!("{at:.0}")),
                by.clone(),
                reason.clone(),
                format!("{more}{}", listed.waiting),
                listed.expiring_within_an_hour.to_string(),
            ]);
        }
        pauses.to_string()
    }
}

/// What a person named.
fn scope(name: ScopeName, key: &str) -> Result<Scope, Problems> {
    let key = key.trim();
    let refused = |why: String| Problems(vec![why]);
    match name {
        ScopeName::Lane => Lane::from_name(key).map(Scope::Lane).ok_or_else(|| {
            refused(format!("there is no lane `{key}`; the lanes are urgent, normal and bulk"))
        }),
        ScopeName::Tenant => Tenant::parse(key)
            .map(Scope::Tenant)
            .map_err(|why| refused(format!("`{key}` is no tenant: {why}"))),
        ScopeName::Sender => Sender::parse(key)
            .map(Scope::Sender)
            .map_err(|why| refused(format!("`{key}` is no sender: {why}"))),
        ScopeName::Bulk => key
            .parse::<Uuid>()
            .map(Scope::Bulk)
            .map_err(|_| refused(format!("`{key}` is no bulk: its id is a UUID"))),
        ScopeName::Integration if key.parse::<Uuid>().is_ok() => {
            Ok(Scope::Integration(key.to_ascii_lowercase()))
        }
        ScopeName::Integration => account(key).map(|sid| Scope::Integration(sid.to_owned())),
    }
}

/// An account that no worker uses would be paused in vain.
async fn is_used(scope: &Scope, config: &Config, database: &Database) -> anyhow::Result<()> {
    let Scope::Integration(key) = scope else { return Ok(()) };
    match config.twilio.credentials() {
        Ok(home) if home.account_sid != *key && !integrations::is_known(database, key).await? => {
            let sid = home.account_sid;
            let sentence = format!(
                "{key} is neither the account that is configured, which is {sid}, nor that of an integration"
            );
            Err(Problems(vec![sentence]).into())
        }
        _ => Ok(()),
    }
}

fn account(key: &str) -> Result<&str, Problems> {
    let is_sid = key
        .strip_prefix("AC")
        .is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|b| b.is_ascii_hexdigit()));
    let refused = || {
        let what =
            "neither an integration's id nor an account at Twilio, whose SID is AC and 32 hexadecimal digits";
        Problems(vec![format!("`{key}` is {what}")])
    };
    is_sid.then_some(key).ok_or_else(refused)
}

fn end(args: &PauseArgs) -> Result<PauseEnd, Problems> {
    if let Some(text) = &args.duration {
        let duration = text.parse::<SignedDuration>().ok().and_then(|one| Duration::try_from(one).ok());
        return duration.filter(|one| !one.is_zero()).map(PauseEnd::After).ok_or_else(|| {
            Problems(vec![format!("--for is `{text}`, which is no time such as 90s, 10m or 2h")])
        });
    }
    args.until.as_ref().map_or(Ok(PauseEnd::Open), |text| {
        text.parse::<Timestamp>().map(PauseEnd::At).map_err(|_| {
            let sentence = format!(
                "--until is `{text}`, which is no instant with its zone such as 2026-12-01T08:00:00Z"
            );
            Problems(vec![sentence])
        })
    })
}

/// What the database module refuses is a fault of the command line.
pub(super) fn wrong_or_failed(failure: BatchFailure) -> anyhow::Error {
    match failure {
        BatchFailure::Data(sentence) => Problems(vec![sentence]).into(),
        failure @ BatchFailure::Unavailable(_) => failure.into(),
    }
}
