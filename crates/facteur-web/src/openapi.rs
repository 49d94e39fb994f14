//! The document that describes every route, and a page to browse it that needs no network.

use axum::Router;
use axum::routing::get;
use utoipa::PartialSchema as _;
use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ContactBuilder, ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, ResponseBuilder,
    SecurityRequirement,
};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::access::rules;
use crate::error::ErrorBody;
use crate::state::App;
use crate::{families, v1};

/// Where the document is.
pub(crate) const DOCUMENT: &str = "/v1/openapi.json";
/// Where the page is.
pub(crate) const PAGE: &str = "/docs";
/// Says in the document what a route takes.
const PERMISSION: &str = "x-permission";
/// The name of the one shape of an error, among schemas and among responses.
const ERROR: &str = "Error";

/// What holds for every route that wants a bearer.
const ERRORS: [&str; 4] = ["401", "403", "4XX", "503"];

/// Routes that stand behind `Authorization: Bearer`, and what describes them.
pub(crate) fn documented() -> (OpenApiRouter<App>, OpenApiRouter<App>) {
    (v1::routes().merge(families::routes()), v1::long_routes().merge(families::long_routes()))
}

/// The document.
#[must_use]
pub fn document() -> OpenApi {
    let (quick, long) = documented();
    let mut document = head();
    document.merge(quick.merge(long).into_openapi());
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            complete(operation, method, path);
        }
    }
    document
}

/// The page and the document, open to all: they tell nothing of anybody's.
pub(crate) fn pages() -> Router<App> {
    // Without the bar in which another document could be named.
    let config = Config::new([DOCUMENT]).use_base_layout();
    let page: Router<App> = SwaggerUi::new(PAGE).url(DOCUMENT, document()).config(config).into();
    page.route("/", get(async || axum::response::Redirect::temporary("/docs/")))
}

/// What is the same for every route is said here, once: its name, what it takes, and how it fails.
fn complete(operation: &mut Operation, method: &str, path: &str) {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    operation.operation_id = Some([method].into_iter().chain(words).collect::<Vec<_>>().join("_"));
    let is_open = operation.security.as_ref().is_some_and(Vec::is_empty);
    let Some(needed) = rules::needed(&method.to_uppercase(), path).filter(|_| !is_open) else { return };
    let said = ExtensionsBuilder::new().add(PERMISSION, needed.as_str()).build();
    operation.extensions.get_or_insert_default().merge(said);
    for status in ERRORS {
        let known = &mut operation.responses.responses;
        known.entry(status.to_owned()).or_insert_with(|| RefOr::Ref(Ref::from_response_name(ERROR)));
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    [("get", get), ("put", put), ("post", post), ("patch", patch), ("delete", delete)]
        .into_iter()
        .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

fn head() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Facteur")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Sends SMS, MMS and WhatsApp messages through Twilio: paced, once, and on the record.\n\n\
             Every route but the webhooks wants `Authorization: Bearer` with an API key (`facteur keys create`) or a \
             JWT; `x-permission` says what it takes: `any`, `read` (viewer), `send` (sender), `admin` or `superadmin`, \
             each of which may what the ones before it may.",
        ))
        .contact(Some(ContactBuilder::new().name(Some("Facteur")).build()));
    let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    let mut document = OpenApiBuilder::new().info(info).build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("bearer", bearer);
    components.schemas.insert(ERROR.to_owned(), ErrorBody::schema());
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(ERROR))).build();
    let error = ResponseBuilder::new()
        .description("Nothing was done: `error` says why to a person, `code` to a program.")
        .content("application/json", content);
    components.responses.insert(ERROR.to_owned(), error.build().into());
    document.security = Some(vec![SecurityRequirement::new("bearer", Vec::<String>::new())]);
    document
}

#[cfg(test)]
#[path = "openapi_tests.rs"]
mod tests;
