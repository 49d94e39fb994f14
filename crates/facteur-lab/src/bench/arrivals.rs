//! What the simulator saw.

use anyhow::Result;
use serde::Deserialize;

use crate::http::Control;

/// What the simulator counted.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Stats {
    pub(super) accepted: usize,
    pub(super) duplicates_by_recipient_and_text: usize,
    pub(super) callbacks: Callbacks,
}

/// The simulator's callbacks.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Callbacks {
    pub(super) sent: usize,
    pub(super) failed: usize,
}

/// One message at the simulator: microseconds since 1970, From, To, segments.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Arrival {
    pub(super) at_us: u64,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) segments: u32,
}

#[derive(Deserialize)]
struct Page {
    next: usize,
    arrivals: Vec<Arrival>,
}

/// Every message that arrived, in order of time.
pub(super) async fn arrivals(control: &Control) -> Result<Vec<Arrival>> {
    let (mut all, mut after) = (Vec::new(), 0);
    loop {
        let page: Page = control.get(&format!("arrivals?after={after}")).await?;
        if page.arrivals.is_empty() {
            break;
        }
        after = page.next;
        all.extend(page.arrivals);
    }
    all.sort_by_key(|arrival| arrival.at_us);
    Ok(all)
}
