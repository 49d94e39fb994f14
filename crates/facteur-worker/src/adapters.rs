//! The worker's ports on the real world. What an adapter calls "unavailable" is waited out here, so that a
//! job's life knows only "this item can't" and "we are stopping".

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use facteur_amqp::{Publication, PublishError, Publisher};
use facteur_core::Timestamp;
use facteur_core::call::Call;
use facteur_core::gate::Facts;
use facteur_core::gcra::{Ask, Rate, Reservation};
use facteur_core::hold::Hold;
use facteur_core::ids::{ClaimToken, JobId, Turn};
use facteur_core::integration::{Home, Via, Way};
use facteur_core::job::{Channel, Content, Job};
use facteur_core::ladder::{self, Route};
use facteur_core::lane::Lane;
use facteur_core::ledger::{Claim, ClaimRequest, Record, Recorded, Settled, Settlement, Stored};
use facteur_core::limits::LADDER_DELAY_UNITS_MAX;
use facteur_core::outcome::Outcome;
use facteur_core::phone::Country;
use facteur_core::reason::ReasonCode;
use facteur_core::sender::Sender;
use facteur_postgres::{Asked, BatchFailure, Directory, Store, Subject, SubmitError, TemplateStore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::accounts::Accounts;
use crate::anchor::{Anchor, Trust};
use crate::breakers::{Breakers, Pass};
use crate::governor::Governor;
use crate::pacer::{Given, Pacer, SlotSource};
use crate::patience::in_time;
use crate::ports::{Letter, PortError, Ports, Slot};
use crate::rate_lines::Bell;

/// How long to wait before an unavailable adapter is asked again.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(500);

/// One lane's ports. What only some jobs need is boxed: a life is as large as the largest thing that it may wait for.
pub(crate) struct LanePorts {
    pub(crate) store: Store,
    pub(crate) publisher: Publisher,
    pub(crate) accounts: Accounts,
    pub(crate) breakers: Breakers,
    pub(crate) governor: Governor,
    pub(crate) pacer: Pacer<StoreSlots>,
    pub(crate) templates: TemplateStore,
    pub(crate) directory: Directory,
    /// Whose ports these are.
    pub(crate) lane: Lane,
    pub(crate) home: Arc<Home>,
    pub(crate) default_rate: Option<Rate>,
    pub(crate) ladder_unit: Duration,
    /// Rung when a job joins its sender's line.
    pub(crate) bell: Arc<Bell>,
    /// Cancelled when outages are no longer waited out: after the drain.
    pub(crate) closing: CancellationToken,
}

impl LanePorts {
    /// What earlier turns settled; an accepted job and one that waited have such turns.
    async fn stored(&self, id: JobId, turn: Turn) -> Result<Stored, PortError> {
        if turn == Turn::default() {
            return Ok(Stored::default());
        }
        self.store.stored(id).await.map(Option::unwrap_or_default).map_err(port_error)
    }

    /// When the recipient last wrote to the sender: WhatsApp takes free text only for a while after that.
    async fn last_inbound(&self, job: &Job, sender: Option<&Sender>) -> Result<Option<Timestamp>, PortError> {
        let is_template = matches!(job.content, Content::ContentSid { .. });
        match sender {
            Some(sender) if job.recipient.channel == Channel::Whatsapp && !is_template => {
                wait_out(&self.closing, || self.store.last_inbound(sender, &job.recipient.number)).await
            }
            _ => Ok(None),
        }
    }
}

impl Ports for LanePorts {
    type Pass = Pass;

    async fn countries(&self) -> Arc<HashMap<String, Country>> {
        self.directory.countries().await
    }

    async fn facts(&self, job: &Job, turn: Turn) -> Result<Facts, PortError> {
        let stored = Box::pin(self.stored(job.id, turn)).await?;
        let named = stored.sender.as_ref().or(job.sender.as_ref());
        let asked = Asked { tenant: &job.tenant, recipient: &job.recipient, named };
        let Way { sender, via } = self.directory.way(asked, &self.home).await;
        let owner = match &sender {
            Some(sender) => self.directory.tenant_of(sender.as_str()).await,
            None => None,
        };
        let rules = self.directory.rules_of(&job.tenant).await;
        let template = match &job.content {
            Content::Template { name, language, .. } if stored.text.is_none() => {
                let find = || {
                    self.templates.find(
                        job.tenant.as_str(),
                        name,
                        language.as_deref().or(rules.language.as_deref()),
                    )
                };
                Box::pin(wait_out(&self.closing, find)).await?.map(|found| found.text)
            }
            Content::Message { .. } | Content::Template { .. } | Content::ContentSid { .. } => None,
        };
        let subject = Subject {
            bulk_id: job.bulk_id,
            sender: sender.as_ref(),
            tenant: &job.tenant,
            lane: self.lane,
            via: via.as_ref(),
        };
        let broken = || {
            let (via, sender) = (via.as_ref()?, sender.as_ref()?);
            self.accounts.find_fault(via, &self.breakers);
            self.breakers.hold_for(&via.account, sender)
        };
        let hold = self.directory.hold(subject).await.or_else(broken);
        let is_canceled = match job.bulk_id {
            Some(bulk_id) => self.directory.is_canceled(bulk_id).await,
            None => false,
        };
        let last_inbound_at = self.last_inbound(job, sender.as_ref()).await?;
        Ok(Facts {
            sender,
            sender_owner: owner,
            via,
            template,
            stored_text: stored.text,
            hold,
            is_canceled,
            rules,
            last_inbound_at,
        })
    }

    async fn slot(&self, sender: &Sender, segments: u32, is_claimed: bool) -> Result<Slot, PortError> {
        let Some(rate) = self.directory.rate_of(sender.as_str()).await.or(self.default_rate) else {
            return Ok(Slot::Now);
        };
        Box::pin(self.pacer.slot(sender, rate, segments, is_claimed)).await.ok_or(PortError::Closed)
    }

    fn pass(&self, via: &Via, sender: &Sender) -> Result<Pass, Hold> {
        self.breakers.pass(&via.account, sender)
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Claim, PortError> {
        self.store.claim(request).await.map_err(port_error)
    }

    async fn release(
        &self,
        id: JobId,
        token: ClaimToken,
        reason: ReasonCode,
        wake_up_after: Duration,
    ) -> Result<(), PortError> {
        wait_out(&self.closing, || self.store.release(id, token, reason, wake_up_after)).await.map(|_| ())
    }

    async fn call(&self, via: &Via, call: &Call) -> Outcome {
        let calling = self.governor.calling(&via.account);
        let started = self.breakers.now();
        let outcome = match self.accounts.client(&via.account) {
            Ok(twilio) => twilio.send(call).await,
            // It could be made when the gate asked: the credentials have changed since.
            Err(fault) => Outcome::Unreachable { cause: fault.to_string() },
        };
        if self.breakers.told(&via.account, &call.from, started, &outcome) {
            self.governor.throttled(&calling);
        }
        outcome
    }

    async fn record(&self, record: Record) -> Result<Recorded, PortError> {
        self.store.record(record).await.map_err(port_error)
    }

    async fn settle(&self, settlement: Settlement) -> Result<Settled, PortError> {
        let line = match &settlement.next.hold {
            Some(Hold::Rate(sender)) => Some((sender.clone(), settlement.row.lane)),
            _ => None,
        };
        let settled = self.store.settle(settlement).await.map_err(port_error)?;
        if let (Some((sender, lane)), Settled::Done(_)) = (line, settled) {
            self.bell.ring(&sender, lane);
        }
        Ok(settled)
    }

    async fn publish(&self, letter: Letter) -> Result<(), PortError> {
        let publication = publication(letter, self.ladder_unit);
        loop {
            match self.publisher.publish(publication.clone()).await {
                Ok(()) => return Ok(()),
                Err(PublishError::Closed) => return Err(PortError::Closed),
                Err(error) => {
                    tracing::warn!(%error, "not published yet; tried again");
                    pause(&self.closing).await?;
                }
            }
        }
    }
}

fn publication(letter: Letter, ladder_unit: Duration) -> Publication {
    match letter {
        Letter::WakeUp { content, lane, delay } => match ladder::route(delay, ladder_unit) {
            Route::Ladder { units: 0 } => Publication::job(lane, &content),
            Route::Ladder { units } => Publication::delayed(units, lane, &content),
            // A longer wait is the waiting room's; an early copy is sent back by the claim.
            Route::WaitingRoom => Publication::delayed(LADDER_DELAY_UNITS_MAX, lane, &content),
        },
        Letter::Burial { mut content, job_id, reason } => {
            if let Some(id) = job_id {
                content.message_id = Some(id.to_string());
            }
            Publication::buried(&content, &reason)
        }
    }
}

fn port_error(error: SubmitError) -> PortError {
    match error {
        SubmitError::Data(sentence) => PortError::Data(sentence),
        SubmitError::Closed => PortError::Closed,
    }
}

/// Asks until there is an answer.
async fn wait_out<T, F>(closing: &CancellationToken, mut ask: impl FnMut() -> F) -> Result<T, PortError>
where
    F: Future<Output = Result<T, BatchFailure>>,
{
    loop {
        match in_time(ask()).await {
            Ok(answer) => return Ok(answer),
            Err(BatchFailure::Data(sentence)) => return Err(PortError::Data(sentence)),
            Err(BatchFailure::Unavailable(sentence)) => {
                tracing::warn!(error = sentence, "Postgres gives no answer; asked again");
                pause(closing).await?;
            }
        }
    }
}

async fn pause(closing: &CancellationToken) -> Result<(), PortError> {
    tokio::select! {
        () = tokio::time::sleep(PAUSE_AFTER_FAILURE) => Ok(()),
        () = closing.cancelled() => Err(PortError::Closed),
    }
}

/// The database's clocks, as the pacer asks them.
pub(crate) struct StoreSlots {
    pub(crate) store: Store,
    pub(crate) anchor: Arc<Anchor>,
    pub(crate) closing: CancellationToken,
}

impl SlotSource for StoreSlots {
    async fn reserve(&self, sender: &Sender, rate: Rate, ask: Ask) -> Option<Given> {
        let question = || async {
            let asked_at = Instant::now();
            let reserved = self.store.reserve(sender, rate, ask, self.anchor.not_before()).await?;
            Ok((asked_at, Instant::now(), reserved))
        };
        let (asked_at, answered_at, reserved) = wait_out(&self.closing, question).await.ok()?;
        let trust = self.anchor.observe(asked_at, answered_at, reserved.reading);
        Some(match reserved.reservation {
            Reservation::Granted { from, place, count } if trust == Trust::Sound => {
                let place_at = self.anchor.instant(place)?;
                let from = if from < place { answered_at.min(place_at) } else { place_at };
                Given::Slots { from, place: place_at, count }
            }
            Reservation::Granted { .. } | Reservation::Full => Given::Full,
        })
    }
}
