//! Receipts that don't come by themselves: a walk finds them, and Twilio is asked, until each message is closed.

use std::time::Duration;

use facteur_core::ids::JobId;
use facteur_core::reason::Reason;
use facteur_core::receipt::{Receipt, ReceiptSource, ReceiptStatus};
use facteur_core::receipts::{PollPace, PollSchedule, Polled, Verdict, next_span};
use facteur_postgres::receipts::{self, LookLater, MissingReceipt};
use facteur_postgres::{Applied, BatchFailure, Callbacks, Database, SubmitError};
use facteur_twilio::FetchError;
use futures_util::StreamExt as _;
use futures_util::future::try_join_all;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::accounts::Accounts;
use crate::metrics;
use crate::patience::in_time;

/// How often the walk goes on, and how often due messages are looked for.
const WALK_INTERVAL: Duration = Duration::from_secs(15);
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// Where receipts are awaited for less than this, both are done as often.
const INTERVAL_MIN: Duration = Duration::from_millis(250);
/// First stretch of time of a walk.
const SPAN_FIRST: Duration = Duration::from_secs(60);
/// Messages that are taken at once, at most; a throttled worker takes what it can ask for within this time.
const BATCH_MAX: i64 = 40;
const BATCH_DURATION: Duration = Duration::from_secs(20);
/// Questions to Twilio at once.
const AT_ONCE_MAX: usize = 4;
/// Silence after an answer that tells that Twilio, or the account, can't be asked now.
const UNANSWERED_PAUSE: Duration = Duration::from_secs(30);
/// So many such answers in a row are about Twilio rather than about a message.
const UNANSWERED_MAX: u32 = 5;

/// The duty, of one worker.
pub(crate) struct Receipts {
    pub(crate) database: Database,
    /// Applies what was heard, as if Twilio had called.
    pub(crate) callbacks: Callbacks,
    pub(crate) accounts: Accounts,
    pub(crate) schedule: PollSchedule,
}

impl Receipts {
    /// Finds receipts that did not come.
    pub(crate) async fn walk_for_ever(self, stopping: CancellationToken) {
        let interval = WALK_INTERVAL.min(self.schedule.patience()).max(INTERVAL_MIN);
        let mut span = SPAN_FIRST;
        while stopping.run_until_cancelled(tokio::time::sleep(interval)).await.is_some() {
            while !stopping.is_cancelled() {
                match self.walk(&mut span).await {
                    Ok(is_done) if is_done => break,
                    Ok(_) => {}
                    Err(error) => {
                        tracing::warn!(%error, "missing receipts can't be looked for; tried again");
                        break;
                    }
                }
            }
            match in_time(receipts::count_missing(&self.database)).await {
                Ok(count) => metrics::receipts_missing(count),
                Err(error) => tracing::debug!(%error, "missing receipts can't be counted now"),
            }
        }
    }

    /// One step; whether there is nothing more to do.
    async fn walk(&self, span: &mut Duration) -> Result<bool, BatchFailure> {
        let first_look = self.schedule.next_age(Duration::ZERO).unwrap_or_default();
        let step = receipts::walk(&self.database, self.schedule.patience(), first_look, *span);
        let Some(walked) = in_time(step).await? else { return Ok(true) };
        if walked.filed > 0 {
            tracing::debug!(receipts = walked.filed, "receipts did not come in time: Twilio is asked");
        }
        // The last step of a walk ends at the present and says nothing about the traffic.
        if !walked.is_done {
            *span = next_span(*span, walked.seen);
        }
        Ok(walked.is_done)
    }

