//! What can be done with messages that exist, and the account.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use crate::callbacks;
use crate::clock::Moment;
use crate::message::{Media, Message};
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::sim::{Simulator, Tenant};
use crate::validate::Form;

/// What is asked of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) tenant: &'a Tenant,
    pub(crate) sid: &'a str,
    /// The request's path, for the error message.
    pub(crate) path: &'a str,
    pub(crate) now: Moment,
}

impl Wanted<'_> {
    pub(crate) fn look<T>(self, sim: &Simulator, look: impl FnOnce(&mut Message) -> T) -> Result<T, Refusal> {
        let found = sim
            .store
            .with(self.sid, |message| (message.account_sid == self.tenant.sid).then(|| look(message)));
        found.flatten().ok_or_else(|| Refusal::not_found(self.path))
    }
}

/// The account resource, as far as clients look at it.
pub(crate) fn account(tenant: &Tenant) -> Reply {
    let sid = &tenant.account.sid;
    let uri = format!("/2010-04-01/Accounts/{sid}");
    let created = "Thu, 01 Jan 2026 00:00:00 +0000";
    let account = json!({
        "sid": sid,
        "owner_account_sid": sid,
        "friendly_name": "Twilio simulator",
        "status": "active",
        "type": "Full",
        "date_created": created,
        "date_updated": created,
        "uri": format!("{uri}.json"),
        "subresource_uris": { "messages": format!("{uri}/Messages.json") },
    });
    Reply::json(200, &account)
}

pub(crate) fn fetch(sim: &Simulator, wanted: Wanted<'_>) -> Result<Reply, Refusal> {
    wanted.look(sim, |message| Reply::json(200, &message.view(wanted.now)))
}

/// Redacts (`Body=`) or cancels (`Status=canceled`) a message.
pub(crate) fn update(sim: &Arc<Simulator>, wanted: Wanted<'_>, form: &Form) -> Result<Reply, Refusal> {
    let value = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let redact = match value("Body") {
        None => false,
        Some("") => true,
        Some(_) => return Err(Refusal::bad(20001, "Body can only be updated to the empty string.")),
    };
    let cancel = match value("Status") {
        None => false,
        Some("canceled") => true,
        Some(_) => return Err(Refusal::bad(20001, "Status can only be updated to 'canceled'.")),
    };
    let (reply, canceled) = wanted.look(sim, |message| {
        if cancel && message.timeline.cancel(wanted.now).is_none() {
            return Err(Refusal::bad(30409, "This message cannot be canceled"));
        }
        if redact {
            message.body.clear();
        }
        if redact || cancel {
            message.edited_at = Some(wanted.now);
        }
        Ok((Reply::json(200, &message.view(wanted.now)), cancel.then(|| message.clone())))
    })??;
    if let Some(message) = canceled {
        callbacks::follow(sim, &message, &wanted.tenant.auth_token, None, message.ordinal);
    }
    Ok(reply)
}

pub(crate) fn delete(sim: &Simulator, wanted: Wanted<'_>) -> Result<Reply, Refusal> {
    if wanted.look(sim, |message| message.status(wanted.now).is_final())? {
        sim.store.remove(wanted.sid);
        return Ok(Reply::empty());
    }
    Err(Refusal::new(409, 20009, "Cannot delete message because delivery has not been completed."))
}

#[derive(Debug, Serialize)]
struct MediaView {
    sid: String,
    account_sid: String,
    parent_sid: String,
    content_type: &'static str,
    date_created: String,
    date_updated: String,
    uri: String,
}

/// The media of a message, all on one page: there are at most ten.
pub(crate) fn media_list(sim: &Simulator, wanted: Wanted<'_>) -> Result<Reply, Refusal> {
    let list = wanted.look(sim, |message| -> Vec<MediaView> {
        message.media.iter().map(|medium| media_view(message, medium)).collect()
    })?;
    let uri = format!("{}?PageSize=50&Page=0", wanted.path);
    let page = json!({
        "media_list": list,
        "page": 0,
        "page_size": 50,
        "start": 0,
        "end": list.len().saturating_sub(1),
        "uri": uri,
        "first_page_uri": uri,
        "next_page_uri": null,
        "previous_page_uri": null,
    });
    Ok(Reply::json(200, &page))
}

fn media_view(message: &Message, medium: &Media) -> MediaView {
    let created = message.created_at.rfc2822();
    MediaView {
        sid: medium.sid.clone(),
        account_sid: message.account_sid.to_string(),
        parent_sid: message.sid.clone(),
        content_type: content_type(&medium.url),
        date_created: created.clone(),
        date_updated: created,
        uri: format!(
            "/2010-04-01/Accounts/{}/Messages/{}/Media/{}.json",
            message.account_sid, message.sid, medium.sid
        ),
    }
}

/// A content type by the URL's ending: the simulator does not fetch media.
pub(crate) fn content_type(url: &str) -> &'static str {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    match path.rsplit('.').next() {
        Some("png") => "image/png",
        Some("gif") => "image/gif",
        Some("pdf") => "application/pdf",
        Some("mp4") => "video/mp4",
        Some("ogg") => "audio/ogg",
        _ => "image/jpeg",
    }
}
