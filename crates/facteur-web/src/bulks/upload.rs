//! An upload: judged lines are staged chunk by chunk, and one row makes them a bulk. What was cut is resumed under its
//! `Idempotency-Key`, from the first line that is not staged yet.

use axum::body::Body;
use axum::http::StatusCode;
use facteur_core::bulk::BulkState;
use facteur_core::lane;
use facteur_core::price::Currency;
use facteur_postgres::bulks::{self, NewBulk, Opened, StageError};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::dry_run::{DryRun, Preview};
use super::head::BulkHead;
use super::judge::Shared;
use super::lines::{Outlet, Piece, Recipient};
use super::pipe::{Pipe, pipe};
use super::{Format, Names, csv_lines, json_lines};
use crate::access::Principal;
use crate::error::ApiError;
use crate::state::{App, AppState};

/// Pieces that the reading thread is ahead.
const PIECES_AHEAD: usize = 2;

const SUPERSEDED: ApiError = ApiError::new(
    StatusCode::CONFLICT,
    "upload_superseded",
    "another upload with this Idempotency-Key has taken over, or the bulk was cancelled",
);
const BUSY: ApiError = ApiError::busy("too_many_uploads", "other bulks are being uploaded: come again", 10);
const EMPTY: ApiError = ApiError::at(
    StatusCode::UNPROCESSABLE_ENTITY,
    "recipients_missing",
    "recipients",
    "a bulk has at least one recipient",
);
const DEFECT: ApiError =
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the upload could not be read to its end");

/// What is uploaded, and by whom.
pub(crate) struct Upload {
    pub(crate) principal: Principal,
    pub(crate) format: Format,
    /// What the caller calls the fields of a JSON body: theirs, ours; ours are known too.
    pub(crate) names: Names,
    /// What all messages share, where the body does not say it.
    pub(crate) head: Option<BulkHead>,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) request_id: Option<String>,
    pub(crate) is_dry_run: bool,
}

/// What became of an upload.
pub(crate) enum Uploaded {
    /// It is a bulk, now or since an earlier upload of the same key.
    Accepted(Uuid),
    /// What it would be.
    Preview(Box<Preview>),
}

/// Reads an upload to its end.
///
/// # Errors
/// What is wrong with it. Without an idempotency key, or if the request itself is at fault, nothing of it is kept; an
/// upload that was cut can be resumed.
pub(crate) async fn upload(app: &App, upload: Upload, body: Body) -> Result<Uploaded, ApiError> {
    let _share = app.bulks.uploads.take(upload.principal.scope()).ok_or(BUSY)?;
    let (carrying, source) = pipe(body);
    let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
    let (format, names, head) = (upload.format, upload.names, upload.head.clone());
    let reading = tokio::task::spawn_blocking(move || read(source, (format, names), head, sender));
    let carried = tokio::spawn(carrying);
    let taken = take(app, upload, pieces, reading).await;
    // Ended by now, or of no use any more.
    carried.abort();
    taken
}

/// Runs on a thread of its own.
fn read(
    mut source: Pipe,
    (format, names): (Format, Names),
    head: Option<BulkHead>,
    pieces: mpsc::Sender<Piece>,
) -> Result<Option<u32>, ApiError> {
    let mut outlet = Outlet::new(pieces);
    if head.is_some_and(|head| outlet.head(head).is_err()) {
        return Ok(None);
    }
    let result = match format {
        Format::Json => json_lines::read(&mut source, &mut outlet, names),
        Format::Csv => csv_lines::read(&mut source, &mut outlet),
    };
    // A body that ends too early can't be read either: the cause is told.
    source.fault().map_or(result, Err)
}

