//! How far the jobs are, asked in SQL, and shown while they go on.

use std::collections::BTreeMap;
use std::io::IsTerminal;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use crate::say;

/// The states that a job does not leave by itself.
const FINAL: [&str; 9] =
    ["sent", "delivered", "read", "undelivered", "failed", "expired", "canceled", "suppressed", "dead"];

/// Where the published jobs stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Jobs by status.
    pub(crate) statuses: BTreeMap<String, u64>,
    /// Dead letters that never became a job.
    pub(crate) without_job: u64,
}

impl Counts {
    /// Jobs and dead letters that are where they stay.
    pub(crate) fn settled(&self) -> u64 {
        FINAL.iter().map(|status| self.of(status)).sum::<u64>() + self.without_job
    }

    /// Jobs that are known and not settled.
    pub(crate) fn unfinished(&self) -> u64 {
        self.statuses.values().sum::<u64>() + self.without_job - self.settled()
    }

    /// Jobs with that status.
    pub(crate) fn of(&self, status: &str) -> u64 {
        self.statuses.get(status).copied().unwrap_or_default()
    }
}

/// A line of the table: so many with that status for that reason.
pub(crate) struct Group {
    pub(crate) status: String,
    pub(crate) reason: String,
    pub(crate) count: u64,
}

/// Asks the database.
pub(crate) struct Observer {
    client: Client,
}

impl Observer {
    /// Connects.
    pub(crate) async fn connect(url: &str) -> Result<Self> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        // Ends with the client; its errors are the client's as well.
        tokio::spawn(connection);
        Ok(Self { client })
    }

    /// Runs orders that give nothing back.
    pub(crate) async fn order(&self, sql: &str) -> Result<()> {
        Ok(self.client.batch_execute(sql).await?)
    }

    /// Where these jobs stand.
    pub(crate) async fn counts(&self, ids: &[Uuid]) -> Result<Counts> {
        let sql = "SELECT status, count(*) FROM facteur.jobs WHERE id = ANY($1) GROUP BY 1";
        let rows = self.client.query(sql, &[&ids]).await?;
        let statuses =
            rows.iter().map(|row| Ok((row.try_get(0)?, number(row.try_get(1)?)))).collect::<Result<_>>()?;
        let sql = "SELECT count(*) FROM facteur.dead_letters d \
                   WHERE NOT EXISTS (SELECT FROM facteur.jobs j WHERE j.id = d.job_id)";
        let without_job = number(self.client.query_one(sql, &[]).await?.try_get(0)?);
        Ok(Counts { statuses, without_job })
    }

    /// Why they stand there, the most frequent first.
    pub(crate) async fn groups(&self) -> Result<Vec<Group>> {
        let sql = "SELECT status, concat_ws(', Twilio says ', reason, twilio_code), count(*) \
                   FROM facteur.overview GROUP BY 1, 2 \
                   UNION ALL \
                   SELECT 'dead letter, never a job', code, count(*) FROM facteur.dead_letters d \
                   WHERE NOT EXISTS (SELECT FROM facteur.jobs j WHERE j.id = d.job_id) GROUP BY 2 \
                   ORDER BY 3 DESC, 1, 2";
        let rows = self.client.query(sql, &[]).await?;
        let group = |row: &tokio_postgres::Row| {
            Ok(Group { status: row.try_get(0)?, reason: row.try_get(1)?, count: number(row.try_get(2)?) })
        };
        rows.iter().map(group).collect()
    }
}

/// A count of SQL is never negative.
fn number(count: i64) -> u64 {
    u64::try_from(count).unwrap_or_default()
}

/// A bar on a terminal, else a line whenever something has moved.
pub(crate) struct Display {
    bar: Option<ProgressBar>,
    last: Counts,
}

impl Display {
    pub(crate) fn new(total: usize) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(u64::try_from(total).unwrap_or(u64::MAX));
            // A template that indicatif can't read would only cost us its looks.
            if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len}  {msg}") {
                bar.set_style(style);
            }
            bar
        });
        Self { bar, last: Counts::default() }
    }

    pub(crate) fn show(&mut self, counts: &Counts) {
        if *counts == self.last {
            return;
        }
        let statuses = counts.statuses.iter().map(|(status, count)| format!("{status} {count}"));
        let rest = (counts.without_job > 0).then(|| format!("never a job {}", counts.without_job));
        let line = statuses.chain(rest).collect::<Vec<_>>().join(", ");
        match &self.bar {
            Some(bar) => {
                bar.set_position(counts.settled());
                bar.set_message(line);
            }
            None => say::progress(&format!("  {:>6} settled: {line}", counts.settled())),
        }
        self.last = counts.clone();
    }

    pub(crate) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say::progress(line)),
            None => say::progress(line),
        }
    }

    pub(crate) fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
