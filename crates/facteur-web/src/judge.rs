//! May this message be sent, and as what? The same rules as in the worker, asked before it is accepted, so that its
//! producer hears of a fault at once.

use std::sync::Arc;

use bytes::Bytes;
use facteur_core::Timestamp;
use facteur_core::document::JobDocument;
use facteur_core::envelope::{Headers, has_nul};
use facteur_core::gate::{self, Facts, Verdict};
use facteur_core::ids::{JobId, Tenant};
use facteur_core::integration::Way;
use facteur_core::job::{Channel, Content, Job, JobDefaults};
use facteur_core::lane::{self, Lane};
use facteur_core::ledger::JobRow;
use facteur_core::limits::ENVELOPE_BODY_BYTES_MAX;
use facteur_core::reason::{Reason, ReasonCode};
use facteur_core::rules::TenantRules;
use facteur_core::schedule::RetrySchedule;
use facteur_core::sender::Sender;
use facteur_postgres::accept::{ACCEPTED_TURN, NewMessage};
use facteur_postgres::windows;
use facteur_postgres::{Asked, FoundTemplate};
use uuid::{NoContext, Uuid};

use crate::error::ApiError;
use crate::state::AppState;

/// A message that somebody wants to be sent.
#[derive(Clone, Default)]
pub(crate) struct Wish {
    /// The job; whose it is stands in `tenant`, or else it is the bearer's own tenant.
    pub(crate) document: JobDocument,
    /// The lane that it should travel in.
    pub(crate) lane: Option<Lane>,
}

impl Wish {
    /// A wish for the lane that its category has.
    pub(crate) fn of(document: JobDocument) -> Self {
        Self { document, lane: None }
    }
}

/// Judges one message of a tenant; the inner error says why it is refused.
///
/// # Errors
/// If the database can't be asked.
pub(crate) async fn judge(
    app: &AppState,
    tenant: &Tenant,
    wish: Wish,
    headers: &Headers,
    now: Timestamp,
) -> Result<Result<NewMessage, Reason>, ApiError> {
    let Wish { mut document, lane: asked } = wish;
    let id = *document.id.get_or_insert_with(|| new_id(now));
    document.tenant = Some(tenant.as_str().to_owned());
    let rules = app.directory.rules_of(tenant).await;
    let template = find_template(app, tenant, &document, &rules).await?;
    document.category = document.category.or(template.as_ref().map(|found| found.category));
    let bytes = match bytes_of(&document) {
        Ok(bytes) => bytes,
        Err(reason) => return Ok(Err(reason)),
    };
    let country = rules.default_country.unwrap_or(app.jobs.defaults.country);
    let job = match Job::from_document(JobId(id), document, &JobDefaults { country }, now) {
        Ok(job) => job,
        Err(reason) => return Ok(Err(reason)),
    };
    let lane = lane::choose(asked, job.category, None);
    let deadline = gate::deadline(&job, Some(now), &RetrySchedule::of(lane), now);
    let mut facts = facts(app, &job, template, rules).await;
    facts.last_inbound_at = last_inbound(app, &job, facts.sender.as_ref()).await?;
    let mut row = JobRow::of(&job, ACCEPTED_TURN, lane, bytes, deadline);
    row.add_origin(headers.clone(), country, Some(now), now);
    Ok(match gate::admit(&job, facts, deadline, now) {
        // What keeps it back for a while, the worker finds: the message joins its line there.
        Verdict::Pass(ready) | Verdict::Hold(_, ready) | Verdict::Wait(_, _, ready) => {
            row.add_ready(&ready);
            Ok(NewMessage { row, not_before: None })
        }
        Verdict::Later(at, ready) => {
            row.add_ready(&ready);
            Ok(NewMessage { row, not_before: Some(at) })
        }
        Verdict::Refuse(_, reason) => Err(reason),
    })
}

/// An id that sorts by the time at which it was made, so that new rows stand together.
pub(crate) fn new_id(now: Timestamp) -> Uuid {
    let seconds = u64::try_from(now.as_second()).unwrap_or_default();
    let nanoseconds = u32::try_from(now.subsec_nanosecond()).unwrap_or_default();
    Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, seconds, nanoseconds))
}

async fn find_template(
    app: &AppState,
    tenant: &Tenant,
    document: &JobDocument,
    rules: &TenantRules,
) -> Result<Option<FoundTemplate>, ApiError> {
    let Some(name) = &document.template else { return Ok(None) };
    let language = document.language.as_deref().or(rules.language.as_deref());
    Ok(app.templates.find(tenant.as_str(), name, language).await?)
}

/// What the gate must know beside the job, without what only the worker can know.
pub(crate) async fn facts(
    app: &AppState,
    job: &Job,
    template: Option<FoundTemplate>,
    rules: Arc<TenantRules>,
) -> Facts {
    let asked = Asked { tenant: &job.tenant, recipient: &job.recipient, named: job.sender.as_ref() };
    let Way { sender, via } = app.directory.way(asked, &app.home).await;
    let sender_owner = match &sender {
        Some(sender) => app.directory.tenant_of(sender.as_str()).await,
        None => None,
    };
    let is_canceled = match job.bulk_id {
        Some(bulk_id) => app.directory.is_canceled(bulk_id).await,
        None => false,
    };
    let template =
        template.filter(|_| matches!(job.content, Content::Template { .. })).map(|found| found.text);
    Facts {
        sender,
        sender_owner,
        via,
        template,
        stored_text: None,
        hold: None,
        is_canceled,
        rules,
        last_inbound_at: None,
    }
}

/// On WhatsApp, and for a text that no template of Twilio's holds: when the recipient last wrote to the sender.
async fn last_inbound(
    app: &AppState,
    job: &Job,
    sender: Option<&Sender>,
) -> Result<Option<Timestamp>, ApiError> {
    let is_free_text = !matches!(job.content, Content::ContentSid { .. });
    match sender {
        Some(sender) if job.recipient.channel == Channel::Whatsapp && is_free_text => {
            Ok(windows::last_inbound(&app.database, sender, &job.recipient.number).await?)
        }
        _ => Ok(None),
    }
}

/// The document as its wake-ups will carry it.
fn bytes_of(document: &JobDocument) -> Result<Bytes, Reason> {
    let text = serde_json::to_string(document)
        .map_err(|_| Reason::new(ReasonCode::MalformedJson, "the message can't be written as JSON"))?;
    if has_nul(&text) {
        return Err(Reason::new(ReasonCode::NulByte, "the message holds a NUL character"));
    }
    if text.len() > ENVELOPE_BODY_BYTES_MAX {
        let sentence = format!("the message has {} bytes as JSON; at most 262144", text.len());
        return Err(Reason::new(ReasonCode::BodyTooLarge, sentence));
    }
    Ok(Bytes::from(text))
}
