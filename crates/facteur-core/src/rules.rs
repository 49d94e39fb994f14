//! A tenant's own rules for what may leave: countries, quiet hours, WhatsApp's window, segments a day. Pure: what the
//! tenant set and what is known come in, and the gate carries out what comes out.
//!
//! What can mend itself waits (quiet hours end, a budget is renewed); what can't is refused with a stable code. The
//! budget itself is counted by the claim, which knows what everybody else has spent.

mod hours;
mod quiet;
mod zones;

use std::time::Duration;

use crate::Timestamp;
use crate::call::CallContent;
use crate::job::{Category, Channel, Job};
use crate::phone::Country;
use crate::reason::{Reason, ReasonCode as Code};
use crate::status::Status;

pub use quiet::Quiet;

/// How long after a contact's last message WhatsApp takes free-form messages to them: 24 hours, the customer service
/// window (Twilio's error 63016 beyond it).
pub const CONVERSATION_WINDOW: Duration = Duration::from_hours(24);

/// What a tenant set; the default sets nothing, so that everything may leave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TenantRules {
    /// The only countries that may be written to; every country if absent.
    pub countries_allowed: Option<Vec<Country>>,
    /// Most segments that leave in one day of the tenant's time zone; no limit if absent.
    pub segments_per_day: Option<u32>,
    /// Whether marketing waits while it is night, or Sunday, where its recipient may be.
    pub has_quiet_hours: bool,
    /// The language of templates for jobs that name none.
    pub language: Option<String>,
    /// The country of numbers without a country code; the configured one if absent.
    pub default_country: Option<Country>,
}

impl TenantRules {
    /// Why the job may never leave, whatever the hour: its country is not allowed, or it costs more than a whole day's
    /// budget. An admin can change both and requeue it.
    #[must_use]
    pub fn refusal(&self, job: &Job, segments: u32) -> Option<(Status, Reason)> {
        if let Some(allowed) = &self.countries_allowed {
            let country = job.recipient.number.country();
            if country.is_none_or(|country| !allowed.contains(&country)) {
                let place = country.map_or("of no country".to_owned(), |country| format!("of {country}"));
                let sentence = format!("is a number {place}, to which {} does not send", job.tenant);
                return Some((Status::Dead, Reason::field(Code::CountryNotAllowed, "to", sentence)));
            }
        }
        let most = self.segments_per_day.filter(|most| segments > *most)?;
        let sentence = format!("costs {segments} segments, and {} has {most} for a whole day", job.tenant);
        Some((Status::Dead, Reason::new(Code::BudgetExceeded, sentence)))
    }

    /// What quiet hours say at this instant: they are for marketing alone.
    #[must_use]
    pub fn quiet(&self, job: &Job, now: Timestamp) -> Quiet {
        if !self.has_quiet_hours || job.category != Category::Marketing {
            return Quiet::Open { until: None };
        }
        match job.recipient.number.country() {
            Some(country) => quiet::judge(hours::of(country), &zones::of(country), now),
            // A satellite phone has no local time.
            None => Quiet::Open { until: None },
        }
    }
}

/// Why WhatsApp would not take this content now: it is not one of its templates, and the contact has been silent for
/// too long. `last_inbound_at` is the contact's last message to this sender; if none is known, WhatsApp decides.
#[must_use]
pub fn window_closed(
    job: &Job,
    content: &CallContent,
    last_inbound_at: Option<Timestamp>,
    now: Timestamp,
) -> Option<Reason> {
    let is_free_form = matches!(content, CallContent::Message { .. });
    if job.recipient.channel != Channel::Whatsapp || !is_free_form {
        return None;
    }
    let heard_at = last_inbound_at?;
    let closes_at = heard_at.checked_add(CONVERSATION_WINDOW).unwrap_or(Timestamp::MAX);
    (closes_at <= now).then(|| {
        let sentence =
            format!("the contact wrote last at {heard_at:.0}; free text was taken until {closes_at:.0}");
        Reason::new(Code::WindowClosed, sentence)
    })
}

/// Names the time zone of the IANA database that this is, in its own spelling.
///
/// # Errors
/// A sentence, if there is none of that name.
pub fn time_zone(name: &str) -> Result<String, String> {
    let zone = zones::find(name).filter(|zone| zone.iana_name().is_some());
    zone.and_then(|zone| zone.iana_name().map(str::to_owned))
        .ok_or_else(|| "is not a time zone such as Europe/Paris".to_owned())
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
