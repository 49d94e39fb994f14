//! What a template would come to: text, alphabet, segments, and what that costs.

use std::collections::BTreeMap;

use axum::extract::State;
use facteur_core::document::Scalar;
use facteur_core::preview::preview;
use facteur_core::segments;
use facteur_core::template::Template;
use facteur_postgres::template_book as book;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::shapes::{self, ChannelName};
use crate::access::Principal;
use crate::error::ApiError;
use crate::json::Json;
use crate::path::Path;
use crate::shape::ScalarShape;
use crate::state::App;

/// Most recipients that an estimate is made for.
const RECIPIENTS_MAX: u32 = 100_000_000;
/// Dearest segment that is believed.
const PRICE_MAX: f64 = 1_000.0;

/// With what a template is to be previewed.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PreviewTemplate {
    /// Values of its placeholders.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, ScalarShape>)]
    variables: BTreeMap<String, Scalar>,
    /// Another version than the one that counts.
    version: Option<i32>,
    /// The channel; the template's own if absent, or else sms.
    channel: Option<ChannelName>,
    /// For how many messages the cost is estimated; 1 if absent.
    #[schema(minimum = 1, maximum = 100_000_000)]
    recipients: Option<u32>,
    /// What a segment costs, in any currency.
    #[schema(minimum = 0, maximum = 1_000)]
    price_per_segment: Option<f64>,
}

/// A text that is to be previewed before it is saved.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PreviewText {
    /// The text, with placeholders.
    text: String,
    /// Values of its placeholders.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, ScalarShape>)]
    variables: BTreeMap<String, Scalar>,
    /// The channel; sms if absent.
    channel: Option<ChannelName>,
    /// For how many messages the cost is estimated; 1 if absent.
    #[schema(minimum = 1, maximum = 100_000_000)]
    recipients: Option<u32>,
    /// What a segment costs, in any currency.
    #[schema(minimum = 0, maximum = 1_000)]
    price_per_segment: Option<f64>,
}

/// What a text would come to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PreviewView {
    /// The text; placeholders without a value stand in it as they are written.
    #[schema(example = "Hello Jean, your parcel arrives tomorrow.")]
    pub(crate) text: String,
    /// Whether a message with these values would be taken: nothing is missing, and the text is neither empty nor too
    /// long.
    pub(crate) is_sendable: bool,
    /// The names of all placeholders.
    variables: Vec<String>,
    /// Placeholders without a value.
    missing: Vec<String>,
    /// Values that no placeholder asks for.
    unknown: Vec<String>,
    characters: usize,
    /// `GSM-7` or `UCS-2`.
    #[schema(example = "GSM-7")]
    encoding: &'static str,
    /// Septets (GSM-7) or UTF-16 units (UCS-2).
    units: u32,
    /// What a message costs at the limiter: its segments, or 1 on MMS and WhatsApp.
    segments: u32,
    /// The characters that make the text UCS-2, each once.
    ucs2_characters: Vec<String>,
    estimate: Estimate,
}

/// What so many messages cost.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Estimate {
    recipients: u32,
    /// Segments of all messages; those with longer values may have more.
    segments: u64,
    price_per_segment: Option<f64>,
    /// Segments times price, if a price was given.
    amount: Option<f64>,
}