    /// Asks for what is due.
    pub(crate) async fn poll_for_ever(self, stopping: CancellationToken) {
        let interval = POLL_INTERVAL.min(self.schedule.patience()).max(INTERVAL_MIN);
        let mut pace = PollPace::default();
        while stopping.run_until_cancelled(tokio::time::sleep(interval)).await.is_some() {
            loop {
                match self.poll(&mut pace, &stopping).await {
                    Ok(Round { pause: Some(pause), .. }) => {
                        stopping.run_until_cancelled(tokio::time::sleep(pause)).await;
                    }
                    Ok(Round { is_full: true, .. }) => {}
                    Ok(_) => break,
                    Err(error) => {
                        tracing::warn!(%error, "missing receipts can't be asked for; tried again");
                        break;
                    }
                }
                if stopping.is_cancelled() {
                    break;
                }
            }
        }
    }

    async fn poll(&self, pace: &mut PollPace, stopping: &CancellationToken) -> Result<Round, BatchFailure> {
        let askable = BATCH_DURATION.as_millis() / pace.interval().as_millis().max(1);
        let limit = i64::try_from(askable).unwrap_or(BATCH_MAX).clamp(1, BATCH_MAX);
        let (due, is_full) = in_time(receipts::take_due(&self.database, limit)).await?;
        let (heard, pause) = if self.schedule.is_asking() {
            self.ask(due, pace, stopping).await
        } else {
            (due.into_iter().map(|missing| (missing, Told::NotAsked)).collect(), None)
        };
        self.settle(heard).await?;
        Ok(Round { is_full, pause })
    }

    /// Asks for one after the other, a few at once. After a throttle nothing more is asked: what is left is taken again
    /// when its lease is over.
    async fn ask(
        &self,
        due: Vec<MissingReceipt>,
        pace: &mut PollPace,
        stopping: &CancellationToken,
    ) -> (Vec<(MissingReceipt, Told)>, Option<Duration>) {
        let (mut asked, mut heard) = (FuturesUnordered::new(), Vec::new());
        let (mut pause, mut unanswered) = (None, 0);
        let mut next_at = Instant::now();
        let mut due = due.into_iter();
        loop {
            let may_ask = pause.is_none() && asked.len() < AT_ONCE_MAX && !stopping.is_cancelled();
            tokio::select! {
                () = sleep_until(next_at), if may_ask && due.len() > 0 => {
                    next_at = Instant::now() + pace.interval();
                    asked.extend(due.next().map(|missing| self.ask_for(missing)));
                }
                Some((missing, told)) = asked.next() => {
                    metrics::receipt_polled(told.result());
                    match &told {
                        Told::Throttled(retry_after) => {
                            let silence = pace.throttled(*retry_after);
                            tracing::info!(
                                pause_s = silence.as_secs(),
                                "Twilio asks to slow down: receipts are asked for later, and half as fast"
                            );
                            pause = pause.max(Some(silence));
                        }
                        Told::Unanswered(why) => {
                            unanswered += 1;
                            if unanswered == UNANSWERED_MAX {
                                tracing::warn!(why, "Twilio can't be asked for missing receipts; tried again");
                                pause = pause.max(Some(UNANSWERED_PAUSE));
                            }
                        }
                        Told::Says { .. } | Told::Gone | Told::NotAsked => {
                            unanswered = 0;
                            pace.answered();
                        }
                    }
                    heard.push((missing, told));
                }
                else => break,
            }
        }
        (heard, pause)
    }

    async fn ask_for(&self, missing: MissingReceipt) -> (MissingReceipt, Told) {
        let account = missing.account.as_deref().unwrap_or(self.accounts.home_sid());
        let told = match (&missing.sid, self.accounts.client(account)) {
            (None, _) => Told::Unanswered("the stored SID is none".to_owned()),
            (_, Err(unusable)) => Told::Unanswered(unusable.to_string()),
            (Some(sid), Ok(twilio)) => match twilio.fetch_message(sid).await {
                Ok(state) => Told::Says(state),
                Err(FetchError::Gone) => Told::Gone,
                Err(FetchError::Throttled { retry_after }) => Told::Throttled(retry_after),
                Err(FetchError::Unanswered(why)) => Told::Unanswered(why),
            },
        };
        (missing, told)
    }

