//! How a life ends without a call, or after one: buried, refused, scheduled, stepped aside, given back, carried out.
//! Each returns once what replaces the envelope is confirmed or committed.

use std::time::Duration;

use facteur_core::Timestamp;
use facteur_core::envelope::EnvelopeContent;
use facteur_core::hold::Hold;
use facteur_core::ids::{ClaimToken, JobId, Turn};
use facteur_core::ledger::{JobRow, Next, Recorded, Settled, Settlement, Wait};
use facteur_core::limits::WAKE_UP_GRACE;
use facteur_core::reason::{Reason, ReasonCode};
use facteur_core::status::Status;

use crate::metrics;
use crate::ports::{Letter, PortError, Ports};
use crate::process::{Aside, End, Life};
use crate::rows;

impl<P: Ports> Life<P> {
    pub(crate) async fn bury(
        &self,
        content: &EnvelopeContent,
        job_id: Option<JobId>,
        reason: Reason,
    ) -> Result<End, PortError> {
        tracing::info!(job = job_id.map(tracing::field::display), %reason, "buried an envelope that is no job");
        let code = reason.code;
        metrics::buried(code);
        self.ports.publish(Letter::Burial { content: content.clone(), job_id, reason }).await?;
        Ok(End::Buried(code))
    }

    pub(crate) async fn schedule(
        &self,
        content: &EnvelopeContent,
        row: JobRow,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<End, PortError> {
        let reason = Reason::new(ReasonCode::Scheduled, format!("is to be sent at {at}"));
        let wait = Some(wait_for(at, now));
        self.settle(
            content,
            row,
            Next { status: Status::Scheduled, reason, wait, suppress: false, hold: None },
        )
        .await
    }

    /// A job that a rule keeps back until a known instant stands in the waiting room.
    pub(crate) async fn wait_until(
        &self,
        content: &EnvelopeContent,
        row: JobRow,
        (at, reason): (Timestamp, Reason),
        now: Timestamp,
    ) -> Result<End, PortError> {
        metrics::parked(reason.code);
        let wait = Some(wait_for(at, now));
        self.settle(content, row, Next { status: Status::Waiting, reason, wait, suppress: false, hold: None })
            .await
    }

    pub(crate) async fn refuse(
        &self,
        content: &EnvelopeContent,
        row: JobRow,
        status: Status,
        reason: Reason,
    ) -> Result<End, PortError> {
        tracing::info!(job = %row.id, %status, %reason, "refused at the gate");
        if status == Status::Dead {
            metrics::buried(reason.code);
        }
        self.settle(content, row, Next { status, reason, wait: None, suppress: false, hold: None }).await
    }

    /// A job that its producer put into a lane that is not for it (marketing among one-time passwords).
    pub(crate) async fn change_lane(&self, content: &EnvelopeContent, row: JobRow) -> Result<End, PortError> {
        self.wake_up_again(content, &row, row.turn, Duration::ZERO).await?;
        Ok(End::Waits(ReasonCode::OtherLane))
    }

    /// A job that something else than time keeps back stands in a line in the waiting room.
    pub(crate) async fn join_line(
        &self,
        content: &EnvelopeContent,
        row: JobRow,
        hold: Hold,
    ) -> Result<End, PortError> {
        let reason = hold.reason();
        metrics::parked(reason.code);
        let wait = Some(Wait { delay: Duration::ZERO, in_ladder: false, is_counted: false });
        let next = Next { status: Status::Waiting, reason, wait, suppress: false, hold: Some(hold) };
        self.settle(content, row, next).await
    }

    pub(crate) async fn bury_conflict(&self, content: &EnvelopeContent, id: JobId) -> Result<End, PortError> {
        let sentence = "stands for another tenant, recipient or content already";
        self.bury(content, Some(id), Reason::field(ReasonCode::IdConflict, "id", sentence)).await
    }

    /// This worker stops: a job that came out of a line goes back to its place there, an envelope is left to the next
    /// worker.
    pub(crate) async fn hand_on(
        &self,
        content: &EnvelopeContent,
        row: JobRow,
        line: Option<Hold>,
    ) -> Result<End, PortError> {
        match line {
            Some(line) => self.join_line(content, row, line).await,
            None => Err(PortError::Closed),
        }
    }

    /// Gives back a claim on which no call may start any more. A job that came out of a line, or goes there, stands at
    /// its old place again.
    pub(crate) async fn give_back(
        &self,
        content: &EnvelopeContent,
        row: JobRow,
        token: ClaimToken,
        (aside, line): (Aside, Option<Hold>),
    ) -> Result<End, PortError> {
        let (reason, wait) = match aside {
            Aside::Stopping => (ReasonCode::HandedOver, Duration::ZERO),
            Aside::Line => (ReasonCode::RateLimit, Duration::ZERO),
            Aside::For(wait) => (ReasonCode::RateLimit, wait),
            Aside::Quiet => (ReasonCode::QuietHours, Duration::ZERO),
        };
        self.ports.release(row.id, token, reason, wait + WAKE_UP_GRACE).await?;
        match (aside, line) {
            (Aside::Line, Some(line)) => self.join_line(content, row, line).await,
            (Aside::Stopping, line) => self.hand_on(content, row, line).await,
            (Aside::For(_) | Aside::Quiet | Aside::Line, _) => {
                metrics::parked(reason);
                self.wake_up_again(content, &row, row.turn, wait).await?;
                Ok(End::Waits(reason))
            }
        }
    }

    pub(crate) async fn carry_out(
        &self,
        content: &EnvelopeContent,
        row: &JobRow,
        next: &Next,
        recorded: Recorded,
    ) -> Result<End, PortError> {
        let (Recorded::Done { is_double, .. } | Recorded::Late { is_double }) = recorded;
        if is_double {
            metrics::doubled();
            tracing::error!(job = %row.id, "two attempts of one job have a SID: the recipient may have two texts");
        }
        let Recorded::Done { turn, .. } = recorded else { return Ok(End::NotOurs) };
        match next.wait {
            None if next.status.is_final() => Ok(End::Final(next.status)),
            // The search for evidence answers for it.
            None => Ok(End::Waits(next.reason.code)),
            Some(Wait { delay, in_ladder, .. }) => {
                if in_ladder {
                    self.wake_up_again(content, row, turn, delay).await?;
                }
                Ok(End::Waits(next.reason.code))
            }
        }
    }

    /// Publishes the wake-up of a turn, and returns once the broker has it.
    pub(crate) async fn wake_up_again(
        &self,
        content: &EnvelopeContent,
        row: &JobRow,
        turn: Turn,
        delay: Duration,
    ) -> Result<(), PortError> {
        let content = rows::wake_up(content, row, turn);
        self.ports.publish(Letter::WakeUp { content, lane: row.lane, delay }).await
    }

    pub(crate) async fn settle(
        &self,
        content: &EnvelopeContent,
        row: JobRow,
        next: Next,
    ) -> Result<End, PortError> {
        let (id, status, code) = (row.id, next.status, next.reason.code);
        match self.ports.settle(Settlement { row, next }).await {
            Ok(Settled::Done(_)) if status.is_final() => Ok(End::Final(status)),
            Ok(Settled::Done(_)) => Ok(End::Waits(code)),
            Ok(Settled::Superseded) => Ok(End::NotOurs),
            Ok(Settled::Conflict) => self.bury_conflict(content, id).await,
            Err(error) => Err(error),
        }
    }
}

fn wait_for(at: Timestamp, now: Timestamp) -> Wait {
    let delay = Duration::try_from(at.duration_since(now)).unwrap_or_default();
    Wait { delay, in_ladder: false, is_counted: false }
}
