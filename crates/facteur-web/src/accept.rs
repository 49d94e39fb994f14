//! Accepting messages: the one way in for every route that sends. A message that is told to be accepted is committed,
//! together with its wake-up, its audit record and the idempotency key of its request; the broker is not asked.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, StatusCode};
use facteur_core::Timestamp;
use facteur_core::envelope::{HeaderValue, Headers};
use facteur_core::ids::Tenant;
use facteur_core::reason::{Reason, ReasonCode};
use facteur_core::status::Status;
use facteur_postgres::accept::{
    Acceptance, Accepted, AuditEntry, IdempotencyKey, Known, NewMessage, Outcome as Kept,
    REQUEST_MESSAGES_MAX,
};
use facteur_postgres::listing::{self, MessageSummary};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use uuid::Uuid;

use crate::access::Principal;
use crate::error::ApiError;
use crate::judge::{Wish, judge};
use crate::state::AppState;
use crate::term::committing;

/// How long a request waits for a database that is away. What was not committed by then is not tried again, so that
/// nobody's message leaves after its producer was told otherwise.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Longest look at messages that are committed, before they are told as they were then.
const LOOK_MAX: Duration = Duration::from_secs(1);
/// Longest `Idempotency-Key`, in bytes.
const KEY_BYTES_MAX: usize = 255;
/// Headers of a request that its envelopes carry on, for traces.
const TRACE_HEADERS: [&str; 2] = ["traceparent", "tracestate"];
/// Longest of them.
const TRACE_BYTES_MAX: usize = 512;
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const KEY_REUSED: ApiError = ApiError::at(
    StatusCode::UNPROCESSABLE_ENTITY,
    "idempotency_key_reused",
    "Idempotency-Key",
    "this Idempotency-Key already stands for another request",
);
const KEY_INVALID: ApiError = ApiError::at(
    StatusCode::BAD_REQUEST,
    "idempotency_key_invalid",
    "Idempotency-Key",
    "an Idempotency-Key is 1 to 255 visible ASCII characters",
);
const NOTHING: ApiError = ApiError::at(
    StatusCode::UNPROCESSABLE_ENTITY,
    "invalid_field",
    "messages",
    "one request brings 1 to 1,000 messages",
);
const TENANTS_DIFFER: ApiError = ApiError::at(
    StatusCode::UNPROCESSABLE_ENTITY,
    "invalid_field",
    "tenant",
    "the messages of one request belong to one tenant",
);
const GIVEN_UP: ApiError = ApiError::busy(
    "database_unavailable",
    "the database gave no answer in time; repeat the request with the same Idempotency-Key, and nothing is sent twice",
    2,
);

/// What a request says beside its messages.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Under which key it may be repeated: the header `Idempotency-Key`.
    pub(crate) idempotency_key: Option<String>,
    /// The word of the audit log for it: `send_sms`, `send_bulk_sms`, …
    pub(crate) action: &'static str,
    /// The request's id.
    pub(crate) request_id: Option<String>,
    /// Headers that the messages' envelopes carry.
    pub(crate) headers: Headers,
}

impl Options {
    /// As the request's headers say.
    ///
    /// # Errors
    /// If its `Idempotency-Key` can't be one.
    pub(crate) fn of(action: &'static str, headers: &HeaderMap) -> Result<Self, ApiError> {
        let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let idempotency_key = match headers.get(IDEMPOTENCY_KEY) {
            None => None,
            Some(_) => {
                let key = text(&IDEMPOTENCY_KEY).map(str::trim).unwrap_or_default();
                let is_fine = (1..=KEY_BYTES_MAX).contains(&key.len());
                Some(is_fine.then(|| key.to_owned()).ok_or(KEY_INVALID)?)
            }
        };
        let carried = TRACE_HEADERS.into_iter().filter_map(|name| {
            let value = headers.get(name)?.to_str().ok().filter(|value| value.len() <= TRACE_BYTES_MAX)?;
            Some((name.to_owned(), HeaderValue::Text(value.to_owned())))
        });
        let request_id = text(&REQUEST_ID).map(|id| id.chars().take(KEY_BYTES_MAX).collect());
        Ok(Self { idempotency_key, action, request_id, headers: carried.collect() })
    }
}

