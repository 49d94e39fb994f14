//! A producer as it should be: confirms awaited, nothing forgotten. It reaches the broker past every proxy, so what
//! it was confirmed is what must not be lost.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::traffic::{Job, Stream, jobs};
use crate::clock;

const CONFIRM_MAX: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_millis(100);

/// A publication and what the broker said to it.
#[derive(Debug, Clone)]
pub(super) struct Published {
    /// What was published.
    pub(super) job: Job,
    /// Whether the broker answers for it.
    pub(super) is_confirmed: bool,
}

/// The producer; clones share their connection and what they remember.
#[derive(Clone)]
pub(super) struct Producer {
    _connection: Arc<Connection>,
    channel: Channel,
    exchange: String,
    published: Arc<Mutex<Vec<Published>>>,
}

impl Producer {
    /// Connects.
    ///
    /// # Errors
    /// If the broker doesn't answer.
    pub(super) async fn connect(url: &str, prefix: &str) -> Result<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let (exchange, published) = (format!("{prefix}.jobs"), Arc::default());
        Ok(Self { _connection: Arc::new(connection), channel, exchange, published })
    }

    /// Publishes the steady stream: so many jobs a second, for so long.
    ///
    /// # Errors
    /// If the broker doesn't answer.
    pub(super) async fn stream(&self, seed: u64, jobs_per_s: u64, storm: Duration) -> Result<()> {
        let began = Instant::now();
        let mut ticks = interval_at(began, TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut index = 0;
        while began.elapsed() < storm {
            ticks.tick().await;
            let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            let due = elapsed_ms.saturating_mul(jobs_per_s) / 1_000 + 1;
            self.publish(Stream { seed, number: 0, sender: None }, index..due.max(index)).await?;
            index = due.max(index);
        }
        Ok(())
    }

    /// Publishes a part of a stream; when this returns, the broker has answered for each.
    ///
    /// # Errors
    /// If the broker doesn't answer.
    pub(super) async fn publish(&self, stream: Stream<'_>, indices: std::ops::Range<u64>) -> Result<()> {
        let mut open = Vec::new();
        for job in indices.flat_map(|index| jobs(stream, index, clock::now())) {
            let properties = BasicProperties::default()
                .with_message_id(job.id.to_string().into())
                .with_content_type("application/json".into())
                .with_delivery_mode(2);
            let confirm = self.channel.basic_publish(
                self.exchange.as_str().into(),
                job.routing_key.into(),
                BasicPublishOptions::default(),
                &job.body,
                properties,
            );
            open.push((confirm.await?, job));
        }
        for (confirm, job) in open {
            let answer =
                tokio::time::timeout(CONFIRM_MAX, confirm).await.context("no confirm within 30 s")??;
            let is_confirmed = matches!(answer, Confirmation::Ack(_));
            let published = Published { job, is_confirmed };
            self.published.lock().unwrap_or_else(PoisonError::into_inner).push(published);
        }
        Ok(())
    }

    /// Everything that was published.
    #[must_use]
    pub(super) fn published(&self) -> Vec<Published> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
