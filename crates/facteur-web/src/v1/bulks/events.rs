//! `GET /v1/bulks/{id}/events`: progress as it happens, as server-sent events.

use std::io;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::time::{Interval, MissedTickBehavior};
use uuid::Uuid;

use super::read::{parse, view};
use super::view::BulkView;
use crate::access::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::path::Path;
use crate::shares::Share;
use crate::state::App;

/// How often it is looked whether something has changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Silence is broken by a comment, so that nobody in between takes the connection for dead.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Looks of one listener; it comes again after that.
const LOOKS_MAX: u32 = 3_600;

const BUSY: ApiError = ApiError::busy("too_many_listeners", "others are listening: come again", 10);

struct Listener {
    app: App,
    principal: Principal,
    id: Uuid,
    ticks: Interval,
    last: Option<BulkView>,
    looks: u32,
    is_over: bool,
    _share: Share,
}

/// Progress as it happens: an event `progress` with the bulk, at most one a second and only when something has changed;
/// an event `end` when it is over.
#[utoipa::path(
    get,
    path = "/v1/bulks/{id}/events",
    tag = "bulks",
    params(("id" = Uuid, Path, description = "The bulk's id", example = "0197c1de-0000-7000-8000-00000000fe02")),
    responses(
        (status = 200, description = "Server-sent events", content_type = "text/event-stream", body = String),
        (status = 404, body = inline(ErrorBody<'_>)),
        (status = 503, description = "Too many listeners", body = inline(ErrorBody<'_>))
    )
)]
pub(crate) async fn listen(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<Sse<impl Stream<Item = Result<Event, io::Error>>>, ApiError> {
    let share = app.bulks.listeners.take(principal.scope()).ok_or(BUSY)?;
    let id = super::read::seen(&app, &principal, parse(&id)?).await?;
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let listener =
        Listener { app, principal, id, ticks, last: None, looks: 0, is_over: false, _share: share };
    Ok(Sse::new(unfold(listener, next)).keep_alive(KeepAlive::new().interval(HEARTBEAT)))
}

/// The next event. A database that gives no answer ends the stream, a stop and the end of the listener's key do too: it
/// comes again, or may not.
async fn next(mut listener: Listener) -> Option<(Result<Event, io::Error>, Listener)> {
    if listener.is_over {
        return None;
    }
    while listener.looks < LOOKS_MAX {
        listener.looks += 1;
        let stopping = listener.app.bulks.stopping.clone();
        stopping.run_until_cancelled(listener.ticks.tick()).await?;
        let seen = match seen_now(&listener).await {
            Ok(seen) => seen?,
            Err(error) => {
                listener.is_over = true;
                return Some((Err(io::Error::other(error.sentence)), listener));
            }
        };
        if listener.last.as_ref() != Some(&seen) {
            listener.is_over = seen.is_over();
            let name = if listener.is_over { "end" } else { "progress" };
            // A view of texts and numbers can always be written.
            let data = serde_json::to_string(&seen).unwrap_or_default();
            listener.last = Some(seen);
            return Some((Ok(Event::default().event(name).data(data)), listener));
        }
    }
    None
}

/// The bulk as it stands; `None` if the listener may not see it any more.
async fn seen_now(Listener { app, principal, id, .. }: &Listener) -> Result<Option<BulkView>, ApiError> {
    if !app.access.still_lets_in(principal, (app.now)()).await? {
        return Ok(None);
    }
    view(app, Some(principal), *id).await.map(Some)
}
