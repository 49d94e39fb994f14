//! RabbitMQ, and the only crate that knows lapin: topology, wire format, publisher and consumer.
//!
//! Reader's path: [`topology`] (what exists on the broker), [`publication`] (what is put there), [`Publisher`]
//! (how it gets there for certain), [`Consumer`] (how envelopes come back, whatever breaks).

mod appetite;
mod backoff_policy;
mod config;
mod connect;
mod consume_session;
mod consumer;
mod health;
mod probe;
pub mod publication;
mod publish_session;
mod publisher;
mod subscription;
pub mod topology;
mod watchdog;
mod watermark;
mod wire;

pub use config::{AmqpConfig, ConfigError};
pub use connect::ConnectError;
pub use consumer::{Consumer, Envelope, EnvelopeAcker};
pub use health::{ConsumerHealth, ConsumerHealthHandle, PublisherHealth, PublisherHealthHandle};
pub use probe::{BrokerCheck, ProbeError, check, queue_depth};
pub use publication::{Exchange, Publication};
pub use publisher::{PublishError, Publisher};
pub use topology::{Names, TopologyError};
pub use watchdog::WatchdogTiming;