/// What became of one message of a request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    /// It is committed.
    Accepted(Box<MessageSummary>),
    /// It is not sent, for this reason.
    Refused(Reason),
}

/// What became of a request.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Of each message, in their order.
    pub(crate) outcomes: Vec<Outcome>,
    /// Whether it had been answered before, under its idempotency key: nothing was sent again.
    pub(crate) is_replay: bool,
}

impl Answer {
    /// Waits until the work for every accepted message is over, but not beyond `until`, and tells where each stands
    /// then. Returns whether it is over for all; at once if there is nothing to wait for. They are committed: a database
    /// that can't be asked changes nothing about that.
    pub(crate) async fn wait(&mut self, app: &AppState, until: Instant) -> bool {
        let Some(tenant) = self.accepted().next().map(|message| message.tenant.clone()) else { return false };
        let ids: Vec<Uuid> = self.accepted().map(|message| message.id).collect();
        if !app.waiters.wait(&tenant, &ids, until).await {
            return false;
        }
        let Some(found) = as_they_stand(app, &ids).await else { return false };
        let mut found = by_id(found);
        for outcome in &mut self.outcomes {
            if let Outcome::Accepted(message) = outcome
                && let Some(now) = found.remove(&message.id)
            {
                **message = now;
            }
        }
        true
    }

    fn accepted(&self) -> impl Iterator<Item = &MessageSummary> {
        self.outcomes.iter().filter_map(|outcome| match outcome {
            Outcome::Accepted(message) => Some(&**message),
            Outcome::Refused(_) => None,
        })
    }
}

/// What became of accepted messages by now; `None` if the database does not tell at once.
pub(crate) async fn as_they_stand(app: &AppState, ids: &[Uuid]) -> Option<Vec<MessageSummary>> {
    let told = tokio::time::timeout(LOOK_MAX, listing::by_ids(&app.database, ids)).await;
    told.ok()?.ok()
}

fn by_id(found: Vec<MessageSummary>) -> HashMap<Uuid, MessageSummary> {
    found.into_iter().map(|message| (message.id, message)).collect()
}

/// Judges and accepts the messages of one request: each for itself, and those that are accepted all together.
///
/// # Errors
/// If nothing of the request can be taken: no right, too much at once, a key that stands for another request, or a
/// database that is away.
pub(crate) async fn accept(
    app: &AppState,
    principal: &Principal,
    wishes: Vec<Wish>,
    options: Options,
) -> Result<Answer, ApiError> {
    if wishes.is_empty() || wishes.len() > REQUEST_MESSAGES_MAX {
        return Err(NOTHING);
    }
    let tenant = tenant_of(principal, &wishes)?;
    let _room = app.pressure.enter(tenant.as_str(), wishes.len())?;
    let now = (app.now)();
    let idempotency =
        options.idempotency_key.clone().map(|key| IdempotencyKey { key, digest: digest(&options, &wishes) });
    let judged = judge_all(app, &tenant, wishes, &options.headers, now).await?;
    let kept: Vec<Kept> = judged.iter().map(kept).collect();
    let messages: Vec<NewMessage> = judged.iter().flatten().cloned().collect();
    if messages.is_empty() && idempotency.is_none() {
        return Ok(Answer { outcomes: fresh(judged, &HashMap::new(), now), is_replay: false });
    }
    let request = Acceptance {
        token: Uuid::new_v4(),
        tenant: tenant.as_str().to_owned(),
        audit: Some(audit(principal, &messages, options)),
        messages: messages.into(),
        outcomes: kept.into(),
        idempotency,
        give_up_at: Instant::now() + WAIT_MAX,
    };
    let commit = app.acceptances.accept(request);
    match committing(principal.term.as_deref(), commit).await? {
        Accepted::Done(known) => {
            let known = look_up_known(app, &judged, known).await?;
            Ok(Answer { outcomes: fresh(judged, &known, now), is_replay: false })
        }
        Accepted::Replayed(kept) => Ok(Answer { outcomes: replayed(app, kept).await?, is_replay: true }),
        Accepted::KeyReused => Err(KEY_REUSED),
        Accepted::GivenUp => Err(GIVEN_UP),
    }
}

