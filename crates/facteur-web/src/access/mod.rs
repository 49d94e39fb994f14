//! Who may what: the bearer of a key is known, and the table of routes says what it takes.

mod principal;
pub(crate) mod rules;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

pub(crate) use principal::{Principal, Role};

use crate::error::ApiError;
use crate::state::App;

const UNAUTHENTICATED: ApiError = ApiError::new(
    StatusCode::UNAUTHORIZED,
    "unauthenticated",
    "this route wants `Authorization: Bearer` with an API key that is valid",
);
const FORBIDDEN: ApiError =
    ApiError::new(StatusCode::FORBIDDEN, "forbidden", "the key's role does not allow this");

/// Lets a request through to its route if its bearer may do what the route does, and tells the route who it is.
pub(crate) async fn authorise(
    State(app): State<App>,
    path: MatchedPath,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    // HEAD is what GET answers, without its body.
    let method = if request.method() == "HEAD" { "GET" } else { request.method().as_str() };
    let needed = rules::needed(method, path.as_str()).ok_or(FORBIDDEN)?;
    let key = bearer(&request).ok_or(UNAUTHENTICATED)?;
    let found = facteur_postgres::api_keys::find(&app.database, &key).await?;
    let principal = found.and_then(Principal::of_key).ok_or(UNAUTHENTICATED)?;
    if !principal.role.may(needed) {
        return Err(FORBIDDEN);
    }
    request.extensions_mut().insert(principal);
    Ok(next.run(request).await)
}

fn bearer(request: &Request) -> Option<String> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim().to_owned())
}
