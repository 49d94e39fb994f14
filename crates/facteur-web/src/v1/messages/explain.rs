//! `GET /v1/messages/{id}/explain`: why a message is where it is, and what comes next.

use axum::extract::State;
use facteur_core::Timestamp;
use facteur_core::breaker::State as BreakerState;
use facteur_postgres::messages::{self, Story};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::view::Attempt;
use super::{NO_MESSAGE, named};
use crate::access::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::json::Json;
use crate::path::Path;
use crate::state::App;

/// Why a message is where it is.
#[derive(Serialize, ToSchema)]
pub(crate) struct Explanation {
    id: Uuid,
    #[schema(example = "waiting")]
    status: &'static str,
    /// Why it stands there: a stable code.
    #[schema(example = "rate_limit")]
    reason: String,
    /// Why, for a person.
    why: String,
    /// What comes next, for a person.
    next: String,
    lane: &'static str,
    /// Which try is current.
    turn: i32,
    /// Counted failures.
    failures: i32,
    /// Nothing happens before this instant.
    #[schema(value_type = Option<String>)]
    not_before: Option<Timestamp>,
    /// It is not sent after this instant.
    #[schema(value_type = String)]
    deadline: Timestamp,
    /// The line in which it waits, such as `rate:+33700000001`, `breaker:integration:AC…` or `pause:lane:bulk`.
    waits_for: Option<String>,
    /// How many stand before it, if that is the line of its sender's rate.
    ahead: Option<i64>,
    /// The sender's rate, in segments a second.
    rate: Option<f64>,
    pause: Option<PauseShown>,
    breaker: Option<BreakerShown>,
    /// The age of the oldest message that waits in its lane, in seconds, if it waits itself.
    oldest_waiting_s: Option<u64>,
    /// What the search for evidence has found, if nobody knows whether Twilio took it.
    finding: Option<String>,
    /// The code of its dead letter, if a person must look.
    dead_letter: Option<String>,
    /// The latest call to Twilio.
    last_attempt: Option<Attempt>,
}

/// The pause that keeps a message back.
#[derive(Serialize, ToSchema)]
struct PauseShown {
    by: String,
    reason: String,
    #[schema(value_type = String)]
    since: Timestamp,
    #[schema(value_type = Option<String>)]
    until: Option<Timestamp>,
}

/// The breaker that keeps a message back.
#[derive(Serialize, ToSchema)]
struct BreakerShown {
    /// `integration` or `sender`.
    scope: &'static str,
    /// `closed`, `open` or `half_open`.
    state: &'static str,
    reason: String,
    #[schema(value_type = String)]
    open_since: Timestamp,
    #[schema(value_type = String)]
    retry_at: Timestamp,
}

/// Why a message is where it is: its gate, its place in line, limiter, breaker, pause, next try and last error.
#[utoipa::path(
    get,
    path = "/v1/messages/{id}/explain",
    tag = "messages",
    params(("id" = String, Path, description = "The message's id, or Twilio's SID (`SM…`)", example = "0197c1de-0000-7000-8000-00000000fe01")),
    responses((status = 200, body = Explanation), (status = 404, body = inline(ErrorBody<'_>)))
)]
pub(crate) async fn explain(
    State(app): State<App>,
    principal: Principal,
    Path(name): Path<String>,
) -> Result<Json<Explanation>, ApiError> {
    let id = named(&app, &name).await?;
    let story = messages::story(&app.database, id).await?;
    let story = story.filter(|story| principal.sees(&story.tenant)).ok_or(NO_MESSAGE)?;
    let is_waiting = matches!(story.status.as_str(), "waiting" | "retrying");
    let oldest = if is_waiting { messages::oldest_waiting(&app.database).await? } else { Default::default() };
    let oldest_waiting_s = oldest.get(&story.lane).map(std::time::Duration::as_secs);
    let next = story.next(app.evidence);
    Ok(Json(Explanation { oldest_waiting_s, ..Explanation::of(story, next) }))
}

impl Explanation {
    fn of(mut story: Story, next: String) -> Self {
        let (ahead, rate) = story
            .standing
            .as_ref()
            .map_or((None, None), |standing| (Some(standing.ahead), standing.per_second));
        Self {
            id: story.id.0,
            status: story.status.as_str(),
            why: story.why(),
            next,
            lane: story.lane.as_str(),
            turn: story.turn,
            failures: story.failures,
            not_before: story.not_before,
            deadline: story.deadline,
            waits_for: story.hold.as_ref().map(ToString::to_string),
            ahead,
            rate,
            pause: story.pause.map(|pause| PauseShown {
                by: pause.actor,
                reason: pause.reason,
                since: pause.created_at,
                until: pause.until,
            }),
            breaker: story.breaker.map(|(fuse, breaker)| BreakerShown {
                scope: fuse.scope(),
                state: match breaker.state {
                    BreakerState::Closed => "closed",
                    BreakerState::Open => "open",
                    BreakerState::HalfOpen => "half_open",
                },
                reason: breaker.sentence,
                open_since: breaker.opened_at,
                retry_at: breaker.retry_at,
            }),
            oldest_waiting_s: None,
            finding: story.search.map(|search| search.finding),
            dead_letter: story.dead_letters.pop().map(|letter| letter.code),
            last_attempt: story.attempts.pop().map(Attempt::from),
            reason: story.reason,
        }
    }
}
