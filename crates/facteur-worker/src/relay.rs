//! The relay: carries what transactions left in the outbox to the broker. A row is deleted once its publish
//! is confirmed; a row whose relay died is published again, which copies of envelopes make harmless.

use std::sync::Arc;
use std::time::Duration;

use facteur_amqp::{Exchange, Publication, Publisher};
use facteur_core::envelope::EnvelopeContent;
use facteur_postgres::{Database, Outbox, OutboxRow};
use futures_util::future::join_all;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::metrics;
use crate::patience::in_time;

/// How long an idle relay sleeps before it looks again.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// How long it waits after the database or the broker failed.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);
/// Rows that are carried at once.
const ROWS_MAX: i64 = 256;

/// One relay: a lane's, or that of events.
pub(crate) struct Relay {
    pub(crate) name: &'static str,
    pub(crate) database: Database,
    pub(crate) publisher: Publisher,
    /// Rung by this process when it has put something into the outbox.
    pub(crate) nudge: Arc<Notify>,
}

impl Relay {
    pub(crate) async fn run(self, stopping: CancellationToken) {
        let outbox = Outbox::new(self.database.clone());
        while !stopping.is_cancelled() {
            let pause = match self.carry(&outbox).await {
                Ok(0) => POLL_INTERVAL,
                Ok(_) => continue,
                Err(error) => {
                    tracing::warn!(relay = self.name, %error, "the outbox can't be carried now");
                    PAUSE_AFTER_FAILURE
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.nudge.notified() => {}
                () = stopping.cancelled() => {}
            }
        }
    }

    async fn carry(&self, outbox: &Outbox) -> Result<usize, facteur_postgres::BatchFailure> {
        let claimed = in_time(outbox.claim(self.name, ROWS_MAX)).await?;
        if claimed.rows.is_empty() {
            return Ok(0);
        }
        let results = join_all(claimed.rows.iter().map(|row| self.publisher.publish(publication(row)))).await;
        let (mut done, mut failed, mut why) = (Vec::new(), Vec::new(), None);
        for (row, result) in claimed.rows.iter().zip(results) {
            match result {
                Ok(()) => done.push(row.id),
                Err(error) => {
                    why.get_or_insert((row.message_id, error));
                    failed.push(row.id);
                }
            }
        }
        if let Some((first, error)) = why {
            let rows = failed.len();
            tracing::warn!(relay = self.name, rows, %first, %error, "not published yet; tried again");
        }
        metrics::relayed(self.name, done.len());
        in_time(outbox.delete(claimed.token, &done)).await?;
        in_time(outbox.retry_later(claimed.token, &failed)).await?;
        Ok(done.len())
    }
}

fn publication(row: &OutboxRow) -> Publication {
    let content = EnvelopeContent {
        body: row.body.clone(),
        message_id: Some(row.message_id.to_string()),
        content_type: Some("application/json".to_owned()),
        kind: Some(row.kind.clone()),
        headers: row.headers.clone(),
        ..EnvelopeContent::default()
    };
    let exchange = if row.exchange == "events" { Exchange::Events } else { Exchange::Jobs };
    Publication::of_outbox(exchange, row.routing_key.as_str(), &content)
}
