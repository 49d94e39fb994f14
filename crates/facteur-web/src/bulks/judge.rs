//! Judging a bulk: once what its messages share, so that a fault of all is told at once, then line by line, by the same
//! gate as a message that is sent alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use facteur_core::Timestamp;
use facteur_core::bulk::job_id;
use facteur_core::document::{DocumentChannel, JobDocument, Scalar};
use facteur_core::gate::{self, Verdict};
use facteur_core::ids::{JobId, Tenant};
use facteur_core::job::{Category, Channel, Job, JobDefaults};
use facteur_core::price::Amount;
use facteur_core::reason::{Reason, ReasonCode as Code};
use facteur_core::rules::TenantRules;
use facteur_core::template::{Template, TemplateError};
use facteur_postgres::Asked;
use facteur_postgres::bulks::{NewLine, Ready};
use uuid::Uuid;

use super::head::BulkHead;
use super::lines::Recipient;
use crate::error::ApiError;
use crate::judge::facts;
use crate::state::AppState;

/// What of a number that is none is kept, so that its sender finds the line.
const KEPT_CHARS_MAX: usize = 40;
/// Longest name of a recipient, in characters.
const NAME_CHARS_MAX: usize = 200;
/// A number to try out what all messages share; nothing is sent to it.
const TRIAL_NUMBER: &str = "+33612345678";

/// What all messages of a bulk share, judged.
pub(super) struct Shared {
    pub(super) tenant: Tenant,
    pub(super) channel: Channel,
    pub(super) category: Category,
    pub(super) sender: String,
    pub(super) starts_at: Option<Timestamp>,
    pub(super) expires_at: Option<Timestamp>,
    /// A job's document without id, recipient and text.
    pub(super) document: serde_json::Value,
    blank: JobDocument,
    text: Option<Template>,
    rules: Arc<TenantRules>,
    now: Timestamp,
}

impl Shared {
    /// Judges what all messages share.
    ///
    /// # Errors
    /// What is wrong with it: no message could leave.
    pub(super) async fn of(
        app: &AppState,
        tenant: Tenant,
        head: &BulkHead,
        bulk: Uuid,
    ) -> Result<Self, ApiError> {
        head.check()?;
        if [&head.body, &head.template, &head.content_sid].into_iter().flatten().count() > 1 {
            return Err(ambiguous());
        }
        let rules = app.directory.rules_of(&tenant).await;
        let language = head.language.as_deref().or(rules.language.as_deref());
        let found = match &head.template {
            Some(name) => {
                Some(app.templates.find(tenant.as_str(), name, language).await?.ok_or_else(|| {
                    ApiError::from(Reason::field(Code::TemplateUnknown, "template", "does not exist"))
                })?)
            }
            None => None,
        };
        let category = head.category.or(found.as_ref().map(|found| found.category)).unwrap_or_default();
        let text = text(head, found.map(|found| found.text))?;
        let now = (app.now)();
        let mut blank = JobDocument {
            tenant: Some(tenant.as_str().to_owned()),
            channel: channel(head)?,
            from: head.from.clone(),
            media_urls: head.media_url.clone().map(|url| vec![url]),
            content_sid: head.content_sid.clone(),
            category: Some(category),
            expires_at: head.expires_at.clone(),
            bulk_id: Some(bulk),
            ..JobDocument::default()
        };
        let trial = JobDocument {
            to: Some(TRIAL_NUMBER.to_owned()),
            body: text.as_ref().map(|_| "trial".to_owned()),
            send_at: head.send_at.clone(),
            ..blank.clone()
        };
        let trial = Job::from_document(JobId(bulk), trial, &app.jobs.defaults, now)?;
        let channel = trial.recipient.channel;
        let asked = Asked { tenant: &tenant, recipient: &trial.recipient, named: trial.sender.as_ref() };
        let sender = app.directory.way(asked, &app.home).await.sender;
        // A bulk leaves from one sender, also where a pool stands behind it; workers may have another default.
        blank.from = sender.as_ref().map(ToString::to_string);
        blank.channel = Some(match channel {
            Channel::Sms => DocumentChannel::Sms,
            Channel::Mms => DocumentChannel::Mms,
            Channel::Whatsapp => DocumentChannel::Whatsapp,
        });
        let document = serde_json::to_value(&blank)
            .map_err(|_| ApiError::invalid("malformed_json", "the bulk can't be written as JSON"))?;
        let shared = Self {
            tenant,
            channel,
            category,
            sender: sender.as_ref().map(ToString::to_string).unwrap_or_default(),
            starts_at: trial.send_at,
            expires_at: trial.expires_at,
            document,
            blank,
            text,
            rules,
            now,
        };
        // To which countries the tenant writes is asked for each line.
        let no_rules = Arc::default();
        match shared.admit(app, &Job { sender, send_at: None, ..trial }, no_rules).await {
            Verdict::Refuse(_, reason) => Err(reason.into()),
            Verdict::Pass(_) | Verdict::Later(..) | Verdict::Wait(..) | Verdict::Hold(..) => Ok(shared),
        }
    }

