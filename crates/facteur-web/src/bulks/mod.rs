//! Taking a bulk: its request is read as it comes, judged line by line, and staged in chunks, so that memory stays flat
//! however long it is.
//!
//! A thread reads (`pipe`, then `json_lines` or `csv_lines`); the request's own task judges what it hands over (`judge`)
//! and stages it (`upload`).

mod csv_lines;
mod dry_run;
mod file;
mod gauge;
mod head;
mod json_lines;
mod judge;
mod lines;
mod pipe;
mod request;
mod side;
mod upload;

pub use dry_run::{Preview, RefusedLine};
pub use file::{BulkFile, FileUploaded};
pub use head::BulkHead;
pub(crate) use head::check_rate;
pub(crate) use request::BulkRequest;
pub(crate) use side::BulksSide;
pub(crate) use upload::{Upload, Uploaded, upload};

/// How a request gives its recipients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Csv,
}

/// Other names of fields: the caller's, ours.
pub(crate) type Names = &'static [(&'static str, &'static str)];
