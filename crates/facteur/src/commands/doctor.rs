//! `facteur doctor`: examines what a worker needs, and says what to do about each fault.

mod accounts;

use std::fmt;
use std::time::Duration;

use anyhow::Context;
use facteur_amqp::Names;
use facteur_core::Timestamp;
use facteur_core::breaker::State;
use facteur_core::lane::Lane;
use facteur_core::peers::{SharedSettings, differences};
use facteur_postgres::workers::{self, Peer};
use facteur_postgres::{Database, Inspection, breakers, migrate};
use facteur_twilio::{AccountCheck, TwilioClient};
use facteur_worker::clock::Clock;
use serde::Serialize;

use super::adapters;
use super::config::hints;
use crate::config::{Config, Loaded};
use crate::exit::Exit;
use crate::output::{Output, table};
use crate::wiring;

/// No examination takes longer.
const EXAMINATION_MAX: Duration = Duration::from_secs(25);
/// The only status in which an account can send.
const ACTIVE: &str = "active";

/// How a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, but hardly as it is meant to.
    Warn,
    /// No work can be done.
    Fail,
}

/// One line of the examination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was examined.
    pub part: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What was found and, unless it is well, what to do.
    pub says: String,
}

#[derive(Serialize)]
struct Findings {
    verdict: Verdict,
    findings: Vec<Finding>,
}

/// Clocks that are further apart, in seconds, are worth a warning.
const CLOCKS_APART_S_MAX: i64 = 2;

/// Runs it.
///
/// # Errors
/// If stdout can't be written; what is found is no error.
pub async fn run(loaded: &Loaded, output: Output) -> anyhow::Result<Exit> {
    let config = &loaded.config;
    let (broker, database, twilio) = tokio::join!(
        within("broker", Box::pin(broker(config))),
        within("database", Box::pin(database(config))),
        within("twilio", Box::pin(twilio(config))),
    );
    let configuration = hints(loaded).into_iter().map(|hint| finding("configuration", Verdict::Warn, hint));
    let read = finding("configuration", Verdict::Ok, "every value can be read");
    let findings: Vec<_> = [read]
        .into_iter()
        .chain(configuration)
        .chain(broker)
        .chain(database)
        .chain(twilio)
        .chain([callbacks(config.can_receive_callbacks(), config.twilio.is_on_loopback())])
        .collect();
    let verdict = findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok);
    output.show(&Findings { verdict, findings }, Findings::as_text)?;
    Ok(if verdict == Verdict::Fail { Exit::NotReady } else { Exit::Done })
}

fn finding(part: &'static str, verdict: Verdict, says: impl Into<String>) -> Finding {
    Finding { part, verdict, says: says.into() }
}

async fn within(part: &'static str, examination: impl Future<Output = Vec<Finding>>) -> Vec<Finding> {
    tokio::time::timeout(EXAMINATION_MAX, examination).await.unwrap_or_else(|_| {
        vec![finding(part, Verdict::Fail, format!("no answer within {} s", EXAMINATION_MAX.as_secs()))]
    })
}

async fn broker(config: &Config) -> Vec<Finding> {
    let amqp = adapters::amqp(config, "doctor");
    let checked = match facteur_amqp::check(&amqp).await {
        Ok(checked) => checked,
        Err(error) => return vec![finding("broker", Verdict::Fail, error.to_string())],
    };
    let version = checked.server_version.map_or_else(|| "RabbitMQ".to_owned(), |v| format!("RabbitMQ {v}"));
    let mut findings = vec![finding("broker", Verdict::Ok, format!("{version} at {}", amqp.place()))];
    findings.push(queues(&amqp).await);
    findings
}

async fn queues(amqp: &facteur_amqp::AmqpConfig) -> Finding {
    let names = Names::new(&amqp.prefix);
    let mut depths = Vec::new();
    let queues =
        Lane::ALL.map(|lane| (lane.as_str(), names.queue(lane))).into_iter().chain([("dead", names.dead())]);
    for (label, queue) in queues {
        match facteur_amqp::queue_depth(amqp, &queue).await {
            Ok(depth) => depths.push(format!("{label} {depth}")),
            Err(facteur_amqp::ProbeError::QueueMissing { queue }) => {
                let says = format!("queue {queue} is not there yet; a worker, or `facteur send`, makes it");
                return finding("queues", Verdict::Warn, says);
            }
            Err(error) => return finding("queues", Verdict::Fail, error.to_string()),
        }
    }
    finding("queues", Verdict::Ok, format!("envelopes that wait: {}", depths.join(", ")))
}

