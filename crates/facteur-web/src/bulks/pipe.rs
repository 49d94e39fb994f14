//! A request's body, as a thread reads it.

use std::io::{self, Read};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::error::ApiError;

/// Longest body of a bulk, in bytes: 100,000 recipients with some 600 bytes of variables each.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Longest silence within a body.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Pieces of a body that wait for the thread; the sender is held up beyond that.
const PIECES_MAX: usize = 8;

const TOO_LARGE: ApiError = ApiError::at(
    StatusCode::PAYLOAD_TOO_LARGE,
    "body_too_large",
    "recipients",
    "the body of a bulk has at most 64 MiB: divide it; nothing was sent",
);
const SILENT: ApiError = ApiError::new(
    StatusCode::REQUEST_TIMEOUT,
    "timeout",
    "nothing more of the body came for 30 s; with the same Idempotency-Key the upload can be resumed",
);
const BROKEN: ApiError = ApiError::new(
    StatusCode::BAD_REQUEST,
    "body_broken",
    "the body ended before it was whole; with the same Idempotency-Key the upload can be resumed",
);

/// The reading end.
pub(super) struct Pipe {
    pieces: mpsc::Receiver<Result<Bytes, ApiError>>,
    piece: Bytes,
    /// Why nothing more came.
    fault: Option<ApiError>,
}

/// The two ends of a body: a future that carries it, and what a thread reads from.
pub(super) fn pipe(body: Body) -> (impl Future<Output = ()> + Send, Pipe) {
    let (sender, pieces) = mpsc::channel(PIECES_MAX);
    (carry(body, sender), Pipe { pieces, piece: Bytes::new(), fault: None })
}

/// Ends when the body does, or nobody reads it any more.
async fn carry(body: Body, sender: mpsc::Sender<Result<Bytes, ApiError>>) {
    let mut body = body.into_data_stream();
    let mut bytes = 0;
    loop {
        let piece = match timeout(SILENCE_MAX, body.next()).await {
            Ok(None) => return,
            Ok(Some(Ok(piece))) => {
                bytes += piece.len();
                if bytes > BODY_BYTES_MAX { Err(TOO_LARGE) } else { Ok(piece) }
            }
            Ok(Some(Err(_))) => Err(BROKEN),
            Err(_) => Err(SILENT),
        };
        let is_over = piece.is_err();
        if sender.send(piece).await.is_err() || is_over {
            return;
        }
    }
}

impl Pipe {
    /// Why the body ended early, if it did.
    pub(super) fn fault(&mut self) -> Option<ApiError> {
        self.fault.take()
    }
}

impl Read for Pipe {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                None => return Ok(0),
                Some(Ok(piece)) => self.piece = piece,
                Some(Err(fault)) => {
                    self.fault = Some(fault);
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
                }
            }
        }
        let count = self.piece.len().min(into.len());
        into[..count].copy_from_slice(&self.piece.split_to(count));
        Ok(count)
    }
}
