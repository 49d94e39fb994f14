//! Looks at bulks and their recipients.

use axum::extract::State;
use facteur_core::Timestamp;
use facteur_core::status::Status;
use facteur_postgres::bulks::{self, BulkFilter};
use facteur_postgres::page::Position;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::view::{BulkView, RecipientView};
use crate::access::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::json::{Json, Query};
use crate::page::{Page, PageQuery, cursor};
use crate::path::Path;
use crate::state::{App, AppState};

pub(super) const UNKNOWN: ApiError = ApiError::not_found("there is no such bulk");

/// Which recipients.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RecipientsQuery {
    /// Only those in this state: `pending`, `refused`, or a status of a message.
    state: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows of the page: 1 to 200; 50 if absent.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u16>,
}

/// Bulks, the newest first, without their progress.
#[utoipa::path(
    get,
    path = "/v1/bulks",
    tag = "bulks",
    params(PageQuery),
    responses((status = 200, body = Page<BulkView>))
)]
pub(crate) async fn list(
    State(app): State<App>,
    principal: Principal,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<BulkView>>, ApiError> {
    let (limit, after) = (page.limit()?, page.after()?);
    let filter = BulkFilter { tenant: principal.scope(), after, limit: i64::from(limit) + 1 };
    let found = bulks::list(&app.database, &filter).await?;
    let page = Page::of(found, limit, |bulk| Position { at: bulk.created_at, id: bulk.id });
    Ok(Json(page.map(|bulk| BulkView::of(bulk, None))))
}

/// A bulk and how far it has come, at most a second ago.
#[utoipa::path(
    get,
    path = "/v1/bulks/{id}",
    tag = "bulks",
    params(("id" = Uuid, Path, description = "The bulk's id", example = "0197c1de-0000-7000-8000-00000000fe02")),
    responses((status = 200, body = BulkView), (status = 404, body = inline(ErrorBody<'_>)))
)]
pub(crate) async fn read(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<Json<BulkView>, ApiError> {
    Ok(Json(view(&app, Some(&principal), parse(&id)?).await?))
}

/// The recipients of a bulk, in the order of the request. With `state`, a page looks at 10,000 lines: it may be short or
/// empty and still have a `next_cursor`.
#[utoipa::path(
    get,
    path = "/v1/bulks/{id}/recipients",
    tag = "bulks",
    params(("id" = Uuid, Path, description = "The bulk's id", example = "0197c1de-0000-7000-8000-00000000fe02"), RecipientsQuery),
    responses((status = 200, body = Page<RecipientView>), (status = 404, body = inline(ErrorBody<'_>)))
)]
pub(crate) async fn recipients(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<String>,
    Query(query): Query<RecipientsQuery>,
) -> Result<Json<Page<RecipientView>>, ApiError> {
    let id = seen(&app, &principal, parse(&id)?).await?;
    let page = PageQuery { cursor: query.cursor, limit: query.limit };
    let state = query.state;
    let (limit, after) = (page.limit()?, page.after()?);
    if state.as_deref().is_some_and(|state| !is_state(state)) {
        let sentence = "`state` is `pending`, `refused`, or a status of a message such as `sent`";
        return Err(ApiError::invalid("invalid_field", sentence).field("state"));
    }
    let states = state.as_deref().map(|state| [state]);
    let states = states.as_ref().map(|states| &states[..]);
    let after = after.map_or(0, |after| u32::try_from(after.at.as_microsecond()).unwrap_or(u32::MAX));
    let page = bulks::recipients(&app.database, id, after, states, limit).await?;
    let data = page.rows.into_iter().map(RecipientView::from).collect();
    Ok(Json(Page { data, next_cursor: page.next.map(|line| cursor(position(id, line))) }))
}

/// A cursor leads to a line.
fn position(id: Uuid, line: u32) -> Position {
    Position { at: Timestamp::from_microsecond(line.into()).unwrap_or(Timestamp::MAX), id }
}

fn is_state(state: &str) -> bool {
    matches!(state, "pending" | "refused") || Status::from_name(state).is_some()
}

/// What is no UUID is no bulk's id.
pub(super) fn parse(id: &str) -> Result<Uuid, ApiError> {
    Uuid::parse_str(id).map_err(|_| UNKNOWN)
}

/// The bulk's id, if the bearer may know of it.
pub(super) async fn seen(app: &AppState, principal: &Principal, id: Uuid) -> Result<Uuid, ApiError> {
    let bulk = bulks::find(&app.database, id).await?;
    bulk.filter(|bulk| principal.sees(&bulk.tenant)).map(|_| id).ok_or(UNKNOWN)
}

/// The bulk as it stands, if the bearer may know of it; whoever made it may.
pub(super) async fn view(
    app: &AppState,
    principal: Option<&Principal>,
    id: Uuid,
) -> Result<BulkView, ApiError> {
    let bulk = bulks::find(&app.database, id).await?;
    let may_see = |tenant: &str| principal.is_none_or(|principal| principal.sees(tenant));
    let bulk = bulk.filter(|bulk| may_see(&bulk.tenant)).ok_or(UNKNOWN)?;
    let progress = app.bulks.progress(&app.database, id).await?;
    Ok(BulkView::of(bulk, Some(&progress)))
}
