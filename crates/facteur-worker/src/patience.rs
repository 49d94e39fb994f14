//! No question to the database is waited for without end: a frozen server reads as one that is away.

use std::future::Future;
use std::time::Duration;

use facteur_postgres::BatchFailure;
use tokio::time::timeout;

/// Longest wait for one answer.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// The answer, if it comes in time.
pub(crate) async fn in_time<T>(
    answer: impl Future<Output = Result<T, BatchFailure>>,
) -> Result<T, BatchFailure> {
    let late = || Err(BatchFailure::Unavailable("Postgres did not answer in time".to_owned()));
    timeout(ANSWER_MAX, answer).await.unwrap_or_else(|_| late())
}
