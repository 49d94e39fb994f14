//! Lists come in pages: newest first, each with a cursor that says where the next one begins.

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use facteur_postgres::page::{PageOf, Position};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::error::ApiError;

/// Rows of a page if nobody says otherwise, and the most.
const LIMIT_DEFAULT: u16 = 50;
const LIMIT_MAX: u16 = 200;

/// Which page.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// `next_cursor` of the page before; without it, the first page.
    pub(crate) cursor: Option<String>,
    /// Rows of the page: 1 to 200; 50 if absent.
    #[param(minimum = 1, maximum = 200)]
    pub(crate) limit: Option<u16>,
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// The rows, the newest first.
    pub(crate) data: Vec<T>,
    /// Where the next page begins; null on the last one.
    pub(crate) next_cursor: Option<String>,
}

impl PageQuery {
    /// How many rows.
    ///
    /// # Errors
    /// If it is not between 1 and 200.
    pub(crate) fn limit(&self) -> Result<u16, ApiError> {
        match self.limit.unwrap_or(LIMIT_DEFAULT) {
            limit @ 1..=LIMIT_MAX => Ok(limit),
            _ => Err(ApiError::invalid("invalid_field", "`limit` is between 1 and 200").field("limit")),
        }
    }

    /// Where the page begins: after this row; `None` for the first page.
    ///
    /// # Errors
    /// If the cursor is none of ours.
    pub(crate) fn after(&self) -> Result<Option<Position>, ApiError> {
        let Some(cursor) = &self.cursor else { return Ok(None) };
        let read = || {
            let bytes: [u8; 24] = URL_SAFE_NO_PAD.decode(cursor).ok()?.try_into().ok()?;
            let (at, id) = bytes.split_at(8);
            let at_us = i64::from_be_bytes(at.try_into().ok()?);
            Some(Position {
                at: facteur_core::Timestamp::from_microsecond(at_us).ok()?,
                id: uuid::Uuid::from_slice(id).ok()?,
            })
        };
        let unknown =
            ApiError::new(StatusCode::BAD_REQUEST, "cursor_invalid", "`cursor` is not one that a page gave");
        read().map(Some).ok_or_else(|| unknown.field("cursor"))
    }
}

impl<T> From<PageOf<T>> for Page<T> {
    fn from(page: PageOf<T>) -> Self {
        Self { data: page.rows, next_cursor: page.next.map(cursor) }
    }
}

impl<T> Page<T> {
    /// A page out of up to `limit` + 1 rows, each with its position: the one too many says that there is another page.
    pub(crate) fn of(mut rows: Vec<T>, limit: u16, position: impl Fn(&T) -> Position) -> Self {
        let has_more = rows.len() > usize::from(limit);
        rows.truncate(usize::from(limit));
        let next_cursor = rows.last().filter(|_| has_more).map(|row| cursor(position(row)));
        Self { data: rows, next_cursor }
    }

    /// The same page, its rows shown otherwise.
    pub(crate) fn map<U>(self, shown: impl FnMut(T) -> U) -> Page<U> {
        Page { data: self.data.into_iter().map(shown).collect(), next_cursor: self.next_cursor }
    }
}

/// The cursor of a row.
pub(crate) fn cursor(position: Position) -> String {
    let mut bytes = position.at.as_microsecond().to_be_bytes().to_vec();
    bytes.extend(position.id.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_back_to_its_row_and_others_are_refused() {
        let position =
            Position { at: "2026-12-01T08:00:00.123456Z".parse().unwrap(), id: uuid::Uuid::from_u128(7) };
        let page = Page::of(vec![1, 2, 3], 2, |_| position);
        assert_eq!(page.data, [1, 2]);
        let query = |cursor: Option<String>| PageQuery { cursor, limit: None };
        assert_eq!(query(page.next_cursor).after().unwrap(), Some(position));
        assert_eq!(Page::of(vec![1, 2], 2, |_| position).next_cursor, None);
        for wrong in ["", "x", "AAAA", "' OR 1=1"] {
            assert_eq!(query(Some(wrong.to_owned())).after().unwrap_err().code, "cursor_invalid", "{wrong}");
        }
    }
}
