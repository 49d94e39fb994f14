//! How long a quick request may take. What is not committed by then is given up; what is being committed is answered as
//! it ends, for whoever was told that it took too long would send it again.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::{Instant, timeout_at};

use crate::error::ApiError;

/// Longest request, body and answer together. Twilio gives up after as long.
const REQUEST_MAX: Duration = Duration::from_secs(15);
/// What a wait leaves for the answer behind it.
const ANSWER_MAX: Duration = Duration::from_secs(2);

const TIMEOUT: ApiError =
    ApiError::new(StatusCode::REQUEST_TIMEOUT, "timeout", "the request took longer than 15 s");

/// The time of one request.
#[derive(Debug)]
pub(crate) struct Term {
    end: Instant,
    is_committing: AtomicBool,
}

impl Term {
    fn begin(now: Instant) -> Self {
        Self { end: now + REQUEST_MAX, is_committing: AtomicBool::new(false) }
    }

    /// The end of a wait of this length that begins now: earlier if less is left.
    pub(crate) fn until(&self, now: Instant, most: Duration) -> Instant {
        (now + most).min(self.end - ANSWER_MAX)
    }
}

/// Ends a request after 15 s, unless it is committing.
pub(crate) async fn in_time(mut request: Request, next: Next) -> Response {
    let term = Arc::new(Term::begin(Instant::now()));
    request.extensions_mut().insert(Arc::clone(&term));
    within(&term, next.run(request)).await
}

/// Commits something for a request: from here on it is carried to its end, however late that is. Whoever calls this
/// bounds what follows.
pub(crate) async fn committing<T>(term: Option<&Term>, commit: impl Future<Output = T>) -> T {
    if let Some(term) = term {
        term.is_committing.store(true, Ordering::Relaxed);
    }
    commit.await
}

async fn within(term: &Term, answering: impl Future<Output = Response>) -> Response {
    let mut answering = pin!(answering);
    match timeout_at(term.end, &mut answering).await {
        Ok(response) => response,
        Err(_) if term.is_committing.load(Ordering::Relaxed) => answering.await,
        Err(_) => TIMEOUT.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_bounded_by_what_is_left_and_leaves_time_for_the_answer() {
        let begin = Instant::now();
        let (term, at) = (Term::begin(begin), |s| begin + Duration::from_secs(s));
        let wait = |now_s, most_s| term.until(at(now_s), Duration::from_secs(most_s));
        assert_eq!(wait(0, 10), at(10));
        assert_eq!(wait(5, 10), at(13), "accepting took its five seconds");
        assert_eq!(wait(14, 10), at(13), "none is left");
    }

    #[tokio::test(start_paused = true)]
    async fn who_commits_is_answered_however_late_and_nobody_else_is() {
        let term = Term::begin(Instant::now());
        // Ends long after the request's time.
        let late = async || {
            let _ = tokio::time::timeout(4 * REQUEST_MAX, std::future::pending::<()>()).await;
            StatusCode::OK.into_response()
        };
        assert_eq!(within(&term, late()).await.status(), StatusCode::REQUEST_TIMEOUT);
        let term = Term::begin(Instant::now());
        let commits = committing(Some(&term), late());
        assert_eq!(within(&term, commits).await.status(), StatusCode::OK);
    }
}
