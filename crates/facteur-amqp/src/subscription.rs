//! One channel's subscription to its queue. The number of envelopes that the broker leaves with a subscription can't be
//! changed, so another number is another subscription.

use futures_util::StreamExt as _;
use lapin::Channel;
use lapin::message::Delivery;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};

use crate::consume_session::{SessionError, in_time};

/// The subscription, and the one before it as long as something of it is left to read.
pub(crate) struct Subscription<'a> {
    channel: &'a Channel,
    queue: ShortString,
    /// The broker keeps a cancelled subscription by its tag until everything of it is acknowledged: each has its own.
    number: u32,
    current: lapin::Consumer,
    former: Option<lapin::Consumer>,
}

impl<'a> Subscription<'a> {
    pub(crate) async fn begin(
        channel: &'a Channel,
        queue: ShortString,
        prefetch: u16,
    ) -> Result<Self, SessionError> {
        let current = subscribe(channel, &queue, 1, prefetch).await?;
        Ok(Self { channel, queue, number: 1, current, former: None })
    }

    /// The next delivery. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Delivery, SessionError> {
        while let Some(former) = &mut self.former {
            tokio::select! {
                delivery = former.next() => match delivery {
                    Some(delivery) => return Ok(delivery?),
                    None => self.former = None,
                },
                delivery = self.current.next() => return Ok(delivery.ok_or(SessionError::Cancelled)??),
            }
        }
        Ok(self.current.next().await.ok_or(SessionError::Cancelled)??)
    }

    /// Whether everything of the one before is read.
    pub(crate) fn is_settled(&self) -> bool {
        self.former.is_none()
    }

    /// Asks for another number of envelopes. What was delivered stays ours, and counts for the old number. What is
    /// under way at this moment goes back to the queue by the broker's own doing.
    pub(crate) async fn change(&mut self, prefetch: u16) -> Result<(), SessionError> {
        self.end().await?;
        self.number += 1;
        let next = subscribe(self.channel, &self.queue, self.number, prefetch).await?;
        self.former = Some(std::mem::replace(&mut self.current, next));
        Ok(())
    }

    /// The broker delivers nothing more.
    pub(crate) async fn end(&self) -> Result<(), SessionError> {
        in_time(self.channel.basic_cancel(tag(self.number), BasicCancelOptions::default())).await
    }
}

async fn subscribe(
    channel: &Channel,
    queue: &ShortString,
    number: u32,
    prefetch: u16,
) -> Result<lapin::Consumer, SessionError> {
    // Before consuming: lapin buffers without bound whatever the broker sends.
    in_time(channel.basic_qos(prefetch, BasicQosOptions::default())).await?;
    let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
    in_time(channel.basic_consume(queue.clone(), tag(number), options, arguments)).await
}

fn tag(number: u32) -> ShortString {
    ShortString::try_new(format!("facteur-{number}")).unwrap_or_default()
}