async fn database(config: &Config) -> Vec<Finding> {
    let postgres = adapters::postgres(config, "doctor");
    let database = match facteur_postgres::connect(&postgres).await {
        Ok(database) => database,
        Err(error) => return vec![finding("database", Verdict::Fail, error.to_string())],
    };
    let schema = match migrate::status(&postgres).await {
        Ok(status) if status.pending.is_empty() && status.newer.is_empty() => {
            finding("schema", Verdict::Ok, status.sentence())
        }
        Ok(status) if status.pending.is_empty() => finding("schema", Verdict::Warn, status.sentence()),
        Ok(status) => finding("schema", Verdict::Fail, status.sentence()),
        Err(error) => finding("schema", Verdict::Fail, error.to_string()),
    };
    match facteur_postgres::inspect(&database).await {
        Ok(inspection) => {
            let mut findings = server(&inspection, Clock::system().now());
            if schema.verdict == Verdict::Ok {
                findings.extend(open_breakers(&database).await);
                findings.extend(accounts::examine(&database, config).await);
            }
            findings.push(schema);
            // Before the migrations there is no list of workers, which is told already.
            if let Ok(live) = workers::live(&database, None).await {
                findings.push(workers_at_work(&wiring::shared_settings(config), &live));
            }
            findings
        }
        Err(error) => vec![finding("database", Verdict::Fail, error.to_string()), schema],
    }
}

/// Who is at work, and whether all agree with each other and with this configuration.
fn workers_at_work(ours: &SharedSettings, live: &[Peer]) -> Finding {
    let found = differences(ours, live.iter().map(|peer| &peer.settings));
    if found.is_empty() {
        let count = |role| live.iter().filter(|peer| peer.role == role).count();
        let says = format!("at work: {} worker(s), {} web", count("worker"), count("web"));
        return finding("workers", Verdict::Ok, says);
    }
    let found = found.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let says =
        format!("processes at work have other settings than this configuration: {found}. Set all alike");
    finding("workers", Verdict::Warn, says)
}

/// What a server's settings mean for the promises.
fn server(inspection: &Inspection, now: Timestamp) -> Vec<Finding> {
    let mut findings =
        vec![finding("database", Verdict::Ok, format!("PostgreSQL {} answers", inspection.version))];
    if !inspection.survives_crashes || !inspection.commits_wait {
        let says = "a crash can forget commits, and with them what was sent: set fsync, full_page_writes and \
                    synchronous_commit to on";
        findings.push(finding("durability", Verdict::Fail, says));
    } else if inspection.has_synchronous_standby {
        findings.push(finding("durability", Verdict::Ok, "commits wait for a synchronous standby"));
    } else {
        let says = "commits are on disk when they are answered; there is no synchronous standby \
                    (synchronous_standby_names), so a failover can forget the last ones";
        findings.push(finding("durability", Verdict::Ok, says));
    }
    let apart_s = inspection.now.duration_since(now).as_secs().abs();
    if apart_s > CLOCKS_APART_S_MAX {
        let says = format!(
            "its clock and this machine's are {apart_s} s apart: workers follow the database's; set the wrong one \
             right (NTP)"
        );
        findings.push(finding("clock", Verdict::Warn, says));
    }
    findings
}

/// What holds jobs back by itself.
async fn open_breakers(database: &Database) -> Vec<Finding> {
    let open = match breakers::open(database).await {
        Ok(open) => open,
        Err(error) => return vec![finding("breakers", Verdict::Fail, error.to_string())],
    };
    let says = |open: &breakers::OpenBreaker| {
        let (scope, key, breaker) = (open.fuse.scope(), open.fuse.key(), &open.breaker);
        let next = match breaker.state {
            State::Open => format!("tried again at {:.0}", breaker.retry_at),
            State::HalfOpen | State::Closed => "the next messages are its trials".to_owned(),
        };
        let (since, sentence) = (breaker.opened_at, &breaker.sentence);
        format!("messages of the {scope} {key} wait in line since {since:.0}: {sentence}; {next}")
    };
    open.iter().map(|open| finding("breakers", Verdict::Warn, says(open))).collect()
}

async fn twilio(config: &Config) -> Vec<Finding> {
    let place = config.twilio.base_url.host_str().unwrap_or("Twilio").to_owned();
    let made = adapters::twilio(config)
        .map_err(anyhow::Error::from)
        .and_then(|twilio| TwilioClient::new(twilio).context("Twilio's client can't be made"));
    let client = match made {
        Ok(client) => client,
        Err(error) => {
            let sentences = format!("{error:#}");
            return sentences.lines().map(|sentence| finding("twilio", Verdict::Fail, sentence)).collect();
        }
    };
    vec![account(client.check_account().await, &place)]
}

/// What the way of callbacks means for messages whose reply was lost.
fn callbacks(can_be_received: bool, is_on_loopback: bool) -> Finding {
    if can_be_received {
        let says = "asked for under FACTEUR_PUBLIC_URL, and the auth token verifies them";
        return finding("callbacks", Verdict::Ok, says);
    }
    // A simulator on this machine is no place that must reach us from outside.
    let verdict = if is_on_loopback { Verdict::Ok } else { Verdict::Warn };
    let says = "none can be received (FACTEUR_PUBLIC_URL and TWILIO_AUTH_TOKEN are both needed): a message whose \
                reply was lost and that does not appear in Twilio's list always ends as FACTEUR_UNCERTAIN_POLICY says";
    finding("callbacks", verdict, says)
}

