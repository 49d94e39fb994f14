//! `/v1/media/{id}`: what a contact sent along. It stays at Twilio and is passed on piece by piece: whoever looks needs
//! no credentials of Twilio's, and nothing of it is kept here.

mod kinds;

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use facteur_postgres::integrations;
use facteur_postgres::media::{self, StoredMedium};
use facteur_twilio::{MEDIUM_READ_MAX, Medium, MediumError, TwilioClient, authorisation};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, timeout, timeout_at};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

use crate::access::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::path::Path;
use crate::state::{App, AppState};
use kinds::kind;

/// How long Twilio may take until the medium begins: less than a request may.
const BEGIN_MAX: Duration = Duration::from_secs(10);
/// Media that are passed on at the same time; each holds a few pieces of some kilobytes.
const FETCHES_MAX: usize = 16;
/// Pieces of one medium that may wait for a slow client.
const PIECES_MAX: usize = 4;
/// Nothing in it may act, whatever a browser takes it for.
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'; sandbox";

const NO_MEDIUM: ApiError = ApiError::not_found("there is no such medium");
const GONE: ApiError = ApiError::new(
    StatusCode::NOT_FOUND,
    "media_gone",
    "Twilio does not have this medium: it was deleted there, or is not there yet if it came within the last seconds",
);
const TOO_LARGE: ApiError = ApiError::new(
    StatusCode::PAYLOAD_TOO_LARGE,
    "media_too_large",
    "the medium has more than 16 MiB: look at it in Twilio's console",
);
const TOO_SLOW: ApiError =
    ApiError::new(StatusCode::GATEWAY_TIMEOUT, "media_timeout", "Twilio took too long: come again");
const UNANSWERED: ApiError =
    ApiError::new(StatusCode::BAD_GATEWAY, "media_unavailable", "Twilio gives no medium now: come again");
const ELSEWHERE: ApiError = ApiError::new(
    StatusCode::CONFLICT,
    "media_address_refused",
    "the medium's address is none of the account's media at Twilio, so it is not called",
);
const NO_CREDENTIALS: ApiError = ApiError::new(
    StatusCode::CONFLICT,
    "media_credentials_missing",
    "the account that received the medium has no credentials that can be used: set those of its integration again",
);
const BUSY: ApiError = ApiError::busy("media_busy", "too many media are being read: come again", 2);

/// Where a medium is, relative to the API.
pub(crate) fn path(id: Uuid) -> String {
    format!("/v1/media/{id}")
}

/// Lets so many media through at once.
pub(crate) struct MediaSide {
    permits: Arc<Semaphore>,
}

impl MediaSide {
    pub(crate) fn new() -> Self {
        Self { permits: Arc::new(Semaphore::new(FETCHES_MAX)) }
    }
}

/// A medium, byte by byte.
struct MediumBytes;

impl PartialSchema for MediumBytes {
    fn schema() -> RefOr<Schema> {
        let format = SchemaFormat::KnownFormat(KnownFormat::Binary);
        ObjectBuilder::new().schema_type(Type::String).format(Some(format)).into()
    }
}

impl ToSchema for MediumBytes {}

