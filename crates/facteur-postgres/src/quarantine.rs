//! The quarantine: webhook requests that could not be verified, or belong to no message of ours, kept for a look.

use crate::batch_error::{BatchFailure, classify};
use crate::pool::Database;

/// Most bytes that are kept of a query string or a body.
const KEPT_BYTES_MAX: usize = 16 * 1024;
/// Most characters that are kept of a header or an account's SID.
const KEPT_CHARS_MAX: usize = 200;
/// Rows that stay; ids have gaps, so there may be fewer.
const ROWS_MAX: i64 = 10_000;

const FILE: &str = "WITH filed AS (INSERT INTO facteur.webhook_quarantine \
         (route, why, account, query, body, signature, remote) VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id) \
     DELETE FROM facteur.webhook_quarantine q USING filed f WHERE q.id <= f.id - $8";

/// One request as it came. Its query and body may hold numbers and texts, so there is no `Debug`.
#[derive(Clone)]
pub struct Quarantined {
    /// Which route it was for.
    pub route: &'static str,
    /// Why it is here: a stable code.
    pub why: &'static str,
    /// The account that it names.
    pub account: Option<String>,
    /// The query string.
    pub query: String,
    /// The body.
    pub body: Vec<u8>,
    /// Its signature.
    pub signature: Option<String>,
    /// The address that it came from, as far as is known.
    pub remote: Option<String>,
}

/// Files a request, cut to 16 KiB, and removes what is older than the last 10,000.
///
/// # Errors
/// The database's, classified.
pub async fn file(database: &Database, request: &Quarantined) -> Result<(), BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(FILE).await.map_err(classify)?;
    let query = cut(&request.query, KEPT_BYTES_MAX);
    let body = request.body.get(..KEPT_BYTES_MAX).unwrap_or(&request.body);
    let [account, signature, remote] = [&request.account, &request.signature, &request.remote]
        .map(|text| text.as_deref().map(|text| cut(text, KEPT_CHARS_MAX)));
    client
        .execute(
            &statement,
            &[&request.route, &request.why, &account, &query, &body, &signature, &remote, &ROWS_MAX],
        )
        .await
        .map_err(classify)?;
    Ok(())
}

/// The text without NUL, which Postgres takes in no text, and no longer than that.
fn cut(text: &str, bytes_max: usize) -> String {
    let end = text.floor_char_boundary(bytes_max);
    text.get(..end).unwrap_or_default().replace('\0', "")
}
