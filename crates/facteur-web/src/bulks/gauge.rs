//! How much of a body is read, and how much more may be before something of it is handed over: what has no end is not
//! gathered in memory until it has one.

use std::cell::Cell;
use std::io::{self, Read};

use axum::http::StatusCode;
use facteur_core::limits::ENVELOPE_BODY_BYTES_MAX;

use crate::error::ApiError;

/// Longest recipient, in bytes of the body: no message that is sent alone may have more.
pub(super) const LINE_BYTES_MAX: usize = ENVELOPE_BODY_BYTES_MAX;

/// Bytes that were read, and up to where they may be.
pub(super) struct Gauge {
    read: Cell<usize>,
    until: Cell<usize>,
    is_over: Cell<bool>,
}

/// What is read through a gauge.
pub(super) struct Gauged<'a, R> {
    pub(super) source: R,
    pub(super) gauge: &'a Gauge,
}

impl Gauge {
    /// So many bytes may be read.
    pub(super) fn new(until: usize) -> Self {
        Self { read: Cell::new(0), until: Cell::new(until), is_over: Cell::new(false) }
    }

    /// Bytes that were read.
    pub(super) fn bytes(&self) -> usize {
        self.read.get()
    }

    /// So many more may be read from here.
    pub(super) fn allow(&self, more: usize) {
        self.until.set(self.read.get() + more);
    }

    /// Whether the reading ended for more than was allowed.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.get()
    }
}

impl<R: Read> Read for Gauged<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.gauge.until.get().saturating_sub(self.gauge.read.get());
        if left == 0 {
            self.gauge.is_over.set(true);
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        let most = into.len().min(left);
        let count = self.source.read(&mut into[..most])?;
        self.gauge.read.set(self.gauge.read.get() + count);
        Ok(count)
    }
}

/// A recipient that is longer than any may be.
pub(super) fn line_too_long(line: u32) -> ApiError {
    let sentence = format!("recipient {line} has more than {LINE_BYTES_MAX} bytes; nothing was sent");
    let error = ApiError {
        sentence: sentence.into(),
        ..ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "")
    };
    error.field(format!("recipients[{}]", line.saturating_sub(1)))
}
