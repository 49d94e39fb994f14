//! The listener: bounded connections, each with little time to say what it wants, and a soft end.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

/// Longest time for a request's head, and longest silence between two requests of a connection.
const HEAD_MAX: Duration = Duration::from_secs(15);
/// Longest head, and most that a connection reads ahead of its request, in bytes: 64 MiB for all connections together.
const BUFFER_BYTES_MAX: usize = 64 * 1024;
/// Most connections at once; the next ones wait to be accepted.
const CONNECTIONS_MAX: usize = 1_024;
/// Longest time in which a client takes nothing of what is written to it.
const TAKE_MAX: Duration = Duration::from_secs(30);
/// How long open requests may hold up the end.
const CLOSE_MAX: Duration = Duration::from_secs(10);
/// A system that can't accept (no more files) is asked again after this.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);

/// Serves until `stop` is cancelled and the requests that were begun are answered, or 10 s longer.
pub(crate) async fn serve(listener: TcpListener, routes: Router, stop: CancellationToken) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let connections = GracefulShutdown::new();
    while let Some(Some((stream, remote, permit))) =
        stop.run_until_cancelled(accept(&listener, &permits)).await
    {
        // Small answers are not to be held back for larger packets; a socket that refuses is slower, not wrong.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(routes.clone().layer(Extension(remote)));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_MAX)
            .max_buf_size(BUFFER_BYTES_MAX)
            .serve_connection(TokioIo::new(patient(stream)), service);
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(permit);
        });
    }
    drop(listener);
    if tokio::time::timeout(CLOSE_MAX, connections.shutdown()).await.is_err() {
        tracing::warn!("requests that still ran 10 s after the stop were cut off");
    }
}

/// A connection that waits for its client only so long. Whoever asks and never reads the answer would hold one for ever:
/// nothing else ends it, for TCP itself waits as long as the other side says that it is full.
fn patient<S: AsyncRead + AsyncWrite>(stream: S) -> Pin<Box<TimeoutStream<S>>> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(TAKE_MAX));
    Box::pin(stream)
}

/// The next connection; `None` can't happen, for the permits are never closed.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => return Some((stream, remote, permit)),
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted: trying again");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_let_go_and_who_takes_slowly_is_not() {
        let (near, mut far) = tokio::io::duplex(8);
        let mut patient = patient(near);
        let slow = tokio::spawn(async move {
            for _ in 0..8 {
                tokio::time::advance(TAKE_MAX - Duration::from_secs(1)).await;
                far.read_exact(&mut [0; 8]).await.unwrap();
            }
            far
        });
        patient.write_all(&[0; 64]).await.unwrap();
        let _silent = slow.await.unwrap();
        let ended = patient.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
    }
}
