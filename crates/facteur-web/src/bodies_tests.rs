use axum::body::{Bytes, to_bytes};
use futures_util::{poll, stream};
use std::pin::pin;

use super::*;

const MOST: usize = 4 * 1024 * 1024;
const PIECE: usize = 64 * 1024;

/// A body that does not say how long it is.
fn unmeasured(bytes: usize) -> Request {
    let left = (0..bytes.div_ceil(PIECE)).map(move |at| PIECE.min(bytes - at * PIECE));
    let pieces = left.map(|bytes| Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; bytes])));
    Request::new(Body::from_stream(stream::iter(pieces)))
}

fn measured(bytes: usize) -> Request {
    Request::new(Body::from(vec![b'x'; bytes]))
}

async fn length(request: Request) -> usize {
    to_bytes(request.into_body(), usize::MAX).await.unwrap().len()
}

#[tokio::test]
async fn the_room_of_large_bodies_is_held_until_their_requests_are_answered() {
    let bodies = Bodies::new();
    let mut held = Vec::new();
    for _ in 0..BYTES_EACH_MAX / MOST {
        held.push(bodies.take(measured(MOST), Some("a"), MOST).await.unwrap());
    }
    for more in [measured(FREE_BYTES_MAX + 1), unmeasured(3 * PIECE)] {
        let refused = bodies.take(more, Some("a"), MOST).await.err().unwrap();
        assert_eq!((refused.code, refused.retry_after_s), ("overloaded", Some(1)));
    }
    for small in [measured(FREE_BYTES_MAX), unmeasured(FREE_BYTES_MAX)] {
        let (small, _room) = bodies.take(small, Some("a"), MOST).await.unwrap();
        assert_eq!(length(small).await, FREE_BYTES_MAX, "a small one asks for no room");
    }
    for tenant in ["b", "c", "d"] {
        for _ in 0..BYTES_EACH_MAX / MOST {
            held.push(bodies.take(measured(MOST), Some(tenant), MOST).await.unwrap());
        }
    }
    let refused = bodies.take(measured(MOST), Some("e"), MOST).await.err().unwrap();
    assert_eq!(refused.code, "overloaded", "what all tenants have together is bounded too");
    held.clear();
    let (request, room) = bodies.take(unmeasured(MOST), Some("a"), MOST).await.unwrap();
    assert_eq!((length(request).await, room.unwrap().count()), (MOST, MOST));
}

#[tokio::test]
async fn a_body_that_says_how_long_it_is_has_its_room_before_any_of_it_comes() {
    let bodies = Bodies::new();
    let most = BYTES_EACH_MAX;
    let mut slow = pin!(bodies.take(declared(most), Some("a"), most));
    assert!(poll!(&mut slow).is_pending());
    assert!(bodies.take(measured(FREE_BYTES_MAX + 1), Some("a"), most).await.is_err());
}

#[tokio::test]
async fn what_is_too_long_or_has_no_room_is_passed_over_so_that_its_sender_hears_the_answer() {
    let bodies = Bodies::new();
    for long in [measured(MOST + 1), unmeasured(MOST + 1)] {
        assert_eq!(bodies.take(long, Some("a"), MOST).await.err().unwrap().code, "body_too_large");
    }
    let _all = bodies.take(measured(BYTES_EACH_MAX), Some("a"), BYTES_EACH_MAX).await.unwrap();
    let (sender, mut came) = tokio::sync::mpsc::unbounded_channel();
    let pieces = stream::iter(0..4).map(move |at| {
        sender.send(at).unwrap();
        Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; PIECE]))
    });
    let refused = bodies.take(Request::new(Body::from_stream(pieces)), Some("a"), MOST).await;
    assert_eq!(refused.err().unwrap().code, "overloaded");
    let mut read = Vec::new();
    assert_eq!((came.recv_many(&mut read, 10).await, read), (4, vec![0, 1, 2, 3]));
}

/// A body of that length of which nothing comes.
fn declared(bytes: usize) -> Request {
    struct Silent(u64);

    impl axum::body::HttpBody for Silent {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, std::io::Error>>> {
            std::task::Poll::Pending
        }

        fn size_hint(&self) -> hyper::body::SizeHint {
            hyper::body::SizeHint::with_exact(self.0)
        }
    }
    Request::new(Body::new(Silent(bytes as u64)))
}