fn account(checked: AccountCheck, place: &str) -> Finding {
    let (verdict, says) = match checked {
        AccountCheck::Ok { friendly_name, status, account_type } if status == ACTIVE => {
            (Verdict::Ok, format!("{place} knows the account: {friendly_name} ({account_type}, {status})"))
        }
        AccountCheck::Ok { friendly_name, status, .. } => (
            Verdict::Fail,
            format!("the account {friendly_name} is {status} and can't send: see the Twilio console"),
        ),
        AccountCheck::MessagesOnly => (
            Verdict::Ok,
            format!("{place} takes the API key for messages; it may not read the account itself"),
        ),
        AccountCheck::BadCredentials => (
            Verdict::Fail,
            format!(
                "{place} refuses the credentials: compare TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN (or \
                 TWILIO_API_KEY and TWILIO_API_SECRET) with the Twilio console"
            ),
        ),
        AccountCheck::Unreachable { cause } => (
            Verdict::Fail,
            format!("{place} can't be reached ({cause}): is TWILIO_BASE_URL right, and is the way out open?"),
        ),
        AccountCheck::Other { http_status } => (
            Verdict::Fail,
            format!("{place} answers with HTTP status {http_status}: is TWILIO_BASE_URL right?"),
        ),
    };
    finding("twilio", verdict, says)
}

impl Findings {
    fn as_text(&self) -> String {
        let mut lines = table(&["part", "is", "what was found"]);
        for finding in &self.findings {
            lines.add_row([finding.part, finding.verdict.as_str(), finding.says.as_str()]);
        }
        let end = match self.verdict {
            Verdict::Ok => "all is well",
            Verdict::Warn => "a worker can work; see the warnings",
            Verdict::Fail => "a worker can't work yet",
        };
        format!("{lines}\n{end}")
    }
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_may_forget_is_told() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let good = Inspection {
            version: "15.18".to_owned(),
            survives_crashes: true,
            commits_wait: true,
            has_synchronous_standby: false,
            now,
        };
        let rows = [
            (good.clone(), Verdict::Ok, "no synchronous standby"),
            (
                Inspection { has_synchronous_standby: true, ..good.clone() },
                Verdict::Ok,
                "wait for a synchronous",
            ),
            (Inspection { commits_wait: false, ..good.clone() }, Verdict::Fail, "synchronous_commit"),
            (Inspection { survives_crashes: false, ..good.clone() }, Verdict::Fail, "fsync"),
            (Inspection { now: Timestamp::UNIX_EPOCH, ..good }, Verdict::Warn, "1800000000 s apart"),
        ];
        for (inspection, verdict, says) in rows {
            let found = server(&inspection, now);
            assert!(found.iter().any(|one| one.verdict == verdict && one.says.contains(says)), "{found:?}");
        }
    }

    #[test]
    fn workers_that_are_set_up_otherwise_are_told() {
        let settings =
            |rate: &str| SharedSettings::from([("worker.sender_rate".to_owned(), rate.to_owned())]);
        let peer = |role: &str, rate| Peer {
            id: uuid::Uuid::from_u128(1),
            role: role.to_owned(),
            version: "1".to_owned(),
            settings: settings(rate),
        };
        let live = [peer("worker", "10"), peer("worker", "10"), peer("web", "10")];
        let found = workers_at_work(&settings("10"), &live);
        assert_eq!((found.verdict, found.says.as_str()), (Verdict::Ok, "at work: 2 worker(s), 1 web"));
        let found = workers_at_work(&settings("10"), &[peer("worker", "20"), peer("web", "10")]);
        assert_eq!(found.verdict, Verdict::Warn);
        assert!(found.says.contains("worker.sender_rate: 10 here, 20 elsewhere"), "{}", found.says);
    }

    #[test]
    fn an_integration_that_can_not_receive_callbacks_is_told_what_that_means() {
        assert_eq!(callbacks(true, false).verdict, Verdict::Ok);
        assert_eq!(callbacks(false, true).verdict, Verdict::Ok);
        let deaf = callbacks(false, false);
        assert_eq!(deaf.verdict, Verdict::Warn);
        assert!(deaf.says.contains("FACTEUR_PUBLIC_URL") && deaf.says.contains("FACTEUR_UNCERTAIN_POLICY"));
    }

    #[test]
    fn an_account_that_can_not_send_is_a_fault_with_a_remedy() {
        let named = |status: &str| AccountCheck::Ok {
            friendly_name: "Mairie".to_owned(),
            status: status.to_owned(),
            account_type: "Full".to_owned(),
        };
        let rows = [
            (named("active"), Verdict::Ok, "Mairie"),
            (named("suspended"), Verdict::Fail, "suspended"),
            (AccountCheck::MessagesOnly, Verdict::Ok, "API key"),
            (AccountCheck::BadCredentials, Verdict::Fail, "TWILIO_AUTH_TOKEN"),
            (AccountCheck::Unreachable { cause: "refused".to_owned() }, Verdict::Fail, "refused"),
            (AccountCheck::Other { http_status: 404 }, Verdict::Fail, "404"),
        ];
        for (checked, verdict, says) in rows {
            let found = account(checked, "api.twilio.com");
            assert_eq!(found.verdict, verdict, "{found:?}");
            assert!(found.says.contains(says), "{found:?}");
        }
    }
}
