//! Bulks: a ledger in which every recipient stands in exactly one state. Lines are staged while the request is read
//! (`stage`), become jobs at the bulk's pace (`drip`), and are counted where they stand (`progress`); people stop, try
//! anew and look (`acts`, `lists`).
//!
//! Whoever changes lines of a bulk holds the lock of its row.

mod acts;
mod drip;
mod lists;
mod progress;
mod stage;

pub use acts::{Acted, cancel, retry, set_rate, withdraw};
pub use drip::{Dripped, abandon, drip, open, withdrawing};
pub use lists::{Bulk, BulkFilter, BulkPause, RecipientRow, RecipientsPage, find, list, recipients};
pub use progress::{Progress, progress, public_word};
pub use stage::{NewBulk, NewLine, Opened, Ready, StageError, accept, digests, fail, open_upload, stage};
