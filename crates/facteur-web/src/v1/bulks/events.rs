//! `GET /v1/bulks/{id}/events`: progress as it happens, as server-sent events.

use std::io;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Interval, MissedTickBehavior};
use uuid::Uuid;

use super::read::{parse, view};
use super::view::BulkView;
use crate::access::Principal;
use crate::error::{ApiError, ErrorBody};
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
    _permit: OwnedSemaphorePermit,
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
    let permit = app.bulks.listeners.clone().try_acquire_owned().map_err(|_| BUSY)?;
    let id = super::read::seen(&app, &principal, parse(&id)?).await?;
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let listener =
        Listener { app, principal, id, ticks, last: None, looks: 0, is_over: false, _permit: permit };
    Ok(Sse::new(unfold(listener, next)).keep_alive(KeepAlive::new().interval(HEARTBEAT)))
}

/// The next event; a database that gives no answer ends the stream, and the listener comes again.
async fn next(mut listener: Listener) -> Option<(Result<Event, io::Error>, Listener)> {
    if listener.is_over {
        return None;
    }
    while listener.looks < LOOKS_MAX {
        listener.looks += 1;
        listener.ticks.tick().await;
        let seen = view(&listener.app, Some(&listener.principal), listener.id).await;
        let seen = match seen {
            Ok(seen) => seen,
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