    /// What would keep it back for a while is left to the worker.
    async fn admit(&self, app: &AppState, job: &Job, rules: Arc<TenantRules>) -> Verdict {
        let facts = facts(app, job, None, rules).await;
        gate::admit(job, facts, self.expires_at.unwrap_or(Timestamp::MAX), self.now)
    }

    /// Judges a line of the bulk.
    pub(super) async fn judge(&self, app: &AppState, bulk: Uuid, line: u32, given: Recipient) -> NewLine {
        let digest = given.digest();
        let kept = |text: &str, chars| text.replace('\0', "").chars().take(chars).collect::<String>();
        let (to, name) =
            (kept(&given.to, KEPT_CHARS_MAX), given.name.as_deref().map(|name| kept(name, NAME_CHARS_MAX)));
        match self.ready(app, job_id(bulk, line, 0), given).await {
            Ok((recipient, ready)) => NewLine { line, recipient, name, digest, judged: Ok(ready) },
            Err(reason) => NewLine { line, recipient: to, name, digest, judged: Err(reason) },
        }
    }

    async fn ready(&self, app: &AppState, id: JobId, given: Recipient) -> Result<(String, Ready), Reason> {
        let Recipient { to, name, mut variables } = given;
        if let Some(name) = name {
            variables.entry("name".to_owned()).or_insert(Scalar::Text(name));
        }
        let values: BTreeMap<String, String> =
            variables.iter().map(|(name, value)| (name.clone(), value.to_text())).collect();
        let has_nul = |text: &str| text.contains('\0');
        if has_nul(&to) || values.iter().any(|(name, value)| has_nul(name) || has_nul(value)) {
            return Err(Reason::new(Code::NulByte, "the line holds a NUL character"));
        }
        let text =
            self.text.as_ref().map(|template| template.render(&values)).transpose().map_err(missing)?;
        let is_twilios = self.blank.content_sid.is_some();
        let document = JobDocument {
            to: Some(to),
            body: text.clone(),
            content_variables: is_twilios.then_some(variables),
            ..self.blank.clone()
        };
        let country = self.rules.default_country.unwrap_or(app.jobs.defaults.country);
        let job = Job::from_document(id, document, &JobDefaults { country }, self.now)?;
        let ready = match self.admit(app, &job, Arc::clone(&self.rules)).await {
            Verdict::Pass(ready)
            | Verdict::Later(_, ready)
            | Verdict::Wait(_, _, ready)
            | Verdict::Hold(_, ready) => ready,
            Verdict::Refuse(_, reason) => return Err(reason),
        };
        let variables = is_twilios.then(|| serde_json::json!(values));
        let (segments, fingerprint) = (ready.segments, job.fingerprint().0);
        let cost = self.cost(app, &job, segments);
        let recipient = job.recipient.number.reveal().to_owned();
        Ok((recipient, Ready { job_id: id.0, text, variables, segments, cost, fingerprint }))
    }

    /// Numbers are looked up only where a price is configured.
    fn cost(&self, app: &AppState, job: &Job, segments: u32) -> Option<Amount> {
        let has_price = !app.prices.tariff(self.channel).is_empty();
        let country = || job.recipient.number.country();
        has_price.then(|| app.prices.estimate(self.channel, country(), segments)).flatten()
    }
}

/// The text that every line renders; `None` where Twilio renders it, or there are media alone.
fn text(head: &BulkHead, of_template: Option<String>) -> Result<Option<Template>, ApiError> {
    let (field, text) = match (of_template, &head.body) {
        (Some(text), _) => ("template", text),
        (None, Some(body)) => ("body", body.clone()),
        (None, None) if head.content_sid.is_some() || head.media_url.is_some() => return Ok(None),
        (None, None) => {
            let sentence = "one of `body`, `template`, `content_sid` or `media_url` says what is sent";
            return Err(ApiError::invalid(Code::ContentMissing.as_str(), sentence).field("body"));
        }
    };
    let parsed = Template::parse(&text);
    parsed.map(Some).map_err(|error| ApiError::invalid("invalid_field", error.to_string()).field(field))
}

fn ambiguous() -> ApiError {
    let sentence = "`body`, `template` and `content_sid` exclude each other";
    ApiError::invalid(Code::ContentAmbiguous.as_str(), sentence).field("body")
}

fn channel(head: &BulkHead) -> Result<Option<DocumentChannel>, ApiError> {
    match head.channel.as_deref() {
        None | Some("sms") => Ok(Some(DocumentChannel::Sms)),
        Some("mms") => Ok(Some(DocumentChannel::Mms)),
        Some("whatsapp") => Ok(Some(DocumentChannel::Whatsapp)),
        Some(_) => {
            Err(ApiError::invalid("invalid_field", "`channel` is sms, mms or whatsapp").field("channel"))
        }
    }
}

fn missing(error: TemplateError) -> Reason {
    Reason::field(Code::VariableMissing, "variables", error.to_string())
}
