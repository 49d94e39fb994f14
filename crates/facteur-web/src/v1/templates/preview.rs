//! What a template would come to: text, alphabet, segments, and what that costs.

use std::collections::BTreeMap;

use axum::extract::State;
use facteur_core::document::Scalar;
use facteur_core::ids::Tenant;
use facteur_core::job::Channel;
use facteur_core::phone::Country;
use facteur_core::preview::preview;
use facteur_core::price::{Amount, Prices};
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
use crate::state::{App, AppState};

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
    /// What a segment costs, in any currency; the configured price of channel and country if absent.
    #[schema(minimum = 0, maximum = 1_000)]
    price_per_segment: Option<f64>,
    /// The country whose configured price counts, by its two letters; the one of numbers without a country code if absent.
    #[schema(example = "FR")]
    country: Option<String>,
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
    /// What a segment costs, in any currency; the configured price of channel and country if absent.
    #[schema(minimum = 0, maximum = 1_000)]
    price_per_segment: Option<f64>,
    /// The country whose configured price counts, by its two letters; the one of numbers without a country code if absent.
    #[schema(example = "FR")]
    country: Option<String>,
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
    /// The price that was given, or else the configured one; of an MMS or a WhatsApp message it is the message's.
    price_per_segment: Option<f64>,
    /// Segments times price; null if no price was given and none is configured.
    amount: Option<f64>,
    /// The currency of a configured price; null for one that was given.
    #[schema(example = "EUR")]
    currency: Option<String>,
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
    let (tenant, text, own_channel) = match shapes::find_built_in(id) {
        Some(built_in) => (principal.tenant_for(None)?, built_in.text.to_owned(), None),
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
            (principal.tenant_for(Some(&row.tenant))?, text, row.channel)
        }
    };
    let own_channel = own_channel.as_deref().and_then(Channel::from_name);
    let channel = body.channel.map(ChannelName::channel).or(own_channel);
    let PreviewTemplate { recipients, price_per_segment, country, .. } = body;
    let country = country_of(&app, &tenant, country.as_deref()).await?;
    let costs = Costs { recipients, price_per_segment, country, prices: &app.prices };
    Ok(Json(view(&shapes::parse(&text)?, &values(&body.variables), channel, costs)?))
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
pub(crate) async fn of_text(
    principal: Principal,
    State(app): State<App>,
    Json(body): Json<PreviewText>,
) -> Result<Json<PreviewView>, ApiError> {
    let channel = body.channel.map(ChannelName::channel);
    let country = country_of(&app, &principal.tenant_for(None)?, body.country.as_deref()).await?;
    let PreviewText { recipients, price_per_segment, .. } = body;
    let costs = Costs { recipients, price_per_segment, country, prices: &app.prices };
    Ok(Json(view(&shapes::parse(&body.text)?, &values(&body.variables), channel, costs)?))
}

/// For how many messages, and at which price.
#[derive(Clone, Copy)]
pub(crate) struct Costs<'a> {
    recipients: Option<u32>,
    /// The caller's own price.
    price_per_segment: Option<f64>,
    country: Country,
    prices: &'a Prices,
}

impl<'a> Costs<'a> {
    /// Of one message, at the configured price.
    pub(crate) const fn of_one(prices: &'a Prices, country: Country) -> Self {
        Self { recipients: None, price_per_segment: None, country, prices }
    }

    /// What so many segments (or messages) cost, with the price of one and its currency.
    fn estimate(self, channel: Channel, recipients: u32, segments: u64) -> Estimate {
        let configured = self.prices.estimate(channel, Some(self.country), 1);
        let configured = configured.filter(|_| self.price_per_segment.is_none());
        let given = self.price_per_segment;
        Estimate {
            recipients,
            segments,
            price_per_segment: given.or(configured.map(in_units)),
            amount: given
                .map(|price| price * segments as f64)
                .or_else(|| configured.map(|price| in_units(price.times(segments)))),
            currency: configured.and(self.prices.currency).map(|currency| currency.to_string()),
        }
    }
}

/// The number that JSON writes as the decimal which the amount is, up to fifteen digits.
fn in_units(amount: Amount) -> f64 {
    amount.as_micros() as f64 / 1e6
}

/// The country that is named, or else the tenant's for numbers without a country code, or the configured one.
pub(crate) async fn country_of(
    app: &AppState,
    tenant: &Tenant,
    named: Option<&str>,
) -> Result<Country, ApiError> {
    if let Some(code) = named {
        return Country::parse(code).map_err(|error| {
            ApiError::invalid("invalid_field", format!("`country` {error}")).field("country")
        });
    }
    Ok(app.directory.rules_of(tenant).await.default_country.unwrap_or(app.jobs.defaults.country))
}

pub(crate) fn values(variables: &BTreeMap<String, Scalar>) -> BTreeMap<String, String> {
    variables.iter().map(|(name, value)| (name.clone(), value.to_text())).collect()
}

/// What the template comes to with these values; only an SMS costs its segments.
///
/// # Errors
/// If recipients or price are beyond what can be meant.
pub(crate) fn view(
    template: &Template,
    values: &BTreeMap<String, String>,
    channel: Option<Channel>,
    costs: Costs<'_>,
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
    let channel = channel.unwrap_or(Channel::Sms);
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
        estimate: costs.estimate(channel, recipients, total),
    })
}
