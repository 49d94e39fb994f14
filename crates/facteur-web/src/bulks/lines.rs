//! A bulk's lines as they are given, and how they come from the thread that reads them.

use std::collections::BTreeMap;

use facteur_core::bulk::RECIPIENTS_MAX;
use facteur_core::document::Scalar;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use utoipa::ToSchema;

use super::head::BulkHead;
use crate::error::ApiError;
use crate::shape::ScalarShape;

/// Lines that are handed over at once: as many as are staged at once.
pub(super) const CHUNK_LINES_MAX: usize = 1_000;
/// Bytes of texts after which a chunk is handed over with fewer lines.
const CHUNK_BYTES_MAX: usize = 1024 * 1024;

/// A recipient of a bulk.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recipient {
    /// The number, in international or national form.
    #[serde(alias = "phone_number", alias = "phone")]
    #[schema(example = "+33612345678")]
    pub(crate) to: String,
    /// The recipient's name: a variable like the others, and shown in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "Jean Dupont")]
    pub(crate) name: Option<String>,
    /// Values of the placeholders.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, ScalarShape>)]
    pub(crate) variables: BTreeMap<String, Scalar>,
}

impl Recipient {
    /// What tells this line from another one.
    pub(super) fn digest(&self) -> [u8; 16] {
        let mut hash = Sha256::new();
        // Lengths go before parts, so that no two lists of parts read the same.
        let mut part = |text: &str| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        };
        part(&self.to);
        part(self.name.as_deref().unwrap_or_default());
        for (name, value) in &self.variables {
            part(name);
            part(&value.to_text());
        }
        let mut digest = [0; 16];
        digest.copy_from_slice(&hash.finalize()[..16]);
        digest
    }

    fn bytes(&self) -> usize {
        let text = |value: &Scalar| if let Scalar::Text(text) = value { text.len() } else { 8 };
        let variables = self.variables.iter().map(|(name, value)| name.len() + text(value));
        self.to.len() + self.name.as_ref().map_or(0, String::len) + variables.sum::<usize>()
    }
}

/// What the reading thread hands over.
pub(super) enum Piece {
    /// All but the recipients; comes first, and once.
    Head(Box<BulkHead>),
    /// The next lines.
    Lines(Vec<Recipient>),
}

/// Gathers lines and hands them over; stops the reading when nobody takes them.
pub(super) struct Outlet {
    pieces: mpsc::Sender<Piece>,
    gathered: Vec<Recipient>,
    bytes: usize,
    count: u32,
}

/// Nobody waits for the lines any more.
#[derive(Debug)]
pub(super) struct Gone;

impl Outlet {
    pub(super) fn new(pieces: mpsc::Sender<Piece>) -> Self {
        Self { pieces, gathered: Vec::new(), bytes: 0, count: 0 }
    }

    pub(super) fn head(&mut self, head: BulkHead) -> Result<(), Gone> {
        self.pieces.blocking_send(Piece::Head(Box::new(head))).map_err(|_| Gone)
    }

    /// Takes a line; the inner error is the request's fault.
    pub(super) fn line(&mut self, line: Recipient) -> Result<Result<(), ApiError>, Gone> {
        self.count += 1;
        if self.count > RECIPIENTS_MAX {
            return Ok(Err(too_many()));
        }
        self.bytes += line.bytes();
        self.gathered.push(line);
        if self.gathered.len() >= CHUNK_LINES_MAX || self.bytes >= CHUNK_BYTES_MAX {
            self.flush()?;
        }
        Ok(Ok(()))
    }

    pub(super) fn flush(&mut self) -> Result<(), Gone> {
        let lines = std::mem::take(&mut self.gathered);
        self.bytes = 0;
        if lines.is_empty() {
            return Ok(());
        }
        self.pieces.blocking_send(Piece::Lines(lines)).map_err(|_| Gone)
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }
}

pub(super) fn too_many() -> ApiError {
    let sentence = format!("a bulk has at most {RECIPIENTS_MAX} recipients: divide it; nothing was sent");
    ApiError {
        status: axum::http::StatusCode::PAYLOAD_TOO_LARGE,
        ..ApiError::invalid("too_many_recipients", sentence)
    }
    .field("recipients")
}
