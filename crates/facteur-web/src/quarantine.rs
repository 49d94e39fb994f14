//! What can't be verified, or is nobody's, goes here: some of it is filed for a look, all of it is counted, and a log
//! line says so now and then.

use std::time::Duration;

use facteur_postgres::Database;
use facteur_postgres::quarantine::{Quarantined, file};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::allowance::Allowance;

/// Most requests that one process files a second.
const FILED_PER_SECOND_MAX: u32 = 5;
/// How often a log line may tell of them.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// Requests that may wait to be filed.
const WAITING_MAX: usize = 64;
/// Longest time for filing one.
const FILE_MAX: Duration = Duration::from_secs(15);

/// Takes requests without waiting.
pub(crate) struct Quarantine {
    queue: mpsc::Sender<Quarantined>,
    filed: Allowance,
    told: Allowance,
}

/// Files what was put there, until every [`Quarantine`] is gone.
pub(crate) struct Filer {
    database: Database,
    queue: mpsc::Receiver<Quarantined>,
}

pub(crate) fn quarantine(database: Database) -> (Quarantine, Filer) {
    let (sender, queue) = mpsc::channel(WAITING_MAX);
    let filed = Allowance::new(FILED_PER_SECOND_MAX, Duration::from_secs(1));
    (Quarantine { queue: sender, filed, told: Allowance::new(1, TELL_EVERY) }, Filer { database, queue })
}

impl Quarantine {
    pub(crate) fn put(&self, request: Quarantined) {
        let now = Instant::now();
        if let Some(more) = self.told.take(now) {
            tracing::warn!(
                route = request.route,
                why = request.why,
                more,
                "a webhook request was put into the quarantine (facteur.webhook_quarantine): somebody else's, or \
                 a URL or an auth token that is not Twilio's"
            );
        }
        if self.filed.take(now).is_some() {
            // A full queue means that the database is away: then it is counted only.
            let _ = self.queue.try_send(request);
        }
    }
}

impl Filer {
    pub(crate) async fn run(mut self) {
        while let Some(request) = self.queue.recv().await {
            let failure = match timeout(FILE_MAX, file(&self.database, &request)).await {
                Ok(Ok(())) => continue,
                Ok(Err(failure)) => failure.to_string(),
                Err(_) => "no answer in time".to_owned(),
            };
            tracing::debug!(%failure, "a request could not be put into the quarantine");
        }
    }
}
