//! Where a page of a list begins: keyset pagination over `(created_at, id)`, the newest first.

use facteur_core::Timestamp;
use uuid::Uuid;

/// A row's place in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// When it was created.
    pub at: Timestamp,
    /// Its id, which decides between rows of the same microsecond.
    pub id: Uuid,
}

/// Most rows that are looked at for a page of what a filter chooses and no index leads to: such a page may be short or
/// empty, and says where the next one begins.
pub(crate) const SCANNED_MAX: i64 = 20_000;

/// A page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct PageOf<T> {
    /// The rows, the newest first.
    pub rows: Vec<T>,
    /// After which place the next page begins; `None` if there is none.
    pub next: Option<Position>,
}

impl<T> PageOf<T> {
    /// A page out of up to `limit` + 1 rows; `scan_end` is where the looking was given up.
    pub(crate) fn cut(
        mut rows: Vec<T>,
        limit: usize,
        position: impl Fn(&T) -> Position,
        scan_end: Option<Position>,
    ) -> Self {
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let next = if has_more { rows.last().map(position) } else { scan_end };
        Self { rows, next }
    }
}
