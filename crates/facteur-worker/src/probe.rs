//! The breakers' duty: tells the others what this worker's calls have found, follows what they have found, probes
//! what is open when its time has come, and lets out the lines of what has closed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use facteur_core::breaker::{Breaker, Cause, Change, Fault, PROBE_LEASE, State};
use facteur_core::hold::{Fuse, Hold};
use facteur_core::integration::Home;
use facteur_core::limits::DUTY_ROWS_MAX;
use facteur_core::sender::Sender;
use facteur_postgres::breakers::{self as rows, OpenBreaker};
use facteur_postgres::lines::{self, LineKind};
use facteur_postgres::{BatchFailure, Database, Directory};
use facteur_twilio::AccountCheck;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::accounts::{Accounts, Unusable};
use crate::breakers::Breakers;
use crate::metrics;
use crate::patience::in_time;

/// How often the rows are looked at; what one worker finds reaches the others within this.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// A line is let out in chunks of a thousand, this far apart, so that relays and lanes keep up.
const RELEASE_PAUSE: Duration = Duration::from_millis(100);
/// A probe without an answer is given up before another worker may probe.
const PROBE_MAX: Duration = Duration::from_secs(PROBE_LEASE.as_secs() / 3);
/// The only status in which an account can send.
const ACTIVE: &str = "active";

/// What the duty works with.
pub(crate) struct Duty {
    pub(crate) breakers: Breakers,
    pub(crate) database: Database,
    pub(crate) accounts: Accounts,
    pub(crate) directory: Directory,
    pub(crate) home: Arc<Home>,
    /// The relays, rung when something was let out.
    pub(crate) nudges: Vec<Arc<Notify>>,
}

impl Duty {
    /// Runs until `stopping` is cancelled. What is under way then is left: the rows say the same to the next worker.
    pub(crate) async fn run(self, stopping: CancellationToken) {
        stopping.run_until_cancelled(self.keep()).await;
    }

    async fn keep(&self) {
        let mut looks = interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut probes: JoinSet<(Fuse, Change)> = JoinSet::new();
        let mut releases: JoinSet<()> = JoinSet::new();
        let mut is_regular = true;
        loop {
            tokio::select! {
                _ = looks.tick() => is_regular = true,
                () = self.breakers.changed() => is_regular = false,
                Some(Ok((fuse, change))) = probes.join_next() => self.breakers.keep_untold(fuse, change),
                Some(_) = releases.join_next() => continue,
            }
            if let Err(error) = self.look(is_regular, &mut probes, &mut releases).await {
                tracing::warn!(%error, "the breakers can't be looked at; what is known here holds");
            }
        }
    }

    async fn look(
        &self,
        is_regular: bool,
        probes: &mut JoinSet<(Fuse, Change)>,
        releases: &mut JoinSet<()>,
    ) -> Result<(), BatchFailure> {
        self.tell().await?;
        let open = in_time(rows::open(&self.database)).await?;
        let states: BTreeMap<Fuse, State> =
            open.iter().map(|open| (open.fuse.clone(), open.breaker.state)).collect();
        self.breakers.follow(&states);
        metrics::breakers_open(states.keys());
        for OpenBreaker { fuse, breaker, is_due } in open {
            if is_due {
                self.try_it(fuse, probes).await?;
            } else if !is_regular && breaker.state == State::HalfOpen {
                // A trial of ours went well: the next ones need not wait for their turn.
                self.let_trials_out(&fuse).await?;
            }
        }
        if releases.is_empty() {
            let closed = self.closed_lines(&states).await?;
            if !closed.is_empty() {
                releases.spawn(let_out(self.database.clone(), closed, self.nudges.clone()));
            }
        }
        Ok(())
    }

