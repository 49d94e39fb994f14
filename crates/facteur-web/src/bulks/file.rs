//! A bulk out of a file, for the command line: the same reading, judging and staging as over HTTP.

use std::io;

use axum::body::{Body, Bytes};
use futures_util::Stream;
use uuid::Uuid;

use super::head::BulkHead;
use super::upload::{Upload, Uploaded, upload};
use super::{Format, Preview};
use crate::access::Principal;
use crate::web::Web;

/// A file that is to become a bulk.
pub struct BulkFile<S> {
    /// What its messages share.
    pub head: BulkHead,
    /// Under which key the same file is resumed, and never becomes a second bulk.
    pub idempotency_key: String,
    /// Whether it is only told what it would be.
    pub is_dry_run: bool,
    /// Who makes it, for the audit log: `cli:…`.
    pub actor: String,
    /// Its bytes.
    pub bytes: S,
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq)]
pub enum FileUploaded {
    /// It is a bulk, now or since an earlier upload of the same key.
    Accepted(Uuid),
    /// What it would be.
    Preview(Box<Preview>),
}

impl Web {
    /// Makes a bulk of a CSV file.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub async fn upload_file<S>(&self, file: BulkFile<S>) -> Result<FileUploaded, String>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let request = Upload {
            principal: Principal::command(file.actor),
            names: &[],
            format: Format::Csv,
            head: Some(file.head),
            idempotency_key: Some(file.idempotency_key),
            request_id: None,
            is_dry_run: file.is_dry_run,
        };
        match upload(self.app(), request, Body::from_stream(file.bytes)).await {
            Ok(Uploaded::Accepted(id)) => Ok(FileUploaded::Accepted(id)),
            Ok(Uploaded::Preview(preview)) => Ok(FileUploaded::Preview(preview)),
            Err(error) => Err(match error.field {
                Some(field) => format!("{field}: {}", error.sentence),
                None => error.sentence.into_owned(),
            }),
        }
    }
}
