//! Dead letters: what a person must look at. Filed by the keeper of the dead queue or by the record itself,
//! listed, shown and sent back to work by [`DeadLetters`].

mod keeper;
mod requeue;

use bytes::Bytes;
use facteur_core::Timestamp;
use facteur_core::ids::JobId;
use tokio_postgres::Row;
use uuid::Uuid;

use facteur_core::ledger::DeadEnvelope;
pub use keeper::Filed;
pub use requeue::{RequeueReport, RequeueRequest, Selection, SkipReason, Skipped};

use crate::batch_error::{BatchFailure, classify};
use crate::pool::{Client, Database};

/// Most letters of one page.
pub const PAGE_ROWS_MAX: u32 = 1_000;

macro_rules! summary_columns {
    () => {
        "id, job_id, tenant, code, field, sentence, routing_key, copies, state, created_at, closed_at, \
         octet_length(body) AS body_bytes"
    };
}

/// A page is found by the place of its first letter, so that new letters shift nothing.
macro_rules! list {
    ($of_state:literal) => {
        concat!(
            "SELECT ",
            summary_columns!(),
            " FROM facteur.dead_letters \
             WHERE ",
            $of_state,
            " AND ($2::text IS NULL OR code = $2) AND ($3::text IS NULL OR tenant = $3) \
               AND (created_at, id) < (coalesce($4::timestamptz, 'infinity'), \
                   coalesce($5::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')) \
             ORDER BY created_at DESC, id DESC LIMIT $6"
        )
    };
}

const LIST: &str = list!("$1::text IS NULL");
/// The index leads to the letters of a state only if it is asked for without a choice.
const LIST_OF_STATE: &str = list!("state = $1");

const SHOW: &str = concat!(
    "SELECT ",
    summary_columns!(),
    ", body, headers FROM facteur.dead_letters WHERE id = $1 OR job_id = $1 \
     ORDER BY (id = $1) DESC, created_at DESC, id DESC LIMIT 1"
);

const OF_JOB: &str = concat!(
    "SELECT ",
    summary_columns!(),
    " FROM facteur.dead_letters WHERE job_id = $1 ORDER BY created_at, id LIMIT 1000"
);

/// What became of a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LetterState {
    /// Waits for a person.
    Open,
    /// Sent back to work.
    Requeued,
    /// Thrown away by a person.
    Discarded,
    /// Evidence settled it.
    Resolved,
}

impl LetterState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Open, Self::Requeued, Self::Discarded, Self::Resolved];

    /// The state's name, as stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Requeued => "requeued",
            Self::Discarded => "discarded",
            Self::Resolved => "resolved",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// A letter without its bytes: nothing here is personal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterSummary {
    /// Identity.
    pub id: Uuid,
    /// The job, if it is known.
    pub job_id: Option<JobId>,
    /// Whose.
    pub tenant: String,
    /// Why, as a stable code.
    pub code: String,
    /// The field at fault.
    pub field: Option<String>,
    /// Why, for a person.
    pub sentence: String,
    /// Routing key that it was published with.
    pub routing_key: String,
    /// How often it came.
    pub copies: u32,
    /// What became of it.
    pub state: LetterState,
    /// When it was filed.
    pub created_at: Timestamp,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
    /// Length of its body, in bytes.
    pub body_bytes: u32,
}

/// A letter with its bytes, which may be personal.
#[derive(Clone, PartialEq)]
pub struct Letter {
    /// All else.
    pub summary: LetterSummary,
    /// The body, byte for byte.
    pub body: Bytes,
    /// Headers and properties.
    pub headers: serde_json::Value,
}

impl std::fmt::Debug for Letter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Letter").field("summary", &self.summary).finish_non_exhaustive()
    }
}