    /// Writes down what was heard, then when to look again, then what is closed. Each may be repeated.
    async fn settle(&self, heard: Vec<(MissingReceipt, Told)>) -> Result<(), BatchFailure> {
        let (mut told_of, mut looks, mut closings) = (Vec::new(), Vec::new(), Vec::new());
        for (missing, told) in heard {
            let Some(polled) = told.polled() else { continue };
            told_of.extend(told.receipt(&missing, self.accounts.home_sid()));
            let job_id = missing.job_id;
            match self.schedule.after(missing.age, polled) {
                Verdict::Ended => {}
                Verdict::AskAt { age } => {
                    let was_answered = matches!(polled, Polled::Says(_));
                    looks.push(LookLater { job_id, age, was_answered });
                }
                Verdict::Close(reason) => closings.push((job_id, reason)),
            }
        }
        try_join_all(told_of.into_iter().map(|receipt| self.apply(receipt))).await?;
        in_time(receipts::look_later(&self.database, &looks)).await?;
        self.close(&closings).await
    }

    async fn apply(&self, receipt: Receipt) -> Result<(), BatchFailure> {
        let (job, sid) = (receipt.job_id, receipt.sid.clone());
        let applied = in_time(async {
            match self.callbacks.apply(receipt).await {
                Err(SubmitError::Closed) => Err(BatchFailure::Unavailable("the worker stops".to_owned())),
                answered => Ok(answered),
            }
        });
        match applied.await? {
            Ok(Applied::New { is_double: true, .. }) => {
                metrics::doubled();
                tracing::error!(
                    %job, sid = sid.as_str(),
                    "Twilio has a second message for one job: the recipient may have two texts"
                );
            }
            Ok(_) => {}
            Err(why) => {
                tracing::error!(%job, sid = sid.as_str(), %why, "what Twilio says contradicts what is known");
            }
        }
        Ok(())
    }

    async fn close(&self, closings: &[(JobId, Reason)]) -> Result<(), BatchFailure> {
        let closed = in_time(receipts::close(&self.database, closings)).await?;
        if closed > 0 {
            metrics::receipts_timed_out(closed);
            tracing::info!(
                messages = closed,
                "no receipt is awaited any more: the messages stay `sent`, with their reason in `facteur status`"
            );
        }
        Ok(())
    }
}

/// What a round came to.
struct Round {
    /// Whether there may be more to ask for.
    is_full: bool,
    /// How long nothing is asked.
    pause: Option<Duration>,
}

/// What was heard of one message.
enum Told {
    Says(facteur_twilio::MessageState),
    Gone,
    Throttled(Option<Duration>),
    Unanswered(String),
    NotAsked,
}

impl Told {
    /// For the metric.
    fn result(&self) -> &'static str {
        match self {
            Self::Says(state) if state.status.is_some_and(|status| status.is_end()) => "ended",
            Self::Says(_) => "on_its_way",
            Self::Gone => "gone",
            Self::Throttled(_) => "throttled",
            Self::Unanswered(_) | Self::NotAsked => "unanswered",
        }
    }

    /// What it means for the schedule; a throttle says nothing about the message.
    fn polled(&self) -> Option<Polled> {
        match self {
            Self::Says(state) => Some(Polled::Says(state.status)),
            Self::Gone => Some(Polled::Gone),
            Self::Throttled(_) => None,
            Self::Unanswered(_) => Some(Polled::Unanswered),
            Self::NotAsked => Some(Polled::NotAsked),
        }
    }

    fn receipt(&self, missing: &MissingReceipt, home: &str) -> Option<Receipt> {
        let Self::Says(state) = self else { return None };
        Some(Receipt {
            account: missing.account.clone().unwrap_or_else(|| home.to_owned()),
            job_id: missing.job_id,
            attempt: missing.attempt,
            sid: missing.sid.clone()?,
            status: ReceiptStatus::Known(state.status?),
            code: state.code,
            source: ReceiptSource::Poll,
        })
    }
}

#[cfg(test)]
#[path = "receipts_tests.rs"]
mod tests;
