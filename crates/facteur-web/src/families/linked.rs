//! Lists as bare arrays; the next page stands in a `Link` header.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::json::Json;
use crate::page::Page;

/// A page as a bare array. `path_and_query` leads to the list, with its filters and without a cursor.
pub(crate) fn linked<T: Serialize>(page: Page<T>, path_and_query: &str) -> Response {
    let join = if path_and_query.contains('?') { '&' } else { '?' };
    let link =
        page.next_cursor.map(|cursor| format!("<{path_and_query}{join}cursor={cursor}>; rel=\"next\""));
    let mut response = Json(page.data).into_response();
    if let Some(link) = link.and_then(|link| HeaderValue::try_from(link).ok()) {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}

/// The list's path with the filters that were given.
pub(crate) fn path_with(path: &str, filters: &[(&str, Option<String>)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in filters {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let query = query.finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_linked_with_its_filters() {
        let path = path_with("/x", &[("channel", Some("sms".to_owned())), ("event", None)]);
        let page = Page { data: vec![1], next_cursor: Some("abc".to_owned()) };
        let response = linked(page, &path);
        assert_eq!(response.headers()[header::LINK], "</x?channel=sms&cursor=abc>; rel=\"next\"");
        let last = linked(Page::<i32> { data: vec![], next_cursor: None }, &path_with("/x", &[]));
        assert!(!last.headers().contains_key(header::LINK));
    }
}
