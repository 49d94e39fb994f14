//! `/v1/dead-letters`: what a person must look at.

use axum::extract::State;
use axum::http::StatusCode;
use facteur_core::Timestamp;
use facteur_core::reason::ReasonCode;
use facteur_postgres::DeadLetters;
use facteur_postgres::dead_letters::{LetterState, LetterSummary, ListFilter};
use facteur_postgres::page::Position;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::access::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::json::{Json, Query};
use crate::page::{Page, PageQuery};
use crate::path::Path;
use crate::state::App;

const NO_LETTER: ApiError = ApiError::not_found("there is no such dead letter");

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(read))
}

/// Which dead letters.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LettersQuery {
    /// `open` (if absent), `requeued`, `discarded` or `resolved`.
    state: Option<String>,
    /// Only those with this code, such as `uncertain`.
    code: Option<String>,
    /// `next_cursor` of the page before; without it, the first page.
    cursor: Option<String>,
    /// Rows of the page: 1 to 200; 50 if absent.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u16>,
}

/// A dead letter, without what it carries.
#[derive(Serialize, ToSchema)]
pub(crate) struct LetterShown {
    id: Uuid,
    /// The message, if it is known.
    message_id: Option<Uuid>,
    tenant: String,
    #[schema(example = "uncertain")]
    code: String,
    field: Option<String>,
    /// Why, for a person.
    sentence: String,
    /// What a person can do about it.
    advice: Option<&'static str>,
    /// How often it came.
    copies: u32,
    state: &'static str,
    #[schema(value_type = String)]
    created_at: Timestamp,
    #[schema(value_type = Option<String>)]
    closed_at: Option<Timestamp>,
}

/// A dead letter with what it carries.
#[derive(Serialize, ToSchema)]
pub(crate) struct LetterDetail {
    #[serde(flatten)]
    letter: LetterShown,
    routing_key: String,
    /// The body; bytes that are no UTF-8 are replaced.
    body: String,
    #[schema(value_type = Object)]
    headers: serde_json::Value,
}

impl From<LetterSummary> for LetterShown {
    fn from(letter: LetterSummary) -> Self {
        Self {
            id: letter.id,
            message_id: letter.job_id.map(|id| id.0),
            tenant: letter.tenant,
            advice: ReasonCode::from_name(&letter.code).map(ReasonCode::advice),
            code: letter.code,
            field: letter.field,
            sentence: letter.sentence,
            copies: letter.copies,
            state: letter.state.as_str(),
            created_at: letter.created_at,
            closed_at: letter.closed_at,
        }
    }
}

/// Dead letters, the newest first.
#[utoipa::path(
    get,
    path = "/v1/dead-letters",
    tag = "operations",
    params(LettersQuery),
    responses((status = 200, body = Page<LetterShown>), (status = 400, body = inline(ErrorBody<'_>)))
)]
pub(crate) async fn list(
    State(app): State<App>,
    principal: Principal,
    Query(query): Query<LettersQuery>,
) -> Result<Json<Page<LetterShown>>, ApiError> {
    let page = PageQuery { cursor: query.cursor, limit: query.limit };
    let state = query.state.as_deref().unwrap_or("open");
    let state = LetterState::from_name(state).ok_or_else(|| {
        let sentence = "`state` is open, requeued, discarded or resolved";
        let error = ApiError::invalid("invalid_field", sentence).field("state");
        ApiError { status: StatusCode::BAD_REQUEST, ..error }
    })?;
    let limit = page.limit()?;
    let filter = ListFilter {
        state: Some(state),
        code: query.code,
        tenant: principal.scope().map(str::to_owned),
        after: page.after()?.map(|place| (place.at, place.id)),
        limit: u32::from(limit) + 1,
    };
    let letters = DeadLetters::new(app.database.clone()).list(&filter).await?;
    let letters = letters.into_iter().map(LetterShown::from).collect();
    Ok(Json(Page::of(letters, limit, |letter| Position { at: letter.created_at, id: letter.id })))
}

/// One dead letter, by its id or its message's, with what it carries.
#[utoipa::path(
    get,
    path = "/v1/dead-letters/{id}",
    tag = "operations",
    params(("id" = Uuid, Path, description = "The dead letter's id, or its message's", example = "0197c1de-0000-7000-8000-00000000fe06")),
    responses((status = 200, body = LetterDetail), (status = 404, body = inline(ErrorBody<'_>)))
)]
pub(crate) async fn read(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<Json<LetterDetail>, ApiError> {
    let id = Uuid::parse_str(&id).map_err(|_| NO_LETTER)?;
    let letter = DeadLetters::new(app.database.clone()).show(id).await?;
    let letter = letter.filter(|letter| principal.sees(&letter.summary.tenant)).ok_or(NO_LETTER)?;
    Ok(Json(LetterDetail {
        routing_key: letter.summary.routing_key.clone(),
        letter: letter.summary.into(),
        body: String::from_utf8_lossy(&letter.body).into_owned(),
        headers: letter.headers,
    }))
}