/// The one tenant of all messages.
fn tenant_of(principal: &Principal, wishes: &[Wish]) -> Result<Tenant, ApiError> {
    let mut tenants = wishes.iter().map(|wish| principal.tenant_for(wish.document.tenant.as_deref()));
    let first = tenants.next().unwrap_or(Err(NOTHING))?;
    for tenant in tenants {
        if tenant? != first {
            return Err(TENANTS_DIFFER);
        }
    }
    Ok(first)
}

async fn judge_all(
    app: &AppState,
    tenant: &Tenant,
    wishes: Vec<Wish>,
    headers: &Headers,
    now: Timestamp,
) -> Result<Vec<Result<NewMessage, Reason>>, ApiError> {
    let (mut judged, mut ids) = (Vec::with_capacity(wishes.len()), HashSet::new());
    for wish in wishes {
        let verdict = judge(app, tenant, wish, headers, now).await?;
        judged.push(match verdict {
            Ok(message) if !ids.insert(message.row.id) => {
                let sentence = "stands there twice: give each message of a request an id of its own, or none";
                Err(Reason::field(ReasonCode::IdConflict, "id", sentence))
            }
            verdict => verdict,
        });
    }
    Ok(judged)
}

/// Tells a repeated request from another one, in any JSON spelling.
fn digest(options: &Options, wishes: &[Wish]) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    part(options.action.as_bytes());
    for wish in wishes {
        part(wish.lane.map_or("", |lane| lane.as_str()).as_bytes());
        // What can't be written as JSON is refused; then nothing was sent, whatever it was.
        part(&serde_json::to_vec(&wish.document).unwrap_or_default());
    }
    hash.finalize().into()
}

fn audit(principal: &Principal, messages: &[NewMessage], options: Options) -> AuditEntry {
    let ids: Vec<Uuid> = messages.iter().map(|message| message.row.id.0).collect();
    let (subject, details) = match ids.as_slice() {
        [id] => (Some(id.to_string()), serde_json::json!({})),
        _ => (None, serde_json::json!({ "messages": ids })),
    };
    let (action, request_id) = (options.action, options.request_id);
    AuditEntry { actor: principal.actor.clone(), action, subject, request_id, details }
}

fn kept(verdict: &Result<NewMessage, Reason>) -> Kept {
    match verdict {
        Ok(message) => Kept::Accepted(message.row.id.0),
        Err(reason) => Kept::Refused {
            code: reason.code.as_str().to_owned(),
            sentence: reason.sentence.clone(),
            field: reason.field.clone(),
        },
    }
}

/// What the ids stand for that were known already.
type KnownMessages = HashMap<Uuid, Stands>;

/// What an id stands for.
enum Stands {
    /// The message, as it stands.
    There(Box<MessageSummary>),
    /// The message, of which there is no more than this: it was cancelled before it came.
    Ended(Status),
    /// Another one.
    Other,
}

