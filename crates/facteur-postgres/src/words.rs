//! Words that people give for the history: who, and why.

use crate::batch_error::BatchFailure;

/// Longest name of an actor, in characters.
pub(crate) const ACTOR_CHARS_MAX: usize = 200;

/// Whether the words may be kept: something, of at most so many characters, and nothing that Postgres can't store.
pub(crate) fn check_words(name: &str, text: &str, chars_max: usize) -> Result<(), BatchFailure> {
    let is_fine = !text.trim().is_empty() && text.chars().count() <= chars_max && !text.contains('\0');
    is_fine
        .then_some(())
        .ok_or_else(|| BatchFailure::Data(format!("the {name} has 1 to {chars_max} characters")))
}
