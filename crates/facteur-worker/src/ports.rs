//! What one job's life needs of the world: ten questions, each about one item. The adapters behind them
//! batch; tests answer them from memory.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use facteur_core::call::Call;
use facteur_core::envelope::EnvelopeContent;
use facteur_core::gate::Facts;
use facteur_core::hold::Hold;
use facteur_core::ids::{ClaimToken, JobId, Turn};
use facteur_core::integration::Via;
use facteur_core::job::Job;
use facteur_core::lane::Lane;
use facteur_core::ledger::{Claim, ClaimRequest, Record, Recorded, Settled, Settlement};
use facteur_core::outcome::Outcome;
use facteur_core::phone::Country;
use facteur_core::reason::{Reason, ReasonCode};
use facteur_core::sender::Sender;
use tokio::time::Instant;

/// Why a port gave no answer. An outage is no such reason: ports wait it out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// This very item can't be stored or published.
    #[error("{0}")]
    Data(String),
    /// The worker is stopping.
    #[error("the worker is stopping")]
    Closed,
}

/// When a message may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// At this instant, and not later than `late_max` after it: a later call takes another slot.
    At {
        /// The instant.
        at: Instant,
        /// How late it may be used.
        late_max: Duration,
    },
    /// The sender has no limit.
    Now,
    /// Not soon: the job stands in the sender's line, and is pulled out of it.
    Line,
}

impl Slot {
    /// Whether it must not be used any more.
    #[must_use]
    pub fn is_late(&self) -> bool {
        matches!(self, Self::At { at, late_max } if Instant::now() > *at + *late_max)
    }
}

/// What the worker publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Letter {
    /// A wake-up that comes back after `delay`, through the ladder.
    WakeUp {
        /// The envelope, with the turn that it wakes.
        content: EnvelopeContent,
        /// Where it comes back.
        lane: Lane,
        /// When; at most what the ladder holds.
        delay: Duration,
    },
    /// An envelope that can't become a job.
    Burial {
        /// The envelope, byte for byte.
        content: EnvelopeContent,
        /// Its id, if that much could be read.
        job_id: Option<JobId>,
        /// Why.
        reason: Reason,
    },
}

/// The world, as one job sees it.
pub trait Ports: Send + Sync + 'static {
    /// The right to make one call; given back when it is dropped.
    type Pass: Send;

    /// The countries of numbers without a country code, of those tenants (by slug) that set one.
    fn countries(&self) -> impl Future<Output = Arc<HashMap<String, Country>>> + Send;

    /// What the gate must know: sender, its owner, the template's text and, from the second turn on, what the
    /// first one settled.
    fn facts(&self, job: &Job, turn: Turn) -> impl Future<Output = Result<Facts, PortError>> + Send;

    /// A slot of this sender for so many segments. A job whose slot came too late while it was claimed does not go
    /// behind those that wait in the line.
    fn slot(
        &self,
        sender: &Sender,
        segments: u32,
        is_claimed: bool,
    ) -> impl Future<Output = Result<Slot, PortError>> + Send;

    /// The right to make a call over this account from this sender now.
    ///
    /// # Errors
    /// What the job has to wait for: a breaker opened since the gate looked.
    fn pass(&self, via: &Via, sender: &Sender) -> Result<Self::Pass, Hold>;

    /// Claims the next attempt.
    fn claim(&self, request: ClaimRequest) -> impl Future<Output = Result<Claim, PortError>> + Send;

    /// Gives back a claim that made no call.
    fn release(
        &self,
        id: JobId,
        token: ClaimToken,
        reason: ReasonCode,
        wake_up_after: Duration,
    ) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Calls Twilio over this account. Never an error: whatever happens is an outcome.
    fn call(&self, via: &Via, call: &Call) -> impl Future<Output = Outcome> + Send;

    /// Records what the call came to.
    fn record(&self, record: Record) -> impl Future<Output = Result<Recorded, PortError>> + Send;

    /// Settles a job that is not claimed.
    fn settle(&self, settlement: Settlement) -> impl Future<Output = Result<Settled, PortError>> + Send;

    /// Publishes, and returns when the broker has confirmed it.
    fn publish(&self, letter: Letter) -> impl Future<Output = Result<(), PortError>> + Send;
}
