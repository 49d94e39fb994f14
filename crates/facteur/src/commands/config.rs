//! `facteur config`: what holds, where it comes from, and what is wrong with it.

use facteur_core::job::Channel;
use facteur_core::lane::Lane;
use facteur_core::schedule::{Draw, RetrySchedule};
use serde::Serialize;

use crate::config::{Loaded, Problems, masked};
use crate::exit::Exit;
use crate::output::{Output, table};

/// Prints every value with where it comes from, and what follows from them.
///
/// # Errors
/// If stdout can't be written.
pub fn show(loaded: &Loaded, output: Output) -> anyhow::Result<Exit> {
    output.show(&Shown::of(loaded), Shown::as_text)?;
    Ok(Exit::Done)
}

/// Says whether a worker could start with this configuration.
///
/// # Errors
/// [`Problems`], if it could not.
pub fn check(loaded: &Loaded, output: Output) -> anyhow::Result<Exit> {
    output.show(&Checked::of(loaded)?, Checked::as_text)?;
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct Shown {
    settings: Vec<ShownSetting>,
    permits: Vec<ShownPermits>,
    retries: Vec<ShownRetries>,
}

#[derive(Serialize)]
struct ShownSetting {
    key: &'static str,
    value: Option<String>,
    origin: &'static str,
    environment: &'static str,
}

#[derive(Serialize)]
struct ShownPermits {
    lane: &'static str,
    jobs_at_once: u32,
}

/// The schedule of a lane, without jitter.
#[derive(Serialize)]
struct ShownRetries {
    lane: &'static str,
    delays_s: Vec<f64>,
    failures_max: u32,
    age_max_s: u64,
}

impl Shown {
    fn of(loaded: &Loaded) -> Self {
        let setting = |value: &crate::config::Value| ShownSetting {
            key: value.setting.key,
            value: masked(value),
            origin: value.origin.as_str(),
            environment: value.setting.env,
        };
        let worker = &loaded.config.worker;
        let retries = |lane: Lane| {
            let schedule = RetrySchedule::of(lane);
            let middle = Draw(0.5);
            let delays = (1..schedule.failures_max).map(|n| schedule.delay(n, middle, None).as_secs_f64());
            ShownRetries {
                lane: lane.as_str(),
                delays_s: delays.collect(),
                failures_max: schedule.failures_max,
                age_max_s: schedule.age_max.as_secs(),
            }
        };
        Self {
            settings: loaded.values.iter().map(setting).collect(),
            permits: Lane::ALL
                .iter()
                .map(|lane| ShownPermits { lane: lane.as_str(), jobs_at_once: worker.permits(*lane) })
                .collect(),
            retries: Lane::ALL.into_iter().map(retries).collect(),
        }
    }

    fn as_text(&self) -> String {
        let mut settings = table(&["setting", "value", "from", "environment"]);
        for setting in &self.settings {
            let value = setting.value.as_deref().unwrap_or("-");
            settings.add_row([setting.key, value, setting.origin, setting.environment]);
        }
        let mut lanes = table(&["lane", "jobs at once", "retries after (s, ±20 %)", "gives up after"]);
        for (permits, retries) in self.permits.iter().zip(&self.retries) {
            let delays = retries.delays_s.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let end = format!("{} failures or {}", retries.failures_max, in_words(retries.age_max_s));
            lanes.add_row([permits.lane.to_owned(), permits.jobs_at_once.to_string(), delays, end]);
        }
        format!("{settings}\n\n{lanes}")
    }
}

/// A time in the largest unit in which it is a whole number.
fn in_words(seconds: u64) -> String {
    match seconds {
        seconds if seconds.is_multiple_of(3_600) => format!("{} h", seconds / 3_600),
        seconds if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}

#[derive(Serialize)]
struct Checked {
    ok: bool,
    hints: Vec<String>,
}

impl Checked {
    fn of(loaded: &Loaded) -> Result<Self, Problems> {
        loaded.config.twilio.credentials()?;
        Ok(Self { ok: true, hints: hints(loaded) })
    }

    fn as_text(&self) -> String {
        let hints = self.hints.iter().map(|hint| format!("\nhint: {hint}"));
        format!("the configuration is fine{}", hints.collect::<String>())
    }
}

/// What works, but hardly as it is meant to.
pub(super) fn hints(loaded: &Loaded) -> Vec<String> {
    let (twilio, worker) = (&loaded.config.twilio, &loaded.config.worker);
    let has_signature = twilio.credentials().is_ok_and(|credentials| !credentials.signing_tokens.is_empty());
    let is_open =
        worker.public_url.as_ref().is_some_and(|url| url.scheme() == "http") && !twilio.is_on_loopback();
    let rows = [
        (
            twilio.default_sender(Channel::Sms).is_none(),
            "no default sender: jobs without `from` are refused; set TWILIO_PHONE_NUMBER or \
             TWILIO_MESSAGING_SERVICE_SID",
        ),
        (
            worker.public_url.is_some() && !has_signature,
            "callbacks can't be verified: only the auth token signs them; set TWILIO_AUTH_TOKEN besides the API key",
        ),
        (is_open, "callbacks travel in clear: give FACTEUR_PUBLIC_URL as https"),
    ];
    rows.into_iter().filter(|(applies, _)| *applies).map(|(_, hint)| hint.to_owned()).collect()
}
