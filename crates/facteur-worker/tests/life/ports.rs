//! The worker's ports on the world in memory. Each effect can be its worker's last.

use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use facteur_core::call::Call;
use facteur_core::gate::Facts;
use facteur_core::hold::Hold;
use facteur_core::ids::{ClaimToken, JobId, Turn};
use facteur_core::integration::Via;
use facteur_core::job::Job;
use facteur_core::ledger::{Claim, ClaimRequest, Record, Recorded, Settled, Settlement};
use facteur_core::limits::CLAIM_LEASE;
use facteur_core::outcome::Outcome;
use facteur_core::phone::Country;
use facteur_core::reason::ReasonCode;
use facteur_core::sender::Sender;
use facteur_worker::ports::{Letter, PortError, Ports, Slot};
use facteur_worker::process::End;
use tokio::time::{Instant, sleep};

use crate::broker::Tag;
use crate::limiter::LIMITED_SENDER;
use crate::ops::When;
use crate::world::{Shared, World};

/// A claim that takes as long as this may lose its lease on the way.
const NEARLY_A_LEASE: Duration = Duration::from_secs(CLAIM_LEASE.as_secs() - 10);

pub(crate) struct MemoryPorts {
    pub(crate) shared: Arc<Shared>,
    /// Of this worker; one that is started anew has another number.
    pub(crate) worker: usize,
}

impl MemoryPorts {
    /// An effect that happens once.
    async fn once<T>(&self, apply: impl FnOnce(&mut World) -> T) -> T {
        self.travel().await;
        let fate = self.shared.world().count_effect();
        if fate == Some(When::Before) {
            self.die().await;
        }
        let answer = apply(&mut self.shared.world());
        if fate == Some(When::After) {
            self.die().await;
        }
        self.shared.changed.notify_one();
        self.travel().await;
        answer
    }

    /// An effect that is asked for again if its first answer is lost.
    async fn effect<T>(&self, mut apply: impl FnMut(&mut World) -> T) -> T {
        self.once(|world| {
            let first = apply(world);
            if world.is_repeated() { apply(world) } else { first }
        })
        .await
    }

    fn note_stall(&self, stall: Duration, job: JobId) {
        if stall >= NEARLY_A_LEASE {
            self.shared.world().cut_off.insert(job);
        }
    }

    async fn travel(&self) {
        let latency = self.shared.world().latency();
        sleep(latency).await;
    }

    async fn die(&self) {
        self.shared.world().crashed.push(self.worker);
        self.shared.changed.notify_one();
        pending().await
    }

    pub(crate) async fn ack(&self, tag: Tag, end: End) {
        self.once(|world| world.ack(tag, end)).await;
    }
}

impl Ports for MemoryPorts {
    type Pass = ();

    async fn countries(&self) -> Arc<HashMap<String, Country>> {
        Arc::default()
    }

    fn pass(&self, _: &Via, _: &Sender) -> Result<(), Hold> {
        Ok(())
    }

    async fn facts(&self, job: &Job, turn: Turn) -> Result<Facts, PortError> {
        Ok(self.shared.world().facts(job, turn))
    }

    async fn slot(&self, sender: &Sender, segments: u32, is_claimed: bool) -> Result<Slot, PortError> {
        if sender.as_str() != LIMITED_SENDER {
            return Ok(Slot::Now);
        }
        Ok(self.once(|world| world.slot(segments, is_claimed)).await)
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Claim, PortError> {
        let asked_at = Instant::now();
        let is_new = !self.shared.world().ledger.rows.contains_key(&request.row.id);
        if is_new && self.shared.world().is_row_refused() {
            return Err(PortError::Data("the row can't be stored".to_owned()));
        }
        let stall = self.shared.world().faults.stalled_claims.pop_front().unwrap_or_default();
        let claim = self.effect(|world| world.claim(&request, self.worker, asked_at)).await;
        if matches!(claim, Claim::Yours(_)) {
            self.note_stall(stall, request.row.id);
        }
        sleep(stall).await;
        Ok(claim)
    }

    async fn release(
        &self,
        id: JobId,
        token: ClaimToken,
        reason: ReasonCode,
        wake_up_after: Duration,
    ) -> Result<(), PortError> {
        self.effect(|world| {
            let now = world.clock.now();
            world.ledger.release(id, token, reason, wake_up_after, now);
        })
        .await;
        Ok(())
    }

    async fn call(&self, _: &Via, call: &Call) -> Outcome {
        let (started_at, started) = (self.shared.world().clock.now(), Instant::now());
        let (outcome, after) = self.once(|world| world.call(call, started_at, started)).await;
        sleep(after).await;
        outcome
    }

    async fn record(&self, record: Record) -> Result<Recorded, PortError> {
        if self.shared.world().is_row_refused() {
            // If the minimal record is refused too, the lease runs out.
            self.shared.world().cut_off.insert(record.id);
            return Err(PortError::Data("the sentence can't be stored".to_owned()));
        }
        let stall = self.shared.world().faults.stalled_records.pop_front().unwrap_or_default();
        self.note_stall(stall, record.id);
        sleep(stall).await;
        Ok(self
            .effect(|world| {
                let now = world.clock.now();
                world.ledger.record(&record, now)
            })
            .await)
    }

    async fn settle(&self, settlement: Settlement) -> Result<Settled, PortError> {
        Ok(self
            .effect(|world| {
                let now = world.clock.now();
                world.ledger.settle(&settlement, now)
            })
            .await)
    }

    async fn publish(&self, letter: Letter) -> Result<(), PortError> {
        self.effect(|world| match &letter {
            Letter::WakeUp { content, lane, delay } => {
                world.broker.publish_later(content.clone(), *lane, *delay, Instant::now());
            }
            Letter::Burial { content, reason, .. } => world.broker.bury(content.clone(), reason.code),
        })
        .await;
        Ok(())
    }
}
