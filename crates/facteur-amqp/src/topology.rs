//! Everything that exists on the broker: names, arguments, bindings, and their idempotent declaration.

use std::fmt;
use std::time::Duration;

use facteur_core::ladder;
use facteur_core::lane::Lane;
use facteur_core::limits::LADDER_LEVELS;
use lapin::options::{ExchangeBindOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Connection, ErrorKind, ExchangeKind};
use tokio::time::timeout;

/// The first declaration of a quorum queue starts a Raft cluster for it, which takes its time on a busy node.
const STEP_TIMEOUT: Duration = Duration::from_secs(15);
/// So many redeliveries of one envelope mean that it kills its workers. High, for a lost consumer counts for
/// every envelope that it held; never unlimited, for RabbitMQ 4 would set 20.
const WORK_DELIVERY_LIMIT: i64 = 1_000;
/// The dead queue has nowhere to put what exceeds its limit, so the limit is one that is never reached.
const DEAD_DELIVERY_LIMIT: i64 = 1_000_000;

/// The names of all objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    prefix: String,
}

impl Names {
    /// Names that begin with `prefix`.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// The exchange to which producers publish jobs with the routing key `send.<lane>`.
    #[must_use]
    pub fn jobs(&self) -> String {
        format!("{}.jobs", self.prefix)
    }

    /// A lane's work queue.
    #[must_use]
    pub fn queue(&self, lane: Lane) -> String {
        format!("{}.jobs.{}", self.prefix, lane.as_str())
    }

    /// The entry of the delay ladder: the exchange of its highest level.
    #[must_use]
    pub fn retry(&self) -> String {
        format!("{}.retry", self.prefix)
    }

    /// The exchange before a level of the ladder.
    #[must_use]
    pub fn level_exchange(&self, level: u32) -> String {
        if level + 1 == LADDER_LEVELS { self.retry() } else { self.level_queue(level) }
    }

    /// The queue in which an envelope rests for 2^level units.
    #[must_use]
    pub fn level_queue(&self, level: u32) -> String {
        format!("{}.delay.{level}", self.prefix)
    }

    /// The exchange and the queue of what never reached a record.
    #[must_use]
    pub fn dead(&self) -> String {
        format!("{}.dead", self.prefix)
    }

    /// The exchange on which apps hear what became of their messages.
    #[must_use]
    pub fn events(&self) -> String {
        format!("{}.events", self.prefix)
    }
}

/// Why the topology does not stand.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    /// An object of that name exists with other properties.
    #[error(
        "{object} exists with other properties than Facteur's: delete it or choose another prefix ({detail})"
    )]
    Differs {
        /// Kind and name of the object.
        object: String,
        /// RabbitMQ's own words.
        detail: String,
    },
    /// The user may not declare it.
    #[error("the user may not declare {object}: grant configure, write and read on the prefix ({detail})")]
    Denied {
        /// Kind and name of the object.
        object: String,
        /// RabbitMQ's own words.
        detail: String,
    },
    /// The broker did not answer.
    #[error("no answer to the declaration of {object} within {} s", STEP_TIMEOUT.as_secs())]
    Timeout {
        /// Kind and name of the object.
        object: String,
    },
    /// Anything else.
    #[error("can't declare {object}: {source}")]
    Other {
        /// Kind and name of the object.
        object: String,
        /// What went wrong.
        source: lapin::Error,
    },
}

/// Declares all that is missing. Declaring what is there is harmless; with other properties it is an error
/// that closes the channel, so this one is used for nothing else.
///
/// # Errors
/// [`TopologyError`], naming the first object that could not be declared.
pub async fn declare(
    connection: &Connection,
    names: &Names,
    delay_unit: Duration,
) -> Result<(), TopologyError> {
    let channel = answered("a channel", connection.create_channel()).await?;
    for step in plan(names, delay_unit) {
        answered(&step.to_string(), step.apply(&channel)).await?;
    }
    answered("the end of the channel", channel.close(200, "declared".into())).await
}