/// Previews a template.
#[utoipa::path(
    post,
    path = "/v1/templates/{id}/preview",
    tag = "templates",
    params(("id" = Uuid, Path, description = "The template's id", example = "0197c1de-0000-7000-8000-00000000fa21")),
    request_body(content = PreviewTemplate, example = json!({"variables": {"name": "Jean"}, "recipients": 1000})),
    responses((status = 200, body = PreviewView))
)]
pub(crate) async fn of_template(
    principal: Principal,
    State(app): State<App>,
    Path(id): Path<Uuid>,
    Json(body): Json<PreviewTemplate>,
) -> Result<Json<PreviewView>, ApiError> {
    let (text, own_channel) = match shapes::find_built_in(id) {
        Some(built_in) => (built_in.text.to_owned(), None),
        None => {
            let row = super::own(&app, &principal, id).await?;
            let text = match body.version.filter(|version| *version != row.version) {
                None => row.text,
                Some(version) => {
                    let versions = book::versions(&app.database, id).await?;
                    let found = versions.into_iter().find(|one| one.version == version);
                    let unknown = ApiError::not_found("the template has no such version").field("version");
                    found.ok_or(unknown)?.text
                }
            };
            (text, row.channel)
        }
    };
    let channel = body.channel.map_or(own_channel.as_deref(), |channel| Some(channel.channel().as_str()));
    let costs = Costs { recipients: body.recipients, price_per_segment: body.price_per_segment };
    Ok(Json(view(&shapes::parse(&text)?, &values(&body.variables), is_sms(channel), costs)?))
}

/// Previews a text that is not saved.
#[utoipa::path(
    post,
    path = "/v1/templates/preview",
    tag = "templates",
    request_body(content = PreviewText, example = json!({
        "text": "Hello {{name}}, your parcel arrives tomorrow.", "variables": {"name": "Jean"}
    })),
    responses((status = 200, body = PreviewView))
)]
pub(crate) async fn of_text(Json(body): Json<PreviewText>) -> Result<Json<PreviewView>, ApiError> {
    let channel = body.channel.map(|channel| channel.channel().as_str());
    let costs = Costs { recipients: body.recipients, price_per_segment: body.price_per_segment };
    Ok(Json(view(&shapes::parse(&body.text)?, &values(&body.variables), is_sms(channel), costs)?))
}

/// For how many messages, and at which price.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Costs {
    recipients: Option<u32>,
    price_per_segment: Option<f64>,
}

pub(crate) fn values(variables: &BTreeMap<String, Scalar>) -> BTreeMap<String, String> {
    variables.iter().map(|(name, value)| (name.clone(), value.to_text())).collect()
}

fn is_sms(channel: Option<&str>) -> bool {
    channel.is_none_or(|channel| channel == "sms")
}

/// What the template comes to with these values; only an SMS costs its segments.
///
/// # Errors
/// If recipients or price are beyond what can be meant.
pub(crate) fn view(
    template: &Template,
    values: &BTreeMap<String, String>,
    is_sms: bool,
    costs: Costs,
) -> Result<PreviewView, ApiError> {
    let recipients = costs.recipients.unwrap_or(1);
    if !(1..=RECIPIENTS_MAX).contains(&recipients) {
        let sentence = format!("`recipients` is between 1 and {RECIPIENTS_MAX}");
        return Err(ApiError::invalid("invalid_field", sentence).field("recipients"));
    }
    if costs.price_per_segment.is_some_and(|price| !(0.0..=PRICE_MAX).contains(&price)) {
        let sentence = format!("`price_per_segment` is between 0 and {PRICE_MAX}");
        return Err(ApiError::invalid("invalid_field", sentence).field("price_per_segment"));
    }
    let shown = preview(template, values);
    let channel = if is_sms { facteur_core::job::Channel::Sms } else { facteur_core::job::Channel::Mms };
    let cost = segments::cost(channel, &shown.text);
    let characters = shown.text.chars().count();
    let total = u64::from(cost) * u64::from(recipients);
    Ok(PreviewView {
        is_sendable: shown.missing.is_empty()
            && !shown.text.trim().is_empty()
            && characters <= facteur_core::limits::TEXT_CHARS_MAX,
        text: shown.text,
        variables: shown.variables,
        missing: shown.missing,
        unknown: shown.unknown,
        characters,
        encoding: shown.size.encoding.as_str(),
        units: shown.size.units,
        segments: cost,
        ucs2_characters: shown.outside_gsm.into_iter().map(String::from).collect(),
        estimate: Estimate {
            recipients,
            segments: total,
            price_per_segment: costs.price_per_segment,
            amount: costs.price_per_segment.map(|price| price * total as f64),
        },
    })
}
