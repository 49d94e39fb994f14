//! Which acknowledgements to send. One `multiple` acknowledgement settles every tag up to its own, so it may
//! only be sent behind a contiguous watermark; what was acknowledged out of order waits for the watermark, but
//! not for ever. Pure: the clock is an argument.
//!
//! RabbitMQ closes a channel on a tag that it does not know (any more), so a tag that was acknowledged on its
//! own is never named again.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

/// So many are sent at once.
const FULL: u32 = 64;
/// How long the first of a group waits for company.
const GATHER: Duration = Duration::from_millis(2);
/// How long one slow envelope may hold back the acknowledgements of those after it.
const STRAGGLE: Duration = Duration::from_millis(200);

/// One acknowledgement to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ack {
    /// This tag and every one below it (`multiple`).
    UpTo(u64),
    /// This tag alone.
    One(u64),
}

/// The delivery tags of one channel (1, 2, 3, …) and what their receiver said about them.
#[derive(Debug)]
pub(crate) struct Watermark {
    /// Most envelopes that the broker leaves unacknowledged.
    prefetch: u32,
    /// Every tag up to this one was acknowledged by its receiver.
    contiguous: u64,
    /// The highest contiguous tag that was not sent yet, how many there are, and since when the first waits.
    ready: Option<Ready>,
    /// Acknowledged above the watermark, not sent.
    early: BTreeSet<u64>,
    early_since: Option<Instant>,
    /// Acknowledged above the watermark, and sent alone.
    sent: BTreeSet<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Ready {
    top: u64,
    count: u32,
    since: Instant,
}

impl Watermark {
    pub(crate) fn new(prefetch: u16) -> Self {
        Self {
            prefetch: u32::from(prefetch.max(1)),
            contiguous: 0,
            ready: None,
            early: BTreeSet::new(),
            early_since: None,
            sent: BTreeSet::new(),
        }
    }

    /// The broker leaves another number of envelopes unacknowledged from now on.
    pub(crate) fn set_prefetch(&mut self, prefetch: u16) {
        self.prefetch = u32::from(prefetch.max(1));
    }

    /// The receiver acknowledges a tag. Saying so twice changes nothing.
    pub(crate) fn acknowledge(&mut self, tag: u64, now: Instant) {
        if tag <= self.contiguous || self.sent.contains(&tag) {
            return;
        }
        self.early.insert(tag);
        loop {
            let next = self.contiguous + 1;
            if self.early.remove(&next) {
                let (count, since) = self.ready.map_or((0, now), |ready| (ready.count, ready.since));
                self.ready = Some(Ready { top: next, count: count + 1, since });
            } else if !self.sent.remove(&next) {
                break;
            }
            self.contiguous = next;
        }
        self.early_since = if self.early.is_empty() { None } else { self.early_since.or(Some(now)) };
    }

    /// When [`Self::take`] has something to give: at once if nobody is left who could add to it.
    pub(crate) fn due(&self, others_pending: bool, now: Instant) -> Option<Instant> {
        let ready = self
            .ready
            .map(|ready| if ready.count >= FULL || !others_pending { now } else { ready.since + GATHER });
        let early = self
            .early_since
            .map(|since| if self.is_window_narrow() { since + GATHER } else { since + STRAGGLE });
        [ready, early].into_iter().flatten().min()
    }

    /// The acknowledgements to send now.
    pub(crate) fn take(&mut self, now: Instant) -> Vec<Ack> {
        let mut acks: Vec<_> = self.ready.take().map(|ready| Ack::UpTo(ready.top)).into_iter().collect();
        let is_late =
            |since: Instant| now >= since + STRAGGLE || (self.is_window_narrow() && now >= since + GATHER);
        if self.early_since.is_some_and(is_late) {
            self.early_since = None;
            for tag in std::mem::take(&mut self.early) {
                self.sent.insert(tag);
                acks.push(Ack::One(tag));
            }
        }
        acks
    }

    /// Half of what the broker may leave with us is finished and waits: it would soon stop delivering.
    fn is_window_narrow(&self) -> bool {
        u32::try_from(self.early.len()).unwrap_or(u32::MAX).saturating_mul(2) >= self.prefetch
    }
}

#[cfg(test)]
#[path = "watermark_tests.rs"]
mod tests;