async fn answered<T>(
    object: &str,
    answer: impl Future<Output = lapin::Result<T>>,
) -> Result<T, TopologyError> {
    let object = object.to_owned();
    match timeout(STEP_TIMEOUT, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(explain(object, error)),
        Err(_) => Err(TopologyError::Timeout { object }),
    }
}

fn explain(object: String, error: lapin::Error) -> TopologyError {
    if let ErrorKind::ProtocolError(protocol) = error.kind() {
        let detail = protocol.get_message().to_string();
        match protocol.kind() {
            AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED) => {
                return TopologyError::Differs { object, detail };
            }
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => {
                return TopologyError::Denied { object, detail };
            }
            _ => {}
        }
    }
    TopologyError::Other { object, source: error }
}

/// One object or binding.
enum Step {
    Exchange { name: String, kind: ExchangeKind, arguments: FieldTable },
    Queue { name: String, arguments: FieldTable },
    QueueBinding { queue: String, exchange: String, key: String },
    ExchangeBinding { destination: String, source: String, key: String },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exchange { name, .. } => write!(f, "exchange `{name}`"),
            Self::Queue { name, .. } => write!(f, "queue `{name}`"),
            Self::QueueBinding { queue: to, exchange, key }
            | Self::ExchangeBinding { destination: to, source: exchange, key } => {
                write!(f, "the binding of `{to}` to `{exchange}` by `{key}`")
            }
        }
    }
}

impl Step {
    async fn apply(&self, channel: &Channel) -> lapin::Result<()> {
        match self {
            Self::Exchange { name, kind, arguments } => {
                let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
                channel.exchange_declare(short(name)?, kind.clone(), options, arguments.clone()).await
            }
            Self::Queue { name, arguments } => {
                let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
                channel.queue_declare(short(name)?, options, arguments.clone()).await.map(drop)
            }
            Self::QueueBinding { queue, exchange, key } => {
                let (queue, exchange, key) = (short(queue)?, short(exchange)?, short(key)?);
                channel
                    .queue_bind(queue, exchange, key, QueueBindOptions::default(), FieldTable::default())
                    .await
            }
            Self::ExchangeBinding { destination, source, key } => {
                let (to, from, key) = (short(destination)?, short(source)?, short(key)?);
                channel
                    .exchange_bind(to, from, key, ExchangeBindOptions::default(), FieldTable::default())
                    .await
            }
        }
    }
}

/// A prefix of more than 230 characters makes names that AMQP can't carry.
fn short(name: &str) -> lapin::Result<ShortString> {
    ShortString::try_new(name).map_err(|error| std::io::Error::other(error).into())
}

/// The whole topology, in an order in which everything that is referred to is already there.
fn plan(names: &Names, delay_unit: Duration) -> Vec<Step> {
    let mut steps = dead_letters(names);
    steps.extend(work(names));
    steps.extend(delay_ladder(names, delay_unit));
    steps.push(Step::Exchange {
        name: names.events(),
        kind: ExchangeKind::Topic,
        arguments: FieldTable::default(),
    });
    steps
}

fn dead_letters(names: &Names) -> Vec<Step> {
    let dead = names.dead();
    vec![
        Step::Exchange { name: dead.clone(), kind: ExchangeKind::Fanout, arguments: FieldTable::default() },
        Step::Queue {
            name: dead.clone(),
            arguments: table([
                ("x-queue-type", text("quorum")),
                ("x-delivery-limit", AMQPValue::LongLongInt(DEAD_DELIVERY_LIMIT)),
            ]),
        },
        Step::QueueBinding { queue: dead.clone(), exchange: dead, key: String::new() },
    ]
}

