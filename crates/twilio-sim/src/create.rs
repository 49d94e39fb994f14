//! Accepting a message: everything between a valid order and the stored message.

use std::sync::Arc;

use url::Url;

use crate::address::Channel;
use crate::callbacks;
use crate::clock::Moment;
use crate::dice::{dice, hash};
use crate::faults::CallbackFaults;
use crate::message::{Media, Message};
use crate::progress::{Circumstances, Timeline, timeline};
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::sim::{Simulator, Tenant};
use crate::stats::add_one;
use crate::validate::{Form, MAGIC_SENDER, Order, opted_out, order};

/// The sender of a Messaging Service for WhatsApp if none is configured: Twilio's sandbox.
const WHATSAPP_SENDER: &str = "whatsapp:+14155238886";

/// Creates a message, or says why not. `named` are the callback faults that the request itself asked for.
pub(crate) fn create(
    sim: &Arc<Simulator>,
    tenant: &Tenant,
    form: &Form,
    named: Option<&CallbackFaults>,
    now: Moment,
) -> Result<Reply, Refusal> {
    let order = order(form, &sim.config, tenant.account.test, now)?;
    let from = sender(sim, &order);
    let segments = segments(&order);
    if tenant.account.test {
        let way = timeline(&circumstances(&order, now, now, None), &sim.config.progress, &mut dice(0, "", 0));
        return Ok(Reply::json(
            201,
            &message(sim, tenant, order, from, segments, way, now).view_of_creation(),
        ));
    }
    let by_service = order.service.is_some();
    let mut doomed = None;
    if sim.is_opted_out(&order.to) {
        if !by_service {
            return Err(opted_out());
        }
        doomed = Some(21610);
    }
    let mut slot = now;
    if doomed.is_none() {
        match sim.senders.admit(&from, segments, now) {
            Ok(leaves) => slot = leaves,
            // A service has accepted before it learns of its senders' queues.
            Err(_) if by_service => doomed = Some(30001),
            Err(_) => return Err(Refusal::queue_full(sim.config.retry_after_s)),
        }
    }
    let key = count(sim, &order);
    sim.arrivals.note(now, &from, &order.to, segments);
    let facts = circumstances(&order, now, slot, doomed);
    let way = timeline(&facts, &sim.config.progress, &mut dice(sim.config.seed, "fate", key));
    let message = message(sim, tenant, order, from, segments, way, now);
    let reply = Reply::json(201, &message.view_of_creation());
    callbacks::follow(sim, &message, &tenant.auth_token, named, key);
    sim.store.insert(message);
    Ok(reply)
}

/// Counts the message and its copies. What it answers seeds the message's fate: it depends on the message
/// and on how many like it there were, not on the order in which requests arrive.
fn count(sim: &Simulator, order: &Order) -> u64 {
    add_one(&sim.counters.accepted);
    let text = hash(&(&order.to, &order.body, &order.content, &order.media));
    let copy = sim.texts.count(text);
    if let Some(id) = order.status_callback.as_deref().and_then(message_id) {
        sim.message_ids.count(hash(&id));
    }
    hash(&(text, copy))
}

/// The `message` parameter of a status callback: the sender's own id.
fn message_id(callback: &str) -> Option<String> {
    let url = Url::parse(callback).ok()?;
    url.query_pairs().find(|(name, _)| name == "message").map(|(_, id)| id.into_owned())
}

fn circumstances(order: &Order, accepted_at: Moment, slot: Moment, doomed: Option<u32>) -> Circumstances {
    Circumstances {
        accepted_at,
        channel: order.channel,
        by_service: order.service.is_some(),
        send_at: order.send_at,
        slot,
        validity: order.validity,
        doomed,
    }
}

/// The sender: the one that was asked for, or the service's; one recipient always gets the same one.
fn sender(sim: &Simulator, order: &Order) -> String {
    if let Some(from) = &order.from {
        return from.clone();
    }
    let services = sim.config.messaging_services.as_ref();
    let pool = order.service.as_ref().and_then(|sid| services?.get(sid)).filter(|pool| !pool.is_empty());
    match pool {
        Some(pool) => {
            let length = u64::try_from(pool.len()).unwrap_or(1);
            pool[usize::try_from(hash(&order.to) % length).unwrap_or(0)].clone()
        }
        None if order.channel == Channel::Whatsapp => WHATSAPP_SENDER.to_owned(),
        None => MAGIC_SENDER.to_owned(),
    }
}

/// What the message costs of its sender's rate: a plain SMS its segments, anything else 1.
fn segments(order: &Order) -> u32 {
    if order.channel == Channel::Sms && order.media.is_empty() {
        facteur_core::segments::count(&order.body).segments.max(1)
    } else {
        1
    }
}

fn message(
    sim: &Simulator,
    tenant: &Tenant,
    order: Order,
    from: String,
    segments: u32,
    timeline: Timeline,
    now: Moment,
) -> Message {
    let (ordinal, hex) = sim.store.mint();
    let sid = format!("{}{hex}", if order.media.is_empty() { "SM" } else { "MM" });
    Message {
        ordinal,
        sid,
        account_sid: Arc::clone(&tenant.sid),
        to: order.to,
        from,
        service: order.service,
        channel: order.channel,
        body: order.body,
        segments,
        media: media(sim, order.media),
        inbound: false,
        created_at: now,
        edited_at: None,
        timeline,
        status_callback: order.status_callback,
    }
}

/// Gives each medium a SID.
pub(crate) fn media(sim: &Simulator, urls: Vec<String>) -> Vec<Media> {
    urls.into_iter().map(|url| Media { sid: format!("ME{}", sim.store.mint().1), url }).collect()
}