/// Which letters are listed, and from where on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListFilter {
    /// Only these; all if absent.
    pub state: Option<LetterState>,
    /// Only these; all if absent.
    pub code: Option<String>,
    /// Only these; all if absent.
    pub tenant: Option<String>,
    /// The last letter of the page before: its instant and its id.
    pub after: Option<(Timestamp, Uuid)>,
    /// At most so many, up to [`PAGE_ROWS_MAX`]; 0 is taken as 100.
    pub limit: u32,
}

/// The table of dead letters.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    database: Database,
}

impl DeadLetters {
    /// The table in that database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// Files a dead envelope; filing it again is harmless. After each answer the envelope may be acknowledged.
    ///
    /// # Errors
    /// The database's, classified; nothing was changed then.
    pub async fn file(&self, envelope: &DeadEnvelope) -> Result<Filed, BatchFailure> {
        keeper::file(&self.database, envelope).await
    }

    /// Lists letters, the latest first.
    ///
    /// # Errors
    /// The database's, classified.
    pub async fn list(&self, filter: &ListFilter) -> Result<Vec<LetterSummary>, BatchFailure> {
        let limit = i64::from(if filter.limit == 0 { 100 } else { filter.limit.min(PAGE_ROWS_MAX) });
        let state = filter.state.map(LetterState::as_str);
        let (at, id) = filter.after.unzip();
        let client = self.database.client().await?;
        let sql = if state.is_some() { LIST_OF_STATE } else { LIST };
        let statement = client.prepare_cached(sql).await.map_err(classify)?;
        let rows = client
            .query(&statement, &[&state, &filter.code, &filter.tenant, &at, &id, &limit])
            .await
            .map_err(classify)?;
        Ok(rows.iter().map(summary).collect())
    }

    /// The letter of that id, or else the latest letter of the job of that id.
    ///
    /// # Errors
    /// The database's, classified.
    pub async fn show(&self, id: Uuid) -> Result<Option<Letter>, BatchFailure> {
        let client = self.database.client().await?;
        let statement = client.prepare_cached(SHOW).await.map_err(classify)?;
        let row = client.query_opt(&statement, &[&id]).await.map_err(classify)?;
        Ok(row.map(|row| Letter {
            summary: summary(&row),
            body: Bytes::from(row.get::<_, Vec<u8>>("body")),
            headers: row.get("headers"),
        }))
    }

    /// Sends letters back to work: each job gets a new turn, its failures forgiven and a wake-up in the outbox;
    /// at most 1,000 in one transaction. What was done before an error stays done, and asking again is harmless.
    ///
    /// # Errors
    /// The database's, classified; [`BatchFailure::Data`] also if actor or reason are empty or too long.
    pub async fn requeue(&self, request: &RequeueRequest) -> Result<RequeueReport, BatchFailure> {
        requeue::requeue(&self.database, request).await
    }
}

/// All letters of a job, the first first.
pub(crate) async fn of_job(client: &Client, id: JobId) -> Result<Vec<LetterSummary>, BatchFailure> {
    let statement = client.prepare_cached(OF_JOB).await.map_err(classify)?;
    let rows = client.query(&statement, &[&id.0]).await.map_err(classify)?;
    Ok(rows.iter().map(summary).collect())
}

fn summary(row: &Row) -> LetterSummary {
    let count = |column: &str| u32::try_from(row.get::<_, i32>(column)).unwrap_or_default();
    LetterSummary {
        id: row.get("id"),
        job_id: row.get::<_, Option<Uuid>>("job_id").map(JobId),
        tenant: row.get("tenant"),
        code: row.get("code"),
        field: row.get("field"),
        sentence: row.get("sentence"),
        routing_key: row.get("routing_key"),
        copies: count("copies"),
        // The table's CHECK allows no other names; a newer release's is none that we may touch.
        state: LetterState::from_name(row.get("state")).unwrap_or(LetterState::Resolved),
        created_at: row.get("created_at"),
        closed_at: row.get("closed_at"),
        body_bytes: count("body_bytes"),
    }
}
