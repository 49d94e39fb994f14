//! The document that describes every route, and a page to browse it that needs no network.

use axum::Router;
use axum::routing::get;
use utoipa::PartialSchema as _;
use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::path::{HttpMethod, Operation, OperationBuilder, PathItem};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ContactBuilder, ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, ResponseBuilder,
    SecurityRequirement,
};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::access::rules;
use crate::error::ErrorBody;
use crate::state::App;
use crate::{families, inbound_webhook, status_webhook, v1};

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
/// What holds for every webhook: 403 is for what Twilio did not sign, 413 for a form of more than 64 KiB.
const WEBHOOK_ERRORS: [&str; 5] = ["400", "403", "408", "413", "503"];
/// The names of the ways in which a request says who it is from.
const BEARER: &str = "bearer";
const TWILIO: &str = "twilio";
/// The tag of what Twilio calls.
const WEBHOOKS: &str = "webhooks";

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
    document.merge(webhooks());
    document.paths.paths.extend(open());
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            complete(operation, method, path);
        }
    }
    document
}

/// What Twilio calls: it signs, and has no bearer.
fn webhooks() -> OpenApi {
    let described = OpenApiRouter::<App>::new()
        .routes(routes!(status_webhook::receive))
        .routes(routes!(inbound_webhook::receive));
    let mut document = described.into_openapi();
    let [first, others @ ..] = inbound_webhook::ROUTES;
    let item = document.paths.paths.get(first).cloned();
    document.paths.paths.extend(others.iter().filter_map(|route| Some(((*route).to_owned(), item.clone()?))));
    document
}

/// The document itself, and its page.
fn open() -> impl Iterator<Item = (String, PathItem)> {
    let rows = [
        (DOCUMENT, "application/json", "This document."),
        ("/docs/", "text/html", "A page to browse this document; it loads nothing from elsewhere."),
    ];
    rows.into_iter().map(|(path, kind, summary)| {
        let body = ContentBuilder::new().schema(Some(utoipa::openapi::schema::empty())).build();
        let response = ResponseBuilder::new().description(summary).content(kind, body);
        let operation = OperationBuilder::new()
            .tag("document")
            .summary(Some(summary))
            .security(SecurityRequirement::default())
            .response("200", response.build());
        (path.to_owned(), PathItem::new(HttpMethod::Get, operation.build()))
    })
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
    let needed = rules::needed(&method.to_uppercase(), path).filter(|_| operation.security.is_none());
    if let Some(needed) = needed {
        let said = ExtensionsBuilder::new().add(PERMISSION, needed.as_str()).build();
        operation.extensions.get_or_insert_default().merge(said);
    }
    let errors: &[&str] = match (needed, operation.tags.as_deref()) {
        (Some(_), _) => &ERRORS,
        (None, Some([tag])) if tag == WEBHOOKS => &WEBHOOK_ERRORS,
        (None, _) => &[],
    };
    for status in errors {
        let known = &mut operation.responses.responses;
        known.entry((*status).to_owned()).or_insert_with(|| RefOr::Ref(Ref::from_response_name(ERROR)));
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
             each of which may what the ones before it may. Webhooks want Twilio's signature. Whether the process \
             is alive and ready is asked on another port (`FACTEUR_METRICS_LISTEN`): `/healthz`, `/readyz`, `/metrics`.",
        ))
        .contact(Some(ContactBuilder::new().name(Some("Facteur")).build()));
    let signature = "Twilio's signature of the URL and the form, made with the account's auth token.";
    let signature = ApiKeyValue::with_description("X-Twilio-Signature", signature);
    let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    let mut document = OpenApiBuilder::new().info(info).build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(BEARER, bearer);
    components.add_security_scheme(TWILIO, SecurityScheme::ApiKey(ApiKey::Header(signature)));
    components.schemas.insert(ERROR.to_owned(), ErrorBody::schema());
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(ERROR))).build();
    let error = ResponseBuilder::new()
        .description("Nothing was done: `error` says why to a person, `code` to a program.")
        .content("application/json", content);
    components.responses.insert(ERROR.to_owned(), error.build().into());
    document.security = Some(vec![SecurityRequirement::new(BEARER, Vec::<String>::new())]);
    document
}

#[cfg(test)]
#[path = "openapi_tests.rs"]
mod tests;
