//! Bodies that are read whole: how many bytes of them are in memory at once, whatever senders do. A small one is read as
//! it is and asks nobody: of those, the number of connections is bound enough.

use std::sync::Arc;

use axum::body::{Body, BodyDataStream, HttpBody as _};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::StreamExt as _;

use crate::access::Principal;
use crate::error::ApiError;
use crate::json::{BROKEN, JSON_BYTES_MAX, TOO_LARGE};
use crate::shares::{Share, Shares};
use crate::state::App;

/// Longest body that asks for no room: any single message of a usual size.
const FREE_BYTES_MAX: usize = 16 * 1024;
/// Bytes of longer ones, from before they are read until their requests are answered: what is made of them is larger.
const BYTES_MAX: usize = 32 * 1024 * 1024;
/// Of each tenant, for a body may take its time to arrive.
const BYTES_EACH_MAX: usize = 8 * 1024 * 1024;

const FULL: ApiError = ApiError::busy(
    "overloaded",
    "too many bytes of large requests are being read at this moment: come again, or send fewer messages at once",
    1,
);

/// Room for large bodies.
pub(crate) struct Bodies(Arc<Shares>);

impl Bodies {
    pub(crate) fn new() -> Self {
        Self(Shares::new(BYTES_MAX, BYTES_EACH_MAX))
    }

    /// The request, its body read if it is a large one, and the room for it: to be held until the request is answered.
    ///
    /// # Errors
    /// If there is no room now, or the body has more than `most` bytes or breaks off. What was sent of it is passed over
    /// before, for many clients read no answer until they have written.
    pub(crate) async fn take(
        &self,
        request: Request,
        tenant: Option<&str>,
        most: usize,
    ) -> Result<(Request, Option<Share>), ApiError> {
        if is_small(&request) {
            return Ok((request, None));
        }
        let (parts, body) = request.into_parts();
        let declared = body.size_hint().exact().map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        let mut pieces = body.into_data_stream();
        let read = match declared {
            Some(bytes) if bytes > most => Err(TOO_LARGE),
            _ => match self.0.take_many(tenant, declared.unwrap_or_default()) {
                Some(room) => read(&mut pieces, room, most).await,
                None => Err(FULL),
            },
        };
        match read {
            Ok((bytes, room)) => Ok((Request::from_parts(parts, Body::from(bytes)), Some(room))),
            Err(error) => {
                pass_over(&mut pieces, most).await;
                Err(error)
            }
        }
    }
}

/// Reads a body into the room that it has; one that did not say how long it is takes more as it grows.
async fn read(
    pieces: &mut BodyDataStream,
    mut room: Share,
    most: usize,
) -> Result<(Vec<u8>, Share), ApiError> {
    let mut read = Vec::with_capacity(room.count().max(FREE_BYTES_MAX));
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| BROKEN)?;
        let bytes = read.len() + piece.len();
        if bytes > most {
            return Err(TOO_LARGE);
        }
        if bytes > read.capacity() {
            let capacity = bytes.max(2 * read.capacity()).min(most);
            if !room.more(capacity - room.count()) {
                return Err(FULL);
            }
            read.reserve_exact(capacity - read.len());
        }
        read.extend_from_slice(&piece);
    }
    Ok((read, room))
}

/// Reads on and keeps nothing, to the end or as far as any body may go.
async fn pass_over(pieces: &mut BodyDataStream, most: usize) {
    let mut bytes = 0;
    while bytes <= most
        && let Some(Ok(piece)) = pieces.next().await
    {
        bytes += piece.len();
    }
}

fn is_small(request: &Request) -> bool {
    request.body().size_hint().exact().is_some_and(|bytes| bytes <= FREE_BYTES_MAX as u64)
}

/// Holds the room for a request's body until it is answered.
pub(crate) async fn in_room(
    State(app): State<App>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if is_small(&request) {
        return Ok(next.run(request).await);
    }
    let principal = request.extensions().get::<Principal>().cloned();
    let tenant = principal.as_ref().and_then(Principal::scope);
    let (request, _room) = app.bodies.take(request, tenant, JSON_BYTES_MAX).await?;
    Ok(next.run(request).await)
}

#[cfg(test)]
#[path = "bodies_tests.rs"]
mod tests;
