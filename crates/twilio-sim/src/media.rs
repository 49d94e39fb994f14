//! Media: the API answers with a redirect to the store, whose URL opens by its signature alone. There is nothing real in
//! them, for the simulator fetches none: each says what it plays.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::message::Message;
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::resource::{Wanted, content_type};
use crate::sim::Simulator;

/// The store's path begins with the name that Twilio's has in Amazon's.
pub(crate) const STORE_ROUTE: &str = "/media.twiliocdn.com/{account}/{message}/{medium}";

/// Where the API has a medium, as webhooks name it.
pub(crate) fn url(sim: &Simulator, message: &Message, medium: &str) -> String {
    let Message { account_sid, sid, .. } = message;
    format!("{}/2010-04-01/Accounts/{account_sid}/Messages/{sid}/Media/{medium}", sim.url)
}

/// The API's answer about a medium: where the store has it.
pub(crate) fn fetch(sim: &Simulator, wanted: Wanted<'_>, medium: &str) -> Result<Reply, Refusal> {
    let found = wanted.look(sim, |message| {
        let is_there = message.media.iter().any(|one| one.sid == medium);
        is_there.then(|| {
            format!("{}/media.twiliocdn.com/{}/{}/{medium}", sim.url, message.account_sid, message.sid)
        })
    })?;
    found
        .map(|url| Reply::redirect(format!("{url}?Signature=s")))
        .ok_or_else(|| Refusal::not_found(wanted.path))
}

/// The store. Like Amazon's, it refuses whoever shows credentials beside the signature.
pub(crate) async fn store(
    State(sim): State<Arc<Simulator>>,
    Path((account, message, medium)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Response {
    if headers.contains_key(AUTHORIZATION) {
        return (StatusCode::BAD_REQUEST, "Only one auth mechanism allowed").into_response();
    }
    let kind = sim.store.with(&message, |message| {
        let is_it = |one: &&crate::message::Media| *message.account_sid == *account && one.sid == medium;
        message.media.iter().find(is_it).map(|one| content_type(&one.url))
    });
    match kind.flatten() {
        Some(kind) => ([(CONTENT_TYPE, kind)], format!("a simulated {kind}")).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
