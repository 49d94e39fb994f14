use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

use super::super::lines::{CHUNK_LINES_MAX, Piece};
use std::io;

use super::*;

/// An endless array of recipients, of which the lines that were read are counted.
struct Endless {
    head: &'static [u8],
    lines: Arc<AtomicUsize>,
    rest: Vec<u8>,
}

impl Read for Endless {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if !self.head.is_empty() {
            return self.head.read(into);
        }
        if self.rest.is_empty() {
            let number = self.lines.fetch_add(1, Ordering::SeqCst);
            self.rest =
                format!("{{\"to\":\"+336{number:08}\",\"variables\":{{\"x\":\"{}\"}}}},", "y".repeat(200))
                    .into();
        }
        let count = self.rest.len().min(into.len());
        into[..count].copy_from_slice(&self.rest[..count]);
        self.rest.drain(..count);
        Ok(count)
    }
}

#[test]
fn no_more_is_read_than_a_few_chunks_ahead_of_who_takes_them() {
    let (sender, mut pieces) = mpsc::channel(2);
    let lines = Arc::new(AtomicUsize::new(0));
    let mut source =
        Endless { head: b"{\"body\":\"x\",\"recipients\":[", lines: Arc::clone(&lines), rest: Vec::new() };
    let reading = std::thread::spawn(move || {
        read(&mut source, &mut Outlet::new(sender), &[]).map_err(|error| error.code)
    });
    assert!(matches!(pieces.blocking_recv(), Some(Piece::Head(_))));
    let mut taken = 0;
    for _ in 0..20 {
        let Some(Piece::Lines(chunk)) = pieces.blocking_recv() else { panic!("lines come") };
        assert!(chunk.len() <= CHUNK_LINES_MAX);
        taken += chunk.len();
        let ahead = lines.load(Ordering::SeqCst) - taken;
        // What is kept while the order of the fields is open, and what is on its way.
        assert!(ahead <= ANY_ORDER_BYTES_MAX / 200 + 4 * CHUNK_LINES_MAX, "{ahead} lines are held in memory");
    }
    drop(pieces);
    assert_eq!(reading.join().unwrap(), Ok(None), "the reading ends when nobody takes the lines");
}

#[test]
fn fields_may_stand_in_any_order_in_a_short_body_and_not_behind_many_recipients() {
    let outcome = |body: String| {
        let (sender, mut pieces) = mpsc::channel(1_000);
        let result = read(&mut body.as_bytes(), &mut Outlet::new(sender), &[]).map_err(|error| error.code);
        let head = matches!(pieces.blocking_recv(), Some(Piece::Head(head)) if head.from.is_some());
        (result, head)
    };
    let many = |count: usize| vec!["{\"to\":\"+33612345678\"}"; count].join(",");
    let behind = |count| format!("{{\"body\":\"x\",\"recipients\":[{}],\"from\":\"y\"}}", many(count));
    assert_eq!(outcome(behind(10)), (Ok(Some(10)), true));
    assert_eq!(outcome(behind(60_000)).0, Err("recipients_first"));
    let without = format!("{{\"recipients\":[{}],\"from\":\"y\",\"body\":\"x\"}}", many(60_000));
    assert_eq!(outcome(without), (Ok(Some(60_000)), true));
}

/// So many bytes of a pattern between a begin and an end, without their memory.
fn long(begin: &'static str, pattern: &'static str, bytes: usize, end: &'static str) -> impl Read {
    let times = bytes / pattern.len();
    let middle = std::iter::repeat_n(pattern.as_bytes(), times);
    let parts = std::iter::once(begin.as_bytes()).chain(middle).chain([end.as_bytes()]);
    let (mut parts, mut part) = (parts, &b""[..]);
    ReadWith(move |into: &mut [u8]| {
        while part.is_empty() {
            let Some(next) = parts.next() else { return Ok(0) };
            part = next;
        }
        part.read(into)
    })
}

struct ReadWith<F>(F);

impl<F: FnMut(&mut [u8]) -> io::Result<usize>> Read for ReadWith<F> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        (self.0)(into)
    }
}

#[test]
fn nothing_of_a_body_is_gathered_without_end() {
    const MANY: usize = 9 * 1024 * 1024;
    let rows = [
        // A value of one field, a list of lists, and a list of fields, before any recipient.
        (long("{\"body\":\"", "x", MANY, "\"}"), "recipients_first"),
        (long("{\"body\":[", "[],", MANY, "[]]}"), "recipients_first"),
        (long("{", "\"body\":1,", MANY, "\"x\":1}"), "invalid_field"),
        // A recipient: its number, its variables, one that is not known.
        (long("{\"body\":\"x\",\"recipients\":[{\"to\":\"", "3", MANY, "\"}]}"), "body_too_large"),
        (long("{\"recipients\":[{\"to\":\"", "3", MANY, "\"}]}"), "body_too_large"),
        (
            long("{\"body\":\"x\",\"recipients\":[{\"to\":\"3\",\"variables\":{", "\"a\":1,", MANY, "}}]}"),
            "body_too_large",
        ),
        // More recipients than there may be, while it is not known what they get.
        (
            long("{\"recipients\":[{\"to\":\"\"}", ",{\"to\":\"\"}", 6 * 1024 * 1024, "]}"),
            "too_many_recipients",
        ),
    ];
    for (number, (mut source, expected)) in rows.into_iter().enumerate() {
        let (sender, mut pieces) = mpsc::channel(1_000);
        let result = read(&mut source, &mut Outlet::new(sender), &[]).map_err(|error| error.code);
        assert_eq!(result, Err(expected), "row {number}");
        while let Ok(piece) = pieces.try_recv() {
            assert!(matches!(piece, Piece::Head(_)), "row {number}");
        }
    }
}