    /// The lines that no breaker holds any more. Also that of one of which nobody was told, because its worker ended first.
    async fn closed_lines(&self, open: &BTreeMap<Fuse, State>) -> Result<Vec<Fuse>, BatchFailure> {
        let lines = in_time(lines::list(&self.database, LineKind::Breaker)).await?;
        let fuses = lines.into_iter().filter_map(|line| match line {
            Hold::Breaker(fuse) => Some(fuse),
            Hold::Rate(_) | Hold::Pause(_) | Hold::Budget(_) => None,
        });
        Ok(fuses.filter(|fuse| !open.contains_key(fuse) && !self.breakers.is_open(fuse)).collect())
    }

    /// Tells the others. What can't be told now is told later; a change that another worker made first is dropped.
    async fn tell(&self) -> Result<(), BatchFailure> {
        let mut result = Ok(());
        for (fuse, change) in self.breakers.untold() {
            let told = match &result {
                Ok(()) => in_time(rows::change(&self.database, &fuse, &change)).await,
                Err(_) => {
                    Err(BatchFailure::Unavailable("the database gave no answer just before".to_owned()))
                }
            };
            match told {
                Ok(Some(row)) => self.note(&fuse, &change, &row).await,
                Ok(None) => {}
                Err(error) => {
                    self.breakers.keep_untold(fuse, change);
                    result = result.and(Err(error));
                }
            }
        }
        result
    }

    async fn try_it(&self, fuse: Fuse, probes: &mut JoinSet<(Fuse, Change)>) -> Result<(), BatchFailure> {
        let account = match &fuse {
            Fuse::Integration(account) => account.as_str(),
            // A sender is probed where most of what it sends goes; its trials tell the rest.
            Fuse::Sender(sender) => &self.account_of(sender).await,
        };
        let client = self.accounts.client(account);
        if matches!(client, Err(Unusable::Unknown(_))) {
            // Of an account that was configured before: its jobs go over the one that is now.
            for change in [Change::Answered, Change::Close] {
                in_time(rows::change(&self.database, &fuse, &change)).await?;
            }
            return Ok(());
        }
        let Some(row) = in_time(rows::change(&self.database, &fuse, &Change::Try)).await? else {
            return Ok(());
        };
        if row.state == State::HalfOpen {
            self.breakers.follow_one(&fuse, row.state);
            return self.let_trials_out(&fuse).await;
        }
        let twilio = match client {
            Ok(twilio) => twilio,
            Err(unusable) => {
                let fault = Fault::new(Cause::AccountAtFault, unusable.to_string());
                self.breakers.keep_untold(fuse, Change::Down(fault));
                return Ok(());
            }
        };
        probes.spawn(async move {
            let checked = timeout(PROBE_MAX, twilio.check_account()).await;
            let unanswered = |_| AccountCheck::Unreachable { cause: "no answer to the probe".to_owned() };
            (fuse, judged(checked.unwrap_or_else(unanswered)))
        });
        Ok(())
    }

    async fn account_of(&self, sender: &Sender) -> String {
        let via = self.directory.way_of(sender, &self.home).await;
        via.map_or_else(|| self.home.account.clone(), |via| via.account)
    }

    async fn let_trials_out(&self, fuse: &Fuse) -> Result<(), BatchFailure> {
        let trials = i64::from(self.breakers.trials_max(fuse).max(1));
        let line = Hold::Breaker(fuse.clone());
        if in_time(lines::release(&self.database, &line, trials)).await? > 0 {
            self.nudges.iter().for_each(|nudge| nudge.notify_one());
        }
        Ok(())
    }