/// What is unroutable goes the alternate way to the dead queue. That way leaves no trace in the headers: the
/// keeper knows such an envelope by its having neither `x-death` nor a reason of ours.
fn work(names: &Names) -> Vec<Step> {
    let jobs = names.jobs();
    let alternate = table([("alternate-exchange", text(&names.dead()))]);
    let mut steps =
        vec![Step::Exchange { name: jobs.clone(), kind: ExchangeKind::Topic, arguments: alternate }];
    for lane in Lane::ALL {
        let queue = names.queue(lane);
        let limit = ("x-delivery-limit", AMQPValue::LongLongInt(WORK_DELIVERY_LIMIT));
        let arguments = dead_lettering(&names.dead(), limit);
        steps.push(Step::Queue { name: queue.clone(), arguments });
        // What comes out of the ladder keeps its long key, hence the second one.
        for key in [lane.routing_key().to_owned(), format!("#.{}", lane.routing_key())] {
            steps.push(Step::QueueBinding { queue: queue.clone(), exchange: jobs.clone(), key });
        }
    }
    steps
}

/// An envelope with a 1 at a level's place rests in the level's queue and then goes to the next exchange;
/// with a 0 it goes there at once.
fn delay_ladder(names: &Names, unit: Duration) -> Vec<Step> {
    let mut steps = Vec::new();
    for level in 0..LADDER_LEVELS {
        let (exchange, queue) = (names.level_exchange(level), names.level_queue(level));
        let next = if level == 0 { names.jobs() } else { names.level_exchange(level - 1) };
        let rest = i64::try_from(unit.as_millis()).unwrap_or(i64::MAX >> LADDER_LEVELS).max(1) << level;
        let arguments = dead_lettering(&next, ("x-message-ttl", AMQPValue::LongLongInt(rest)));
        steps.push(Step::Exchange {
            name: exchange.clone(),
            kind: ExchangeKind::Topic,
            arguments: FieldTable::default(),
        });
        steps.push(Step::Queue { name: queue.clone(), arguments });
        steps.push(Step::ExchangeBinding {
            destination: next,
            source: exchange.clone(),
            key: ladder::binding_key(level, 0),
        });
        steps.push(Step::QueueBinding { queue, exchange, key: ladder::binding_key(level, 1) });
    }
    steps
}

/// A quorum queue that loses nothing on the way out: without `reject-publish` RabbitMQ silently downgrades
/// at-least-once dead-lettering to at-most-once.
fn dead_lettering(exchange: &str, limit: (&'static str, AMQPValue)) -> FieldTable {
    table([
        ("x-queue-type", text("quorum")),
        ("x-dead-letter-exchange", text(exchange)),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
        limit,
    ])
}

fn table<const N: usize>(entries: [(&'static str, AMQPValue); N]) -> FieldTable {
    entries
        .into_iter()
        .map(|(name, value)| (name.into(), value))
        .collect::<std::collections::BTreeMap<_, _>>()
        .into()
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_stands_on_one_screen() {
        let steps = plan(&Names::new("f"), Duration::from_secs(1));
        let objects = |steps: &[Step]| -> Vec<String> {
            steps.iter().map(ToString::to_string).filter(|name| !name.starts_with("the binding")).collect()
        };
        let expected = "exchange `f.dead`, queue `f.dead`, exchange `f.jobs`, queue `f.jobs.urgent`, \
             queue `f.jobs.normal`, queue `f.jobs.bulk`, exchange `f.delay.0`, queue `f.delay.0`, \
             exchange `f.delay.1`, queue `f.delay.1`, exchange `f.delay.2`, queue `f.delay.2`, \
             exchange `f.delay.3`, queue `f.delay.3`, exchange `f.delay.4`, queue `f.delay.4`, \
             exchange `f.delay.5`, queue `f.delay.5`, exchange `f.delay.6`, queue `f.delay.6`, \
             exchange `f.delay.7`, queue `f.delay.7`, exchange `f.delay.8`, queue `f.delay.8`, \
             exchange `f.retry`, queue `f.delay.9`, exchange `f.events`";
        assert_eq!(objects(&steps).join(", "), expected);
    }

    #[test]
    fn the_top_level_rests_for_512_units() {
        let steps = delay_ladder(&Names::new("f"), Duration::from_secs(1));
        let ttl = steps.iter().find_map(|step| match step {
            Step::Queue { name, arguments } if name == "f.delay.9" => {
                arguments.inner().get("x-message-ttl").cloned()
            }
            _ => None,
        });
        assert_eq!(ttl, Some(AMQPValue::LongLongInt(512_000)));
    }
}
