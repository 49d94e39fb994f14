//! `facteur bulk`, after its file is accepted: follows the bulk until all of it has ended, somebody pauses or cancels it, or
//! nobody wants to see any more. What was sent, has failed and is pending adds up to all recipients at every look.

use std::collections::BTreeMap;
use std::time::Duration;

use facteur_core::bulk::BulkState;
use facteur_postgres::bulks::{self, Bulk, Progress};
use facteur_postgres::{BatchFailure, Database};
use facteur_web::Cost;
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::bulk::about;
use crate::exit::Exit;
use crate::output::{Output, tell};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Between two lines where there is no terminal for a bar.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// How long it waits for a database that is away.
const AWAY: Duration = Duration::from_secs(2);
/// After so long without any change, somebody may wonder.
const STILL_FOR: Duration = Duration::from_secs(30);
/// The pace of the first moments says little.
const PACE_KNOWN_AFTER: Duration = Duration::from_secs(5);

/// Follows a bulk.
///
/// # Errors
/// If the database can't be reached at the start, or stdout can't be written.
pub(super) async fn follow(database: &Database, id: Uuid, output: Output) -> anyhow::Result<Exit> {
    let Some(mut seen) = look(database, id).await? else {
        tell("there is no such bulk");
        return Ok(Exit::NotFound);
    };
    // From before the first word on: whoever has read it may interrupt.
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut teller = Teller::new(&seen);
    let is_interrupted = loop {
        teller.tell(&seen);
        if seen.stands_still() {
            break false;
        }
        let next = async {
            sleep(LOOK_EVERY).await;
            patient_look(database, id).await
        };
        tokio::select! {
            _ = interrupts.recv() => break true,
            found = next => match found {
                Some(found) => seen = found,
                None => break false,
            },
        }
    };
    teller.bar.finish_and_clear();
    output.show(&seen, Followed::as_text)?;
    if !seen.is_over() {
        tell(&seen.how_to_go_on(is_interrupted));
    }
    Ok(seen.exit())
}

/// Looks until the database answers; `None` if the bulk is gone.
async fn patient_look(database: &Database, id: Uuid) -> Option<Followed> {
    let mut is_away = false;
    loop {
        match look(database, id).await {
            Ok(found) => {
                if is_away {
                    tell("the database answers again");
                }
                return found;
            }
            Err(failure) => {
                if !is_away {
                    tell(&format!("the database is away, and waited for: {failure}"));
                }
                is_away = true;
                sleep(AWAY).await;
            }
        }
    }
}

/// The counts come after the state: those of a completed bulk are final.
async fn look(database: &Database, id: Uuid) -> Result<Option<Followed>, BatchFailure> {
    let Some(bulk) = bulks::find(database, id).await? else { return Ok(None) };
    let progress = bulks::progress(database, id).await?;
    Ok(Some(Followed::of(bulk, &progress)))
}

/// A bulk at one look.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Followed {
    bulk: Uuid,
    /// `accepting`, `processing`, `paused`, `completed`, `canceled` or `failed`.
    state: &'static str,
    /// Why it is paused, was cancelled or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    total: i64,
    /// Twilio took them; delivered ones too.
    sent: i64,
    failed: i64,
    pending: i64,
    /// Recipients by their state in detail.
    states: BTreeMap<String, i64>,
    segments: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimated_cost: Option<Cost>,
    #[serde(skip)]
    rate: Option<f64>,
    /// An instant before which none leaves.
    #[serde(skip)]
    starts_at: Option<String>,
}

impl Followed {
    fn of(bulk: Bulk, progress: &Progress) -> Self {
        let is_open = matches!(bulk.state, BulkState::Accepting | BulkState::Processing);
        let pause = bulk.pause.filter(|_| is_open);
        let cost = progress.cost().zip(bulk.currency.as_deref());
        Self {
            bulk: bulk.id,
            state: if pause.is_some() { "paused" } else { bulk.state.as_str() },
            reason: pause.map(|pause| format!("{}: {}", pause.actor, pause.reason)).or(bulk.reason),
            total: progress.total(),
            sent: progress.of_word("sent") + progress.of_word("delivered"),
            failed: progress.of_word("failed"),
            pending: progress.of_word("pending"),
            states: progress.states.clone(),
            segments: progress.segments,
            estimated_cost: cost.map(|(cost, currency)| Cost::in_currency(cost, currency)),
            rate: bulk.rate,
            starts_at: bulk.starts_at.map(|at| at.to_string()),
        }
    }

