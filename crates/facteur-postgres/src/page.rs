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
