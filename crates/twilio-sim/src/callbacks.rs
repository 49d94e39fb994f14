//! Status callbacks: which ones a message sends, when, and what goes wrong with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::address::Channel;
use crate::clock::Moment;
use crate::dice::hash;
use crate::faults::CallbackFaults;
use crate::message::Message;
use crate::progress::{Status, Step};
use crate::sim::Simulator;
use crate::stats::add_one;

/// The machinery that sends callbacks.
#[derive(Debug)]
pub(crate) struct Callbacks {
    permits: Semaphore,
    pending: AtomicUsize,
    /// Raised by a reset: what was planned before is not sent any more.
    generation: AtomicU64,
    pub(crate) tasks: TaskTracker,
}

impl Callbacks {
    pub(crate) fn new(concurrency: usize) -> Self {
        let permits = Semaphore::new(concurrency.clamp(1, Semaphore::MAX_PERMITS));
        let generation = AtomicU64::new(0);
        Self { permits, pending: AtomicUsize::new(0), generation, tasks: TaskTracker::new() }
    }

    /// Messages with callbacks still to be sent.
    pub(crate) fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    /// Drops what is still to be sent.
    pub(crate) fn forget(&self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
    }
}

/// The callbacks of one message.
#[derive(Debug)]
struct Plan {
    url: String,
    auth_token: Arc<str>,
    sid: String,
    /// The parameters that all of them share.
    common: Vec<(String, String)>,
    channel: Channel,
    deliveries: Vec<Step>,
}

/// Sends the callbacks of a message's changes, each at its time, with the faults in force. `key` seeds them.
pub(crate) fn follow(
    sim: &Arc<Simulator>,
    message: &Message,
    auth_token: &Arc<str>,
    named: Option<&CallbackFaults>,
    key: u64,
) {
    let Some(url) = message.status_callback.clone() else { return };
    let deliveries = with_faults(sim, message.timeline.changes(), named, key);
    if deliveries.is_empty() {
        return;
    }
    let plan = Plan {
        url,
        auth_token: Arc::clone(auth_token),
        sid: message.sid.clone(),
        common: common_parameters(message),
        channel: message.channel,
        deliveries,
    };
    if sim.callbacks.pending.fetch_add(1, Ordering::Relaxed) >= sim.config.callbacks.pending_max {
        sim.callbacks.pending.fetch_sub(1, Ordering::Relaxed);
        let dropped = u64::try_from(plan.deliveries.len()).unwrap_or(u64::MAX);
        sim.counters.callbacks_failed.fetch_add(dropped, Ordering::Relaxed);
        return;
    }
    let generation = sim.callbacks.generation.load(Ordering::Relaxed);
    let sim = Arc::clone(sim);
    sim.callbacks.tasks.clone().spawn(async move {
        tokio::select! {
            () = sim.stop.cancelled() => {}
            () = carry_out(&sim, plan, generation) => {}
        }
        sim.callbacks.pending.fetch_sub(1, Ordering::Relaxed);
    });
}

/// The changes as callbacks in the order in which they leave.
fn with_faults(sim: &Simulator, changes: &[Step], named: Option<&CallbackFaults>, key: u64) -> Vec<Step> {
    let now = sim.clock.now();
    let mut planned = changes.to_vec();
    if let [.., before_last, last] = planned.as_mut_slice()
        && sim.injector.draw_out_of_order(now, named, key)
    {
        sim.counters.fault("callbacks_out_of_order");
        std::mem::swap(&mut before_last.at, &mut last.at);
        std::mem::swap(before_last, last);
    }
    let mut deliveries = Vec::with_capacity(planned.len());
    for (step, index) in planned.into_iter().zip(0_u64..) {
        let ordeal = sim.injector.draw_callback(now, named, hash(&(key, index)));
        if ordeal.missing {
            sim.counters.fault("callbacks_missing");
            continue;
        }
        let mut at = step.at;
        if let Some(delay) = ordeal.late_by {
            sim.counters.fault("callbacks_late");
            at = at.plus(delay);
        }
        deliveries.push(Step { at, ..step });
        if let Some(delay) = ordeal.again_after {
            sim.counters.fault("callbacks_duplicated");
            deliveries.push(Step { at: at.plus(delay), ..step });
        }
    }
    deliveries.sort_by_key(|step| step.at);
    deliveries
}

async fn carry_out(sim: &Simulator, plan: Plan, generation: u64) {
    for step in plan.deliveries {
        sim.clock.sleep_until(step.at).await;
        let is_forgotten = sim.callbacks.generation.load(Ordering::Relaxed) != generation;
        let is_canceled = step.status != Status::Canceled
            && sim.store.with(&plan.sid, |m| m.status(sim.clock.now())) == Some(Status::Canceled);
        if is_forgotten || is_canceled {
            return;
        }
        let form = parameters(&plan.common, plan.channel, step);
        let Ok(_permit) = sim.callbacks.permits.acquire().await else { return };
        let outcome = sim.webhooks.post(&plan.url, &plan.auth_token, &form).await;
        let is_fine = outcome.is_ok_and(|answer| answer.is_success());
        add_one(if is_fine { &sim.counters.callbacks_sent } else { &sim.counters.callbacks_failed });
    }
}

fn common_parameters(message: &Message) -> Vec<(String, String)> {
    let mut form = vec![
        ("AccountSid", message.account_sid.to_string()),
        ("ApiVersion", "2010-04-01".to_owned()),
        ("From", message.from.clone()),
        ("MessageSid", message.sid.clone()),
        ("SmsSid", message.sid.clone()),
        ("To", message.to.clone()),
    ];
    if let Some(service) = &message.service {
        form.push(("MessagingServiceSid", service.clone()));
    }
    if message.channel == Channel::Whatsapp {
        form.push(("ChannelInstallSid", format!("XE{}", &message.sid[2..])));
        form.push(("ChannelPrefix", "whatsapp".to_owned()));
        form.push(("ChannelToAddress", Channel::split(&message.to).1.to_owned()));
    }
    form.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn parameters(common: &[(String, String)], channel: Channel, step: Step) -> Vec<(String, String)> {
    let mut form = common.to_vec();
    let mut add = |name: &str, value: String| form.push((name.to_owned(), value));
    add("MessageStatus", step.status.as_str().to_owned());
    add("SmsStatus", step.status.as_str().to_owned());
    if let Some(code) = step.error {
        add("ErrorCode", code.to_string());
    }
    if channel == Channel::Sms && matches!(step.status, Status::Delivered | Status::Undelivered) {
        add("RawDlrDoneDate", receipt_date(step.at));
    }
    if step.status == Status::Read {
        add("EventType", "READ".to_owned());
    }
    form
}

/// The carrier's date on a receipt, `YYMMDDhhmm`.
fn receipt_date(at: Moment) -> String {
    at.timestamp().strftime("%y%m%d%H%M").to_string()
}
