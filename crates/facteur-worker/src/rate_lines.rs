//! What the pump knows of the lines: in which of them somebody waits, and when each is pulled next.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use facteur_core::lane::Lane;
use facteur_core::sender::Sender;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::pump::After;

/// Rung when a job of this worker joins a line, so that nobody waits for the next listing.
#[derive(Default)]
pub(crate) struct Bell {
    told: Mutex<BTreeSet<(Sender, Lane)>>,
    rung: Notify,
}

impl Bell {
    pub(crate) fn ring(&self, sender: &Sender, lane: Lane) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.insert((sender.clone(), lane)) {
            self.rung.notify_one();
        }
    }

    /// What was told since the last time; waits until there is something.
    pub(crate) async fn rung(&self) -> BTreeSet<(Sender, Lane)> {
        self.rung.notified().await;
        std::mem::take(&mut *self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One sender's line.
#[derive(Default)]
struct Line {
    lanes: BTreeSet<Lane>,
    /// Told while it was pulled: the pull may not have seen them.
    told_meanwhile: BTreeSet<Lane>,
    /// `None` while it is pulled.
    due_at: Option<Instant>,
}

/// The lines in which somebody waits.
#[derive(Default)]
pub(crate) struct Lines {
    lines: HashMap<Sender, Line>,
    due: BTreeSet<(Instant, Sender)>,
}

impl Lines {
    /// Somebody waits there.
    pub(crate) fn told(&mut self, sender: Sender, lane: Lane) {
        if let Some(line) = self.lines.get_mut(&sender) {
            line.lanes.insert(lane);
            if line.due_at.is_none() {
                line.told_meanwhile.insert(lane);
            }
            return;
        }
        let now = Instant::now();
        let line = Line { lanes: BTreeSet::from([lane]), due_at: Some(now), ..Line::default() };
        self.due.insert((now, sender.clone()));
        self.lines.insert(sender, line);
    }

    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The line that is due first, with the lanes of those who wait. It is not due again before [`Self::pulled`].
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<(Sender, BTreeSet<Lane>)> {
        let (at, sender) = self.due.pop_first()?;
        if at > now {
            self.due.insert((at, sender));
            return None;
        }
        let line = self.lines.get_mut(&sender)?;
        line.due_at = None;
        Some((sender, line.lanes.clone()))
    }

    /// What a pull found.
    pub(crate) fn pulled(&mut self, sender: &Sender, After { exhausted, again_at }: After) {
        let Some(line) = self.lines.get_mut(sender) else { return };
        line.lanes.retain(|lane| !exhausted.contains(lane));
        line.lanes.append(&mut line.told_meanwhile);
        if line.lanes.is_empty() {
            self.lines.remove(sender);
        } else {
            line.due_at = Some(again_at);
            self.due.insert((again_at, sender.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn sender(last: u32) -> Sender {
        Sender::parse(&format!("+1500555000{last}")).unwrap()
    }

    fn after(exhausted: &[Lane], wait_ms: u64) -> After {
        let again_at = Instant::now() + Duration::from_millis(wait_ms);
        After { exhausted: exhausted.to_vec(), again_at }
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_is_pulled_when_it_is_due_and_by_one_pull_at_a_time() {
        let mut lines = Lines::default();
        lines.told(sender(1), Lane::Bulk);
        lines.told(sender(1), Lane::Urgent);
        let (taken, lanes) = lines.take_due(Instant::now()).unwrap();
        assert_eq!((taken, lanes), (sender(1), BTreeSet::from([Lane::Urgent, Lane::Bulk])));
        lines.told(sender(1), Lane::Bulk);
        assert_eq!(lines.take_due(Instant::now()), None);
        lines.pulled(&sender(1), after(&[Lane::Urgent], 50));
        assert_eq!(lines.take_due(Instant::now()), None);
        tokio::time::advance(Duration::from_millis(50)).await;
        assert_eq!(lines.take_due(Instant::now()), Some((sender(1), BTreeSet::from([Lane::Bulk]))));
    }

    #[tokio::test(start_paused = true)]
    async fn an_empty_line_costs_nothing_but_who_joins_during_a_pull_is_not_forgotten() {
        let mut lines = Lines::default();
        lines.told(sender(1), Lane::Normal);
        lines.told(sender(2), Lane::Normal);
        let first = lines.take_due(Instant::now()).unwrap().0;
        let second = lines.take_due(Instant::now()).unwrap().0;
        lines.told(first.clone(), Lane::Normal);
        lines.pulled(&first, after(&[Lane::Normal], 0));
        lines.pulled(&second, after(&[Lane::Normal], 0));
        assert_eq!(lines.take_due(Instant::now()), Some((first, BTreeSet::from([Lane::Normal]))));
        assert_eq!((lines.next_at(), lines.lines.len()), (None, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn the_bell_tells_each_line_once() {
        let bell = Bell::default();
        for _ in 0..1_000 {
            bell.ring(&sender(1), Lane::Bulk);
        }
        assert_eq!(bell.rung().await, BTreeSet::from([(sender(1), Lane::Bulk)]));
        bell.ring(&sender(1), Lane::Bulk);
        assert_eq!(bell.rung().await.len(), 1);
    }
}