async fn take(
    app: &App,
    upload: Upload,
    mut pieces: mpsc::Receiver<Piece>,
    reading: JoinHandle<Result<Option<u32>, ApiError>>,
) -> Result<Uploaded, ApiError> {
    let Some(Piece::Head(head)) = pieces.recv().await else {
        drop(pieces);
        return Err(reading.await.map_err(|_| DEFECT)?.err().unwrap_or(DEFECT));
    };
    let id = Uuid::now_v7();
    let tenant = upload.principal.tenant_for(head.tenant.as_deref())?;
    let shared = Shared::of(app, tenant.clone(), &head, id).await?;
    let is_dry_run = upload.is_dry_run;
    let mut ledger = if is_dry_run {
        Ledger::Dry(Box::default())
    } else {
        Ledger::open(app, &upload, &head, &shared, id).await?
    };
    let shared = match ledger.bulk_id() {
        // Resumed: the messages belong to the bulk that was begun.
        Some(known) if known != id => Shared::of(app, tenant, &head, known).await?,
        _ => shared,
    };
    let mut digest = Sha256::new();
    digest.update(head.digest());
    let taken = ledger.take_all(app, &shared, &mut pieces, &mut digest).await;
    drop(pieces);
    let read = reading.await.map_err(|_| DEFECT)?;
    let result = match (taken, read) {
        (Err(error), _) | (Ok(_), Err(error)) => Err(error),
        (Ok(0), Ok(_)) => Err(EMPTY),
        (Ok(total), Ok(Some(_))) => ledger.close(app, total, &digest.finalize(), &upload, &shared).await,
        (Ok(_), Ok(None)) => Err(DEFECT),
    };
    if let (Err(error), Ledger::Staging(staging)) = (&result, &ledger) {
        staging.give_up(app, &upload, error).await;
    }
    result
}

/// Where the lines go.
enum Ledger {
    /// Into the tables.
    Staging(Staging),
    /// Nowhere: they were accepted before, and are only compared.
    Replay { id: Uuid, digest: Vec<u8> },
    /// Nowhere: they are counted.
    Dry(Box<DryRun>),
}

struct Staging {
    id: Uuid,
    token: Uuid,
    /// Lines that an earlier upload has staged.
    staged: u32,
    /// Whether its costs are in the configured currency, which may have been another one when it was begun.
    is_priced: bool,
    /// The chunk that is being written while the next one is judged.
    writing: Option<JoinHandle<Result<i64, StageError>>>,
}

impl Ledger {
    async fn open(
        app: &AppState,
        upload: &Upload,
        head: &BulkHead,
        shared: &Shared,
        id: Uuid,
    ) -> Result<Self, ApiError> {
        let token = Uuid::new_v4();
        let head_digest = head.digest();
        let new = NewBulk {
            id,
            tenant: shared.tenant.as_str(),
            name: head.name.as_deref(),
            document: &shared.document,
            channel: shared.channel.as_str(),
            category: shared.category.as_str(),
            sender: &shared.sender,
            template: head.template.as_deref(),
            rate: head.rate,
            error_ratio_max: head.error_ratio_max,
            starts_at: shared.starts_at,
            expires_at: shared.expires_at,
            idempotency_key: upload.idempotency_key.as_deref(),
            head_digest: &head_digest,
            created_by: &upload.principal.actor,
            upload_token: token,
            currency: app.prices.currency.as_ref().map(Currency::as_str),
        };
        let Opened { id, state, staged, is_same, digest, currency } =
            bulks::open_upload(&app.database, &new).await?;
        match (is_same, state, digest) {
            (false, ..) => Err(key_reused(None)),
            (true, BulkState::Accepting, _) => {
                let is_priced = currency.as_deref() == new.currency;
                Ok(Self::Staging(Staging { id, token, staged, is_priced, writing: None }))
            }
            (true, _, Some(digest)) => Ok(Self::Replay { id, digest }),
            (true, _, None) => Err(SUPERSEDED),
        }
    }

    fn bulk_id(&self) -> Option<Uuid> {
        match self {
            Self::Staging(staging) => Some(staging.id),
            Self::Replay { .. } | Self::Dry(_) => None,
        }
    }

    /// Takes what the reading thread hands over, and returns how many lines that were.
    async fn take_all(
        &mut self,
        app: &AppState,
        shared: &Shared,
        pieces: &mut mpsc::Receiver<Piece>,
        digest: &mut Sha256,
    ) -> Result<u32, ApiError> {
        let mut count = 0;
        while let Some(piece) = pieces.recv().await {
            let Piece::Lines(lines) = piece else { continue };
            let numbered: Vec<(u32, Recipient)> = (count + 1..).zip(lines).collect();
            numbered.iter().for_each(|(_, line)| digest.update(line.digest()));
            count += u32::try_from(numbered.len()).unwrap_or(u32::MAX);
            self.take(app, shared, numbered).await?;
        }
        if let Self::Staging(staging) = self {
            staging.written().await?;
        }
        Ok(count)
    }

