//! `POST /api/v1/tenants/{tenant}/events/{event}`: something happened, and its templates are sent to whoever agreed.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use facteur_core::document::{DocumentChannel, Scalar};
use facteur_core::ids::Tenant;
use facteur_core::job::{Channel, Recipient};
use facteur_core::notifications;
use facteur_core::phone::PhoneNumber;
use facteur_core::reason::Reason;
use facteur_postgres::FoundTemplate;
use facteur_postgres::consents;
use facteur_postgres::template_book::{self as book, TemplateRow};
use facteur_postgres::tenants::{self, TenantSettings};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::messages::{FIELDS, Notification, found, metadata};
use crate::accept::{Options, Outcome, accept};
use crate::access::Principal;
use crate::error::ApiError;
use crate::families::notice::Notice;
use crate::families::twice::Twice;
use crate::families::{one, tenant};
use crate::json::Json;
use crate::judge::Wish;
use crate::path::Path;
use crate::shape::ScalarShape;
use crate::state::App;
use crate::v1::templates::shapes::{ChannelName, DEFAULT_LANGUAGE};

/// Longest name of an event, in characters.
const EVENT_CHARS_MAX: usize = 64;

/// To whom something happened.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TicketEvent {
    /// A number, or `whatsapp:` and a number.
    #[schema(example = "+221771234567")]
    recipient: String,
    /// Values of the templates' placeholders.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, ScalarShape>)]
    context: BTreeMap<String, Scalar>,
    /// Only over these channels; over every channel that the event has templates for if absent.
    #[schema(value_type = Option<Vec<ChannelName>>)]
    channels: Option<BTreeSet<ChannelName>>,
    /// True: the contact agreed to be written to over these channels, which is recorded. False: they withdrew that.
    /// Without it, what was recorded counts.
    consent: Option<bool>,
    /// Of the templates, where there are several; the tenant's if absent.
    language: Option<String>,
}

/// What an event led to.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct EventAnswer {
    /// The tenant's slug.
    tenant: String,
    #[schema(example = "ticket_created")]
    event: String,
    /// What is sent.
    notifications: Vec<Notification>,
    /// What is not, and why.
    skipped: Vec<Skipped>,
}

/// A template that was not sent.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Skipped {
    /// Its name.
    template: String,
    #[schema(example = "sms")]
    channel: &'static str,
    #[schema(example = "consent_missing")]
    code: String,
    /// For a person.
    reason: String,
}

/// A template that goes out over a channel.
struct Outgoing {
    channel: Channel,
    subject: Option<String>,
    notice: Notice,
}

/// Sends the templates of an event to a contact who agreed.
#[utoipa::path(
    post,
    path = "/api/v1/tenants/{tenant}/events/{event}",
    tag = "family: queue management",
    params(
        ("tenant" = String, Path, description = "A UUID or a slug", example = "default"),
        ("event" = String, Path, description = "What happened", example = "ticket_created")
    ),
    request_body(content = TicketEvent, example = json!({
        "recipient": "+221771234567", "consent": true,
        "context": {"customer_name": "Awa", "ticket_number": "A042", "service_name": "Accueil", "eta_minutes": 15}
    })),
    responses((status = 200, body = Twice<EventAnswer>))
)]
pub(crate) async fn happened(
    principal: Principal,
    State(app): State<App>,
    Path((tenant, event)): Path<(String, String)>,
    headers: HeaderMap,
    Json(body): Json<TicketEvent>,
) -> Result<Json<Twice<EventAnswer>>, ApiError> {
    let options = Options::of("send_notification_sms", &headers)?;
    let tenant = tenant_of_path(&app, &principal, &tenant).await?;
    if event.chars().count() > EVENT_CHARS_MAX {
        return Err(
            ApiError::invalid("invalid_field", "an event's name has at most 64 characters").field("event")
        );
    }
    let number = number(&app, &tenant, &body.recipient).await?;
    let outgoing = outgoing(&app, &tenant, &event, &body).await?;
    let agreed = agreed(&app, &principal, &tenant, &number, &outgoing, body.consent).await?;
    let (mut skipped, mut sent, mut wishes) = (Vec::new(), Vec::new(), Vec::new());
    for out in outgoing {
        if !agreed.contains(&out.channel) {
            let reason = "the contact has not agreed to be written to over this channel";
            skipped.push(Skipped::of(&out.notice.name, out.channel, "consent_missing", reason));
            continue;
        }
        sent.push((out.notice.name.clone(), out.channel, out.subject.clone()));
        wishes.push(out.wish(&tenant, &number));
    }
    let mut answer =
        EventAnswer { tenant: tenant.as_str().to_owned(), event, notifications: Vec::new(), skipped };
    if wishes.is_empty() {
        return Ok(Json(Twice::of(answer)));
    }
    let outcomes = accept(&app, &principal, wishes, options).await?.outcomes;
    let mut refused = None;
    for (outcome, (name, channel, subject)) in outcomes.into_iter().zip(sent) {
        match outcome {
            Outcome::Accepted(message) => {
                answer.notifications.push(Notification::of(*message, subject));
            }
            Outcome::Refused(reason) => {
                answer.skipped.push(Skipped::refused(&name, channel, &reason));
                refused.get_or_insert(reason);
            }
        }
    }
    match refused.filter(|_| answer.notifications.is_empty()) {
        Some(reason) => Err(one::refusal(reason, FIELDS)),
        None => Ok(Json(Twice::of(answer))),
    }
}

/// Nobody learns whether another tenant exists.
async fn tenant_of_path(app: &App, principal: &Principal, name: &str) -> Result<Tenant, ApiError> {
    let found = tenant::named(app, principal, Some(name)).await;
    found.map_err(|error| match error.status {
        StatusCode::FORBIDDEN | StatusCode::UNPROCESSABLE_ENTITY => {
            ApiError::not_found("there is no such tenant")
        }
        _ => error,
    })
}