    fn is_over(&self) -> bool {
        // What had left a cancelled bulk still ends.
        match self.state {
            "completed" | "failed" => true,
            "canceled" => self.pending == 0,
            _ => false,
        }
    }

    /// Whether nothing more is to be seen.
    fn stands_still(&self) -> bool {
        self.is_over() || self.state == "paused"
    }

    fn exit(&self) -> Exit {
        match (self.is_over(), self.failed) {
            (false, _) => Exit::StillOpen,
            (true, 0) if self.state == "completed" => Exit::Done,
            (true, _) => Exit::Failed,
        }
    }

    fn counts(&self) -> String {
        format!("{} sent, {} failed, {} pending of {}", self.sent, self.failed, self.pending, self.total)
    }

    fn as_text(&self) -> String {
        let (counts, cost) = (self.counts(), about(self.estimated_cost.as_ref()));
        let mut text = format!("{} is {}: {counts}; {} segments{cost}", self.bulk, self.state, self.segments);
        if let Some(reason) = &self.reason {
            text.push_str(&format!("\n{}: {reason}", self.state));
        }
        if self.is_over() && self.failed > 0 {
            text.push_str(&format!("\nwho failed, and why: GET /v1/bulks/{}/failed.csv", self.bulk));
        }
        text
    }

    /// What a person may do now.
    fn how_to_go_on(&self, is_interrupted: bool) -> String {
        let id = self.bulk;
        let again = format!("`facteur bulk --follow {id}` follows it again");
        if self.state == "paused" {
            format!("`facteur resume bulk {id}` lets it go on; then {again}")
        } else if is_interrupted {
            format!("the bulk goes on; {again}")
        } else {
            again
        }
    }
}

/// Shows a bar on a terminal, and a line now and then elsewhere.
struct Teller {
    bar: ProgressBar,
    began: Instant,
    /// What had ended when it began.
    ended_before: i64,
    told_at: Option<Instant>,
    /// What was seen last, and since when it has not changed.
    last: Followed,
    since: Instant,
    has_wondered: bool,
}

impl Teller {
    fn new(first: &Followed) -> Self {
        let style = ProgressStyle::with_template("{wide_bar} {percent}% {msg}");
        let now = Instant::now();
        Self {
            bar: ProgressBar::new(u64::try_from(first.total).unwrap_or_default())
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())),
            began: now,
            ended_before: first.sent + first.failed,
            told_at: None,
            last: first.clone(),
            since: now,
            has_wondered: false,
        }
    }

    fn tell(&mut self, seen: &Followed) {
        let now = Instant::now();
        if *seen != self.last {
            (self.last, self.since) = (seen.clone(), now);
        }
        let ended = seen.sent + seen.failed;
        let pace = (ended - self.ended_before, now - self.began);
        let line = match (left(seen.pending, seen.rate, pace), &seen.starts_at) {
            (_, Some(at)) if ended == seen.states.get("refused").copied().unwrap_or_default() => {
                format!("{}; none leaves before {at}", seen.counts())
            }
            (Some(left), _) if seen.pending > 0 => format!("{}; {} left", seen.counts(), HumanDuration(left)),
            _ => seen.counts(),
        };
        self.bar.set_position(u64::try_from(ended).unwrap_or_default());
        self.bar.set_message(line.clone());
        let is_due = self.told_at.is_none_or(|at| now - at >= TELL_EVERY && self.since >= at);
        if self.bar.is_hidden() && is_due && !seen.stands_still() {
            tell(&line);
            self.told_at = Some(now);
        }
        let may_wonder = now - self.since >= STILL_FOR && !self.has_wondered && seen.starts_at.is_none();
        if may_wonder && !seen.stands_still() {
            self.has_wondered = true;
            self.bar.suspend(|| {
                tell(
                    "nothing has changed for 30 s: `facteur pause list` says what is paused, and `facteur doctor` whether \
                     workers run",
                );
            });
        }
    }
}

/// How long the rest takes: at the pace that was seen, which ended so many in such a time, and never faster than the
/// bulk's rate (messages a second).
fn left(pending: i64, rate: Option<f64>, (ended, within): (i64, Duration)) -> Option<Duration> {
    let seen = (ended > 0 && within >= PACE_KNOWN_AFTER).then(|| ended as f64 / within.as_secs_f64());
    let pace = match (seen, rate) {
        (Some(seen), Some(rate)) => seen.min(rate),
        (seen, rate) => seen.or(rate)?,
    };
    Duration::try_from_secs_f64(pending as f64 / pace).ok()
}

#[cfg(test)]
#[path = "bulk_follow_tests.rs"]
mod tests;
