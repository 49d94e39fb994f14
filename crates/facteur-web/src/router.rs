//! The routes, and what holds for all of them.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::post;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};

use crate::cors::Cors;
use crate::error::ApiError;
use crate::json::JSON_BYTES_MAX;
use crate::state::App;
use crate::term::in_time;
use crate::{access, bodies, came, cors, families, headers, inbound_webhook, openapi, status_webhook};

const NOT_FOUND: ApiError = ApiError::new(StatusCode::NOT_FOUND, "not_found", "there is no such route");
const METHOD: ApiError = ApiError::new(
    StatusCode::METHOD_NOT_ALLOWED,
    "method_not_allowed",
    "this route does not take this method",
);

pub(crate) fn routes(app: App, cors: Cors) -> Router {
    let is_https = app.twilio.is_https();
    let (quick, long) = openapi::documented();
    let guard = || middleware::from_fn_with_state(app.clone(), access::authorise);
    // Whose body it is, the guard knows.
    let room = middleware::from_fn_with_state(app.clone(), bodies::in_room);
    let quick: Router<App> =
        quick.route_layer(room).route_layer(guard()).layer(DefaultBodyLimit::max(JSON_BYTES_MAX)).into();
    let long: Router<App> = long.into();
    let long = if long.has_routes() { long.route_layer(guard()) } else { long };
    let quick = Router::new()
        .merge(webhooks())
        .merge(openapi::pages())
        .merge(quick)
        .fallback(async || NOT_FOUND)
        .method_not_allowed_fallback(async || METHOD)
        .layer(middleware::from_fn(in_time));
    let routes = quick.merge(long).with_state(app);
    // Routing happens behind this one, on the path without its last slash.
    Router::new()
        .fallback_service(routes)
        .layer(middleware::from_fn(families::sms::in_its_shape))
        .layer(middleware::from_fn(without_last_slash))
        .layer(middleware::from_fn_with_state(Arc::new(cors), cors::answer))
        .layer(middleware::from_fn_with_state(is_https, headers::secure))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(middleware::from_fn(headers::without_odd_request_id))
}

/// What Twilio calls, with and without a slash at the end.
fn webhooks() -> Router<App> {
    let status = [(status_webhook::ROUTE, post(status_webhook::receive))];
    let inbound = inbound_webhook::ROUTES.map(|route| (route, post(inbound_webhook::receive)));
    let routes = status.into_iter().chain(inbound).fold(Router::new(), |router, (route, method)| {
        router.route(route, method.clone()).route(&format!("{route}/"), method)
    });
    routes.layer(DefaultBodyLimit::max(came::BODY_BYTES_MAX))
}

/// Existing apps call routes with and without a slash at the end. A webhook's path is left as Twilio signed it.
async fn without_last_slash(mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_left = path == "/" || path.starts_with("/docs/") || path.contains("/webhook");
    if let Some(short) = path.strip_suffix('/').filter(|_| !is_left) {
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        // A path that was valid is so without its end.
        if let Ok(uri) = format!("{short}{query}").parse::<Uri>() {
            *request.uri_mut() = uri;
        }
    }
    next.run(request).await
}
