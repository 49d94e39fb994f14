//! One message of one call, through the one way in.

use std::time::Duration;

use axum::http::HeaderMap;
use facteur_core::reason::Reason;
use facteur_postgres::listing::MessageSummary;
use tokio::time::Instant;

use crate::accept::{Options, Outcome, accept, as_they_stand};
use crate::access::Principal;
use crate::error::ApiError;
use crate::judge::Wish;
use crate::state::AppState;
use crate::waiting;

/// What a family calls the fields of a job: theirs, ours.
pub(crate) type Fields = &'static [(&'static str, &'static str)];

const NOT_TAKEN: ApiError = ApiError::busy("not_taken", "the message was not taken: come again", 1);

/// How long a request with `Prefer: wait=N` waits at most, if accepting left as much of its time.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Accepts one message, and waits for its outcome if the request prefers that. The error names the field as the family
/// calls it.
///
/// # Errors
/// Why it is refused.
pub(crate) async fn send(
    app: &AppState,
    principal: &Principal,
    wish: Wish,
    (options, headers): (Options, &HeaderMap),
    fields: Fields,
) -> Result<MessageSummary, ApiError> {
    let mut answer = accept(app, principal, vec![wish], options).await?;
    let is_open = match waiting::preferred(headers) {
        Some(most) => !answer.wait(app, until(principal, most.min(WAIT_MAX))).await,
        None => false,
    };
    let message = match answer.outcomes.into_iter().next() {
        Some(Outcome::Accepted(message)) => *message,
        Some(Outcome::Refused(reason)) => return Err(refusal(reason, fields)),
        None => return Err(NOT_TAKEN),
    };
    // Whoever waited in vain is told what keeps it back by now.
    let now = if is_open { as_they_stand(app, &[message.id]).await } else { None };
    Ok(now.and_then(|mut found| found.pop()).unwrap_or(message))
}

/// The end of a wait of this length, within the time that the request has.
fn until(principal: &Principal, most: Duration) -> Instant {
    let now = Instant::now();
    principal.term.as_ref().map_or(now + most, |term| term.until(now, most))
}

/// A refusal, with the family's word for the field.
pub(crate) fn refusal(mut reason: Reason, fields: Fields) -> ApiError {
    if let Some(field) = &mut reason.field
        && let Some((theirs, _)) = fields.iter().find(|(_, ours)| ours == field)
    {
        (*theirs).clone_into(field);
    }
    reason.into()
}
