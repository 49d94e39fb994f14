//! A producer as it should be: confirmed, persistent, pipelined.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, PublisherConfirm};
use tokio::time::timeout;

use super::jobs::Job;

/// Unconfirmed publications at a time.
const PIPELINE: usize = 512;
const CONFIRM_MAX: Duration = Duration::from_secs(30);

/// Publishes jobs.
pub(super) struct Producer {
    connection: Connection,
    channel: Channel,
    prefix: String,
}

impl Producer {
    pub(super) async fn connect(url: &str, prefix: &str) -> Result<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Self { connection, channel, prefix: prefix.to_owned() })
    }

    /// Publishes all of them to the exchange of jobs; when this returns, the broker answers for each.
    pub(super) async fn publish(&self, jobs: impl Iterator<Item = Job>) -> Result<()> {
        self.publish_to(&format!("{}.jobs", self.prefix), jobs).await
    }

    /// Publishes to another exchange; the empty one is the queue of the routing key.
    pub(super) async fn publish_to(&self, exchange: &str, jobs: impl Iterator<Item = Job>) -> Result<()> {
        let mut open: VecDeque<PublisherConfirm> = VecDeque::with_capacity(PIPELINE);
        for job in jobs {
            if open.len() == PIPELINE
                && let Some(confirm) = open.pop_front()
            {
                confirmed(confirm).await?;
            }
            let properties = BasicProperties::default()
                .with_message_id(job.id.to_string().into())
                .with_content_type("application/json".into())
                .with_delivery_mode(2);
            let options = BasicPublishOptions::default();
            let key = job.routing_key.as_str().into();
            open.push_back(
                self.channel.basic_publish(exchange.into(), key, options, &job.body, properties).await?,
            );
        }
        for confirm in open {
            confirmed(confirm).await?;
        }
        Ok(())
    }

    /// How many envelopes wait in the queue of a lane.
    pub(super) async fn waiting(&self, lane: &str) -> Result<u32> {
        let (name, options) = (format!("{}.jobs.{lane}", self.prefix), QueueDeclareOptions::default());
        // A channel of its own, for a queue that is not there would close it.
        let channel = self.connection.create_channel().await?;
        let passive = QueueDeclareOptions { passive: true, ..options };
        let queue = channel.queue_declare(name.into(), passive, FieldTable::default()).await?;
        let count = queue.message_count();
        channel.close(200, "asked".into()).await?;
        Ok(count)
    }
}

async fn confirmed(confirm: PublisherConfirm) -> Result<()> {
    match timeout(CONFIRM_MAX, confirm).await.context("no confirm within 30 s")?? {
        Confirmation::Ack(None) => Ok(()),
        _ => bail!("the broker refused a job"),
    }
}