/// Reads a medium that a contact sent, out of Twilio. Pictures, sound and films may be shown; anything else is for
/// keeping, and what is none of the types that Twilio names is `application/octet-stream`. An answer that breaks off is
/// not whole.
#[utoipa::path(
    get,
    path = "/v1/media/{id}",
    tag = "inbox",
    params(("id" = Uuid, Path, description = "The medium's id.", example = "0197c1de-0000-7000-8000-00000000ab04")),
    responses(
        (status = 200, description = "The medium.", body = inline(MediumBytes), content_type = "*/*"),
        (status = 404, description = "There is none, or Twilio has it no more (`media_gone`).", body = inline(ErrorBody<'_>)),
        (status = 409, description = "Nothing can be asked: its address is none of the account's media (`media_address_refused`), \
             or the account has no credentials (`media_credentials_missing`).", body = inline(ErrorBody<'_>)),
        (status = 413, description = "It has more than 16 MiB.", body = inline(ErrorBody<'_>)),
        (status = 502, description = "Twilio gives no medium.", body = inline(ErrorBody<'_>)),
        (status = 504, description = "Twilio took too long.", body = inline(ErrorBody<'_>))
    )
)]
pub(crate) async fn read(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<Uuid>,
) -> Result<Response, ApiError> {
    let stored = media::find(&app.database, id).await?;
    let stored = stored.filter(|stored| principal.sees(&stored.tenant)).ok_or(NO_MEDIUM)?;
    let permit = Arc::clone(&app.media.permits).try_acquire_owned().map_err(|_| BUSY)?;
    let deadline = Instant::now() + MEDIUM_READ_MAX;
    let client = client(&app, &stored).await?;
    let opened = timeout(BEGIN_MAX, client.open_medium(&stored.url)).await;
    let medium = opened.unwrap_or(Err(MediumError::TooSlow)).map_err(|why| refused(id, &why))?;
    Ok(answer(id, &stored, medium, (permit, deadline)))
}

/// Calls Twilio with the credentials of the account that received it.
async fn client(app: &AppState, stored: &StoredMedium) -> Result<TwilioClient, ApiError> {
    if app.twilio.is_home(&stored.account) {
        return Ok(app.client.clone());
    }
    let account = integrations::credentials(&app.database, &app.keyring, &stored.account).await?;
    let account = account.ok_or(NO_CREDENTIALS)?;
    let secrets = account.secrets.map_err(|_| NO_CREDENTIALS)?;
    let auth = authorisation(account.api_key_sid.as_deref(), &secrets).map_err(|_| NO_CREDENTIALS)?;
    app.client.for_account(&stored.account, auth).map_err(|_| NO_CREDENTIALS)
}

fn refused(id: Uuid, why: &MediumError) -> ApiError {
    if !matches!(why, MediumError::Gone) {
        tracing::warn!(medium = %id, %why, "a medium can't be read");
    }
    match why {
        MediumError::Gone => GONE,
        MediumError::TooLarge => TOO_LARGE,
        MediumError::TooSlow => TOO_SLOW,
        MediumError::Elsewhere => ELSEWHERE,
        MediumError::Unanswered(_) => UNANSWERED,
    }
}

fn answer(
    id: Uuid,
    stored: &StoredMedium,
    medium: Medium,
    (permit, deadline): (OwnedSemaphorePermit, Instant),
) -> Response {
    let kind = kind(medium.content_type().unwrap_or(&stored.content_type));
    let shown = if kind.is_shown { "inline" } else { "attachment" };
    let mut headers = HeaderMap::new();
    let mut say =
        |name: HeaderName, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
    say(header::CONTENT_TYPE, kind.content_type);
    say(header::CACHE_CONTROL, "private");
    say(header::CONTENT_SECURITY_POLICY, POLICY);
    // Its name is made of nothing that anybody wrote.
    if let Ok(value) = HeaderValue::try_from(format!("{shown}; filename=\"{id}.{}\"", kind.ending)) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    if let Some(bytes) = medium.bytes() {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
    }
    (headers, passed_on(id, medium, permit, deadline)).into_response()
}

/// A body of what a task reads: a client that takes its time keeps neither Twilio's connection nor the permit beyond the
/// deadline. What fails in the middle cuts the connection: a medium that looks whole is whole.
fn passed_on(id: Uuid, mut medium: Medium, permit: OwnedSemaphorePermit, deadline: Instant) -> Body {
    let (pieces, coming) = mpsc::channel::<Result<Bytes, std::io::Error>>(PIECES_MAX);
    tokio::spawn(async move {
        let all = async {
            while let Some(piece) = medium.chunk().await? {
                if pieces.send(Ok(piece)).await.is_err() {
                    break;
                }
            }
            Ok::<(), MediumError>(())
        };
        let ended = timeout_at(deadline, all).await.unwrap_or(Err(MediumError::TooSlow));
        drop(permit);
        if let Err(why) = ended {
            tracing::warn!(medium = %id, %why, "a medium broke off");
            // A client that reads learns of it; one that does not finds the end too early.
            let _ = pieces.send(Err(std::io::Error::other(why))).await;
        }
    });
    Body::from_stream(futures_util::stream::unfold(coming, async |mut coming| {
        let piece = coming.recv().await?;
        Some((piece, coming))
    }))
}
