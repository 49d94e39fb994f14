//! The document that describes every route, and a page to browse it that needs no network.

use axum::Router;
use axum::routing::get;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContactBuilder, InfoBuilder, OpenApi, OpenApiBuilder, SecurityRequirement};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

use crate::state::App;
use crate::{families, v1};

/// Where the document is.
const DOCUMENT: &str = "/v1/openapi.json";

/// Routes that stand behind `Authorization: Bearer`, and what describes them.
pub(crate) fn documented() -> (OpenApiRouter<App>, OpenApiRouter<App>) {
    (v1::routes().merge(families::routes()), v1::long_routes())
}

/// The document.
#[must_use]
pub fn document() -> OpenApi {
    let (quick, long) = documented();
    let mut document = head();
    document.merge(quick.merge(long).into_openapi());
    document
}

/// The page and the document, open to all: they tell nothing of anybody's.
pub(crate) fn pages() -> Router<App> {
    let document = document();
    let page: Router<App> = SwaggerUi::new("/docs").url(DOCUMENT, document).into();
    page.route("/", get(async || axum::response::Redirect::temporary("/docs/")))
}

fn head() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Facteur")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Sends SMS, MMS and WhatsApp messages through Twilio: paced, once, and on the record.",
        ))
        .contact(Some(ContactBuilder::new().name(Some("Facteur")).build()));
    let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    let mut document = OpenApiBuilder::new().info(info).build();
    document.components.get_or_insert_default().add_security_scheme("bearer", bearer);
    document.security = Some(vec![SecurityRequirement::new("bearer", Vec::<String>::new())]);
    document
}
