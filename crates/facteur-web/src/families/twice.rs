//! Answers whose fields stand at the top level and under `data`, since applications read both.

use serde::Serialize;
use utoipa::ToSchema;

/// The fields, twice.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Twice<T> {
    #[serde(flatten)]
    top: T,
    /// The same fields again.
    data: T,
}

impl<T: Clone> Twice<T> {
    pub(crate) fn of(fields: T) -> Self {
        Self { top: fields.clone(), data: fields }
    }
}