async fn look_up_known(
    app: &AppState,
    judged: &[Result<NewMessage, Reason>],
    known: Vec<(usize, Known)>,
) -> Result<KnownMessages, ApiError> {
    if known.is_empty() {
        return Ok(KnownMessages::new());
    }
    let messages: Vec<&NewMessage> = judged.iter().flatten().collect();
    let id = |place: usize| messages.get(place).map(|message| message.row.id.0);
    let stands = |known: Known| match known {
        Known::Same(status) => Stands::Ended(status),
        Known::Other => Stands::Other,
    };
    let mut all: KnownMessages =
        known.iter().filter_map(|(at, known)| Some((id(*at)?, stands(*known)))).collect();
    let same = all.iter().filter(|(_, stands)| matches!(stands, Stands::Ended(_))).map(|(id, _)| *id);
    let found = listing::by_ids(&app.database, &same.collect::<Vec<_>>()).await?;
    all.extend(found.into_iter().map(|message| (message.id, Stands::There(Box::new(message)))));
    Ok(all)
}

fn fresh(judged: Vec<Result<NewMessage, Reason>>, known: &KnownMessages, now: Timestamp) -> Vec<Outcome> {
    let outcome = |verdict: Result<NewMessage, Reason>| match verdict {
        Ok(message) => match known.get(&message.row.id.0) {
            Some(Stands::Other) => {
                let sentence =
                    "already stands for another recipient or text: use a new UUID for a new message";
                Outcome::Refused(Reason::field(ReasonCode::IdConflict, "id", sentence))
            }
            Some(Stands::There(known)) => Outcome::Accepted(known.clone()),
            Some(Stands::Ended(status)) => {
                let reason = ReasonCode::Canceled.as_str().to_owned();
                let message = MessageSummary { status: *status, reason, ..summary(message, now) };
                Outcome::Accepted(Box::new(message))
            }
            None => Outcome::Accepted(Box::new(summary(message, now))),
        },
        Err(reason) => Outcome::Refused(reason),
    };
    judged.into_iter().map(outcome).collect()
}

/// A message that was just accepted.
fn summary(message: NewMessage, now: Timestamp) -> MessageSummary {
    let NewMessage { row, not_before } = message;
    let (status, reason) = match not_before {
        Some(_) => (Status::Scheduled, ReasonCode::Scheduled),
        None => (Status::Waiting, ReasonCode::Enqueued),
    };
    MessageSummary {
        id: row.id.0,
        tenant: row.tenant.as_str().to_owned(),
        status,
        reason: reason.as_str().to_owned(),
        sentence: None,
        channel: row.recipient.channel.as_str().to_owned(),
        category: row.category.as_str().to_owned(),
        lane: Some(row.lane.as_str().to_owned()),
        to: Some(row.recipient.number),
        from: row.sender.map(|sender| sender.as_str().to_owned()),
        text: row.text,
        segments: i32::try_from(row.segments).unwrap_or(i32::MAX),
        bulk_id: row.bulk_id,
        sid: None,
        error_code: None,
        twilio_status: None,
        attempts: 0,
        not_before,
        created_at: now,
        updated_at: now,
    }
}

/// What became of the messages of a request that was answered before, as they stand now.
async fn replayed(app: &AppState, kept: Vec<Kept>) -> Result<Vec<Outcome>, ApiError> {
    let ids: Vec<Uuid> = kept
        .iter()
        .filter_map(|kept| match kept {
            Kept::Accepted(id) => Some(*id),
            Kept::Refused { .. } => None,
        })
        .collect();
    let mut found = by_id(listing::by_ids(&app.database, &ids).await?);
    let outcome = |kept: Kept| match kept {
        Kept::Accepted(id) => match found.remove(&id) {
            Some(message) => Outcome::Accepted(Box::new(message)),
            None => Outcome::Refused(Reason::new(ReasonCode::Expired, "it was accepted, and is erased")),
        },
        Kept::Refused { code, sentence, field } => {
            let code = ReasonCode::from_name(&code).unwrap_or(ReasonCode::InvalidField);
            Outcome::Refused(Reason { code, field, sentence })
        }
    };
    Ok(kept.into_iter().map(outcome).collect())
}