    /// One line for a tired operator, by the worker whose word it was.
    async fn note(&self, fuse: &Fuse, change: &Change, row: &Breaker) {
        let (scope, key) = (fuse.scope(), fuse.key());
        match change {
            Change::Open(fault) => {
                metrics::breaker_opened(fuse, fault.cause);
                let next_try_in_s = row.retry_at.duration_since(row.updated_at).as_secs();
                tracing::warn!(
                    scope,
                    key,
                    cause = fault.cause.as_str(),
                    openings = row.openings,
                    next_try_in_s,
                    "a breaker opened: {}. Its jobs wait in line, nothing of them counts as a failure, and it is tried \
                     again by itself",
                    fault.sentence
                );
            }
            Change::Close => {
                let open_for_s = row.updated_at.duration_since(row.opened_at).as_secs();
                let held = in_time(rows::waiting(&self.database, fuse)).await.unwrap_or_default();
                tracing::info!(scope, key, open_for_s, held, "a breaker closed: what waited in line goes on");
            }
            Change::Down(fault) => {
                let next_try_in_s = row.retry_at.duration_since(row.updated_at).as_secs();
                tracing::info!(scope, key, next_try_in_s, "still down: {}", fault.sentence);
            }
            Change::Answered | Change::Try => {
                tracing::info!(scope, key, "the probe was answered: a few messages go as trials");
            }
        }
    }
}

/// What a look at the account says. An answer that is no success, and no fault of the account or the server, says at
/// least that Twilio is there (an API gateway may let nothing but messages through): a message will tell.
fn judged(checked: AccountCheck) -> Change {
    match checked {
        AccountCheck::Ok { status, .. } if status != ACTIVE => {
            Change::Down(Fault::new(Cause::AccountAtFault, format!("the account is {status}")))
        }
        AccountCheck::Ok { .. } | AccountCheck::MessagesOnly => Change::Answered,
        AccountCheck::BadCredentials => {
            Change::Down(Fault::new(Cause::AccountAtFault, "Twilio refuses the credentials"))
        }
        AccountCheck::Unreachable { cause } => Change::Down(Fault::new(Cause::Failing, cause)),
        AccountCheck::Other { http_status: http_status @ 500.. } => {
            Change::Down(Fault::new(Cause::Failing, format!("Twilio answered HTTP {http_status}")))
        }
        AccountCheck::Other { .. } => Change::Answered,
    }
}

/// Lets out whole lines, in chunks, each line's urgent jobs first. Several workers may do so at once: each takes rows
/// that no other has.
async fn let_out(database: Database, fuses: Vec<Fuse>, nudges: Vec<Arc<Notify>>) {
    let mut pause = interval(RELEASE_PAUSE);
    pause.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for fuse in fuses {
        let line = Hold::Breaker(fuse.clone());
        loop {
            pause.tick().await;
            // It may have opened again meanwhile: then the rest stays in line.
            let is_closed = in_time(rows::find(&database, &fuse)).await;
            if !matches!(is_closed, Ok(None | Some(Breaker { state: State::Closed, .. }))) {
                break;
            }
            match in_time(lines::release(&database, &line, DUTY_ROWS_MAX)).await {
                Ok(released) => {
                    nudges.iter().for_each(|nudge| nudge.notify_one());
                    if released < DUTY_ROWS_MAX {
                        break;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "a line can't be let out now; tried again");
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_judged_by_whether_messages_may_pass() {
        let named = |status: &str| AccountCheck::Ok {
            friendly_name: "Mairie".to_owned(),
            status: status.to_owned(),
            account_type: "Full".to_owned(),
        };
        let rows = [
            (named("active"), None),
            (AccountCheck::MessagesOnly, None),
            (AccountCheck::Other { http_status: 403 }, None),
            (AccountCheck::Other { http_status: 429 }, None),
            (AccountCheck::Other { http_status: 503 }, Some(Cause::Failing)),
            (AccountCheck::Unreachable { cause: "refused".to_owned() }, Some(Cause::Failing)),
            (named("suspended"), Some(Cause::AccountAtFault)),
            (AccountCheck::BadCredentials, Some(Cause::AccountAtFault)),
        ];
        for (checked, down) in rows {
            let cause = match judged(checked.clone()) {
                Change::Down(fault) => Some(fault.cause),
                Change::Answered => None,
                other => panic!("{checked:?} was judged {other:?}"),
            };
            assert_eq!(cause, down, "{checked:?}");
        }
    }
}
