//! What became of the jobs, and whether that adds up.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use serde_json::Value;

use super::progress::{Counts, Group};

/// The result of a run, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    /// Jobs that the broker confirmed.
    pub(crate) published: u64,
    /// Twilio took it, and has not told how it ended.
    pub(crate) sent: u64,
    /// The handset has it (also if it was read meanwhile).
    pub(crate) delivered: u64,
    pub(crate) undelivered: u64,
    pub(crate) failed: u64,
    pub(crate) suppressed: u64,
    pub(crate) expired: u64,
    pub(crate) canceled: u64,
    /// Dead letters with a job.
    pub(crate) dead: u64,
    /// Dead letters that never became a job: unreadable, unroutable.
    pub(crate) dead_without_job: u64,
    /// Still on their way when the demo stopped waiting.
    pub(crate) unfinished: u64,
    /// Published and nowhere to be found.
    pub(crate) lost: i64,
    /// Texts that the simulator took twice.
    pub(crate) doubled: u64,
    /// Messages that the simulator created, whatever it answered.
    pub(crate) accepted_by_twilio: u64,
    /// From the first publication to the last final state.
    pub(crate) seconds: f64,
    pub(crate) messages_per_second: f64,
    /// Faults that the simulator played, by name.
    pub(crate) faults: BTreeMap<String, u64>,
}

impl Summary {
    pub(crate) fn new(published: usize, counts: &Counts, stats: &Value, took: Duration) -> Result<Self> {
        let count = |name: &str| {
            stats
                .get(name)
                .and_then(Value::as_u64)
                .with_context(|| format!("the simulator doesn't count {name}"))
        };
        let doubled = count("duplicates_by_recipient_and_text")?.max(count("duplicates_by_message_id")?);
        let faults = stats.get("faults_injected").cloned().unwrap_or_default();
        let published = u64::try_from(published)?;
        let accounted = counts.settled() + counts.unfinished();
        let seconds = took.as_secs_f64();
        #[expect(
            clippy::cast_precision_loss,
            reason = "a rate to look at; the demo's counts are far below 2^52"
        )]
        let messages_per_second = counts.settled() as f64 / seconds.max(0.001);
        Ok(Self {
            published,
            sent: counts.of("sent"),
            delivered: counts.of("delivered") + counts.of("read"),
            undelivered: counts.of("undelivered"),
            failed: counts.of("failed"),
            suppressed: counts.of("suppressed"),
            expired: counts.of("expired"),
            canceled: counts.of("canceled"),
            dead: counts.of("dead"),
            dead_without_job: counts.without_job,
            unfinished: counts.unfinished(),
            lost: i64::try_from(published)? - i64::try_from(accounted)?,
            doubled,
            accepted_by_twilio: count("accepted")?,
            seconds: round(seconds),
            messages_per_second: round(messages_per_second),
            faults: serde_json::from_value(faults).unwrap_or_default(),
        })
    }

    /// What is wrong with the result; nothing, if it is as it must be.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let taken = self.sent + self.delivered + self.undelivered;
        let ended = taken + self.failed + self.suppressed + self.expired + self.canceled;
        let sum = ended + self.dead + self.dead_without_job + self.unfinished;
        let claims = [
            (self.lost == 0, format!("lost is {}", self.lost)),
            (self.doubled == 0, format!("doubled is {}", self.doubled)),
            (self.unfinished == 0, format!("{} jobs are not at their end", self.unfinished)),
            (
                sum == self.published,
                format!("{} were published, but {sum} are accounted for", self.published),
            ),
            (
                taken <= self.accepted_by_twilio,
                format!("{taken} are marked sent, but only {} were taken", self.accepted_by_twilio),
            ),
            (self.sent == 0, format!("of {} that Twilio took, no callback said how they ended", self.sent)),
        ];
        claims.into_iter().filter(|(holds, _)| !holds).map(|(_, complaint)| complaint).collect()
    }

    /// The table for people.
    pub(crate) fn table(&self, groups: &[Group]) -> String {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_FULL_CONDENSED).set_header(["outcome", "why", "messages"]);
        for group in groups {
            table.add_row([group.status.clone(), group.reason.clone(), group.count.to_string()]);
        }
        table.add_row(["published".to_owned(), String::new(), self.published.to_string()]);
        table.add_row([
            "lost".to_owned(),
            "published and nowhere to be found".to_owned(),
            self.lost.to_string(),
        ]);
        table.add_row([
            "doubled".to_owned(),
            "sent twice, as Twilio counts".to_owned(),
            self.doubled.to_string(),
        ]);
        if let Some(column) = table.column_mut(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let faults =
            self.faults.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ");
        let pace = format!("{:.1} s, {:.0} messages a second", self.seconds, self.messages_per_second);
        format!("{table}\n{pace}; faults that Twilio played: {faults}")
    }
}

fn round(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

#[cfg(test)]
#[path = "summary_tests.rs"]
mod tests;