    async fn take(
        &mut self,
        app: &AppState,
        shared: &Shared,
        lines: Vec<(u32, Recipient)>,
    ) -> Result<(), ApiError> {
        match self {
            Self::Replay { .. } => Ok(()),
            Self::Staging(staging) => staging.take(app, shared, lines).await,
            Self::Dry(run) => {
                for (number, line) in lines {
                    run.add(shared.judge(app, Uuid::nil(), number, line).await);
                }
                Ok(())
            }
        }
    }

    async fn close(
        &mut self,
        app: &AppState,
        total: u32,
        digest: &[u8],
        upload: &Upload,
        shared: &Shared,
    ) -> Result<Uploaded, ApiError> {
        match self {
            Self::Dry(run) => {
                let preview = std::mem::take(run).preview(&app.prices, shared.channel);
                Ok(Uploaded::Preview(Box::new(preview)))
            }
            Self::Replay { id, digest: known } if known.as_slice() == digest => Ok(Uploaded::Accepted(*id)),
            Self::Replay { .. } => Err(key_reused(None)),
            // Fewer lines than an earlier upload had staged.
            Self::Staging(staging) if total < staging.staged => Err(key_reused(Some(total + 1))),
            Self::Staging(staging) => {
                let lane = lane::choose(None, shared.category, Some(total.into()));
                let request_id = upload.request_id.as_deref();
                bulks::accept(&app.database, staging.id, staging.token, (total, digest, lane), request_id)
                    .await
                    .map_err(staging_error)?;
                tracing::info!(bulk = %staging.id, recipients = total, lane = lane.as_str(), "a bulk was accepted");
                Ok(Uploaded::Accepted(staging.id))
            }
        }
    }
}

impl Staging {
    /// Compares what is staged already, and stages the rest.
    async fn take(
        &mut self,
        app: &AppState,
        shared: &Shared,
        lines: Vec<(u32, Recipient)>,
    ) -> Result<(), ApiError> {
        let (known, new): (Vec<_>, Vec<_>) =
            lines.into_iter().partition(|(number, _)| *number <= self.staged);
        if let (Some((first, _)), Some((last, _))) = (known.first(), known.last()) {
            let digests = bulks::digests(&app.database, self.id, *first, *last).await?;
            let differs = |((_, line), known): (&(u32, Recipient), &Vec<u8>)| line.digest()[..] != known[..];
            if let Some(at) = known.iter().zip(&digests).position(differs) {
                return Err(key_reused(Some(known[at].0)));
            }
        }
        let mut judged = Vec::with_capacity(new.len());
        for (number, line) in new {
            let mut line = shared.judge(app, self.id, number, line).await;
            if let Ok(ready) = &mut line.judged {
                ready.cost = ready.cost.filter(|_| self.is_priced);
            }
            judged.push(line);
        }
        self.written().await?;
        let (database, id, token) = (app.database.clone(), self.id, self.token);
        self.writing = Some(tokio::spawn(async move { bulks::stage(&database, id, token, &judged).await }));
        Ok(())
    }

    /// Waits for the chunk that is being written.
    async fn written(&mut self) -> Result<(), ApiError> {
        match self.writing.take() {
            None => Ok(()),
            Some(writing) => writing.await.map_err(|_| DEFECT)?.map(drop).map_err(staging_error),
        }
    }

    /// What can be resumed is left as it is; a request that can't be accepted frees its key.
    async fn give_up(&self, app: &AppState, upload: &Upload, error: &ApiError) {
        let was_cut = matches!(error.code, "body_broken" | "timeout" | "database_unavailable");
        let is_anothers = matches!(error.code, "upload_superseded" | "idempotency_key_reused");
        if is_anothers || was_cut && upload.idempotency_key.is_some() {
            return;
        }
        let failed = bulks::fail(&app.database, self.id, self.token, error.code).await;
        if let Err(failure) = failed {
            tracing::warn!(bulk = %self.id, %failure, "an upload that can't be accepted is given up in a day");
        }
    }
}

fn key_reused(line: Option<u32>) -> ApiError {
    let sentence = "this Idempotency-Key stands for another bulk: use a new one for a new bulk";
    let error = ApiError::new(StatusCode::CONFLICT, "idempotency_key_reused", sentence);
    line.map_or(error.clone(), |line| error.field(format!("recipients[{}]", line - 1)))
}

fn staging_error(error: StageError) -> ApiError {
    match error {
        StageError::Superseded => SUPERSEDED,
        StageError::Database(failure) => failure.into(),
    }
}