async fn number(app: &App, tenant: &Tenant, recipient: &str) -> Result<PhoneNumber, ApiError> {
    let country = app.directory.rules_of(tenant).await.default_country;
    let bare = recipient.trim();
    let bare = bare.strip_prefix("whatsapp:").unwrap_or(bare);
    PhoneNumber::parse(bare, country.unwrap_or(app.jobs.defaults.country))
        .map_err(|why| ApiError::invalid("number_invalid", format!("recipient {why}")).field("recipient"))
}

/// Every active template of the event, in one language, over each channel that it is for and that was asked for. A
/// tenant that has written none for the event says what Facteur's own template of that name says.
async fn outgoing(
    app: &App,
    tenant: &Tenant,
    event: &str,
    body: &TicketEvent,
) -> Result<Vec<Outgoing>, ApiError> {
    let settings = tenants::get(&app.database, tenant).await?;
    let language = body.language.as_deref().or(settings.language.as_deref()).unwrap_or(DEFAULT_LANGUAGE);
    let rows = book::of_event(&app.database, tenant.as_str(), event).await?;
    if rows.is_empty() {
        return Ok(built_in(event, language, body, &settings));
    }
    let mut chosen: BTreeMap<(String, Option<String>), TemplateRow> = BTreeMap::new();
    let rank = |row: &TemplateRow| (row.language != language, row.language != DEFAULT_LANGUAGE);
    for row in rows.into_iter().filter(|row| row.is_active) {
        let key = (row.name.clone(), row.channel.clone());
        match chosen.get(&key) {
            Some(better) if rank(better) <= rank(&row) => {}
            _ => drop(chosen.insert(key, row)),
        }
    }
    let mut outgoing = Vec::new();
    for row in chosen.into_values() {
        for channel in channels(row.channel.as_deref(), body) {
            let (name, subject) = (row.name.clone(), row.subject.clone());
            let notice = Notice::of(&name, found(row.clone()), &body.context, &settings);
            outgoing.push(Outgoing { channel, subject, notice });
        }
    }
    Ok(outgoing)
}

fn built_in(event: &str, language: &str, body: &TicketEvent, settings: &TenantSettings) -> Vec<Outgoing> {
    let found = notifications::find(event, language).or_else(|| notifications::find(event, DEFAULT_LANGUAGE));
    let Some(one) = found else { return Vec::new() };
    let outgoing = |channel| {
        let (text, language) = (one.text.to_owned(), one.language.to_owned());
        let found = FoundTemplate { text, category: one.category, language };
        Outgoing { channel, subject: None, notice: Notice::of(one.name, found, &body.context, settings) }
    };
    channels(None, body).into_iter().map(outgoing).collect()
}

/// Over which channels a template goes: its own, if that was asked for; one for any channel over those that were asked
/// for, or else the recipient's.
fn channels(own: Option<&str>, body: &TicketEvent) -> Vec<Channel> {
    const ALL: [Channel; 3] = [Channel::Sms, Channel::Mms, Channel::Whatsapp];
    let is_asked = |channel: &Channel| match &body.channels {
        Some(asked) => asked.iter().any(|asked| asked.channel() == *channel),
        None if own.is_some() => true,
        None if body.recipient.trim_start().starts_with("whatsapp:") => *channel == Channel::Whatsapp,
        None => *channel == Channel::Sms,
    };
    ALL.into_iter().filter(|channel| own.is_none_or(|own| own == channel.as_str())).filter(is_asked).collect()
}

/// The channels over which the contact agreed; what the call says about that is recorded first.
async fn agreed(
    app: &App,
    principal: &Principal,
    tenant: &Tenant,
    number: &PhoneNumber,
    outgoing: &[Outgoing],
    consent: Option<bool>,
) -> Result<BTreeSet<Channel>, ApiError> {
    let mut agreed = BTreeSet::new();
    for channel in outgoing.iter().map(|out| out.channel).collect::<BTreeSet<_>>() {
        let recipient = Recipient { channel, number: number.clone() };
        let has_agreed = match consent {
            Some(true) => {
                consents::give(&app.database, tenant, &recipient, &principal.actor).await?;
                true
            }
            Some(false) => {
                consents::withdraw(&app.database, tenant, &recipient).await?;
                false
            }
            None => consents::has(&app.database, tenant, &recipient).await?,
        };
        if has_agreed {
            agreed.insert(channel);
        }
    }
    Ok(agreed)
}

impl Outgoing {
    fn wish(self, tenant: &Tenant, number: &PhoneNumber) -> Wish {
        let mut document = self.notice.document(number.reveal().to_owned());
        document.tenant = Some(tenant.as_str().to_owned());
        document.metadata = metadata(self.subject.as_deref());
        document.channel = Some(match self.channel {
            Channel::Sms => DocumentChannel::Sms,
            Channel::Mms => DocumentChannel::Mms,
            Channel::Whatsapp => DocumentChannel::Whatsapp,
        });
        Wish::of(document)
    }
}

impl Skipped {
    fn of(template: &str, channel: Channel, code: &str, reason: &str) -> Self {
        Self {
            template: template.to_owned(),
            channel: channel.as_str(),
            code: code.to_owned(),
            reason: reason.to_owned(),
        }
    }

    fn refused(template: &str, channel: Channel, reason: &Reason) -> Self {
        let ApiError { sentence, .. } = one::refusal(reason.clone(), FIELDS);
        Self::of(template, channel, reason.code.as_str(), &sentence)
    }
}
