//! What publisher and consumer say about themselves, readable from anywhere in the process.

use tokio::sync::watch;
use tokio::time::Instant;

/// How a publisher is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PublisherHealth {
    /// A connection stands, and the topology is declared on it.
    pub connected: bool,
    /// The broker takes nothing at the moment (memory or disk alarm).
    pub blocked: bool,
}

/// How a consumer is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConsumerHealth {
    /// A connection stands.
    pub connected: bool,
    /// The broker accepted our subscription and has not taken it back.
    pub consuming: bool,
    /// When the last envelope came.
    pub last_delivery: Option<Instant>,
    /// Envelopes that the broker counts as handed out and not acknowledged on the present channel.
    pub in_flight: u32,
    /// Most envelopes that the broker hands out at present: fewer while they are large.
    pub prefetch: u16,
}

macro_rules! handle {
    ($(#[$doc:meta])* $name:ident of $health:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name(watch::Receiver<$health>);

        impl $name {
            pub(crate) fn new(receiver: watch::Receiver<$health>) -> Self {
                Self(receiver)
            }

            /// The state now.
            #[must_use]
            pub fn get(&self) -> $health {
                *self.0.borrow()
            }

            /// Waits until the state satisfies `condition`; `None` once its owner is gone.
            pub async fn wait_for(&mut self, mut condition: impl FnMut(&$health) -> bool) -> Option<$health> {
                self.0.wait_for(|health| condition(health)).await.ok().map(|health| *health)
            }
        }
    };
}

handle! {
    /// A view of a publisher's health that outlives the place where the publisher went.
    PublisherHealthHandle of PublisherHealth
}

handle! {
    /// A view of a consumer's health that outlives the place where the consumer went.
    ConsumerHealthHandle of ConsumerHealth
}
