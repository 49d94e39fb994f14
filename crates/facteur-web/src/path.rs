//! Parameters in a path: what is not of their form leads nowhere.

use axum::extract::{FromRequestParts, Path as AxumPath};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::error::ApiError;

/// The parameters of a path.
pub(crate) struct Path<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        const NOTHING: ApiError = ApiError::not_found("there is nothing of this id");
        // Postgres takes no NUL in a text.
        if parts.uri.path().contains("%00") {
            return Err(NOTHING);
        }
        let AxumPath(value) = AxumPath::<T>::from_request_parts(parts, state).await.map_err(|_| NOTHING)?;
        Ok(Self(value))
    }
}
