//! Faults as data: a plan says what goes wrong, how often, and for how long.

use std::num::NonZeroU64;
use std::time::Duration;

use rand::{RngExt, rngs::SmallRng};
use serde::{Deserialize, Serialize};

/// Longest delay that any fault or latency can cause.
pub const DELAY_MAX: Duration = Duration::from_secs(300);
/// Most rules in one plan.
pub const RULES_MAX: usize = 32;

/// What goes wrong. The empty plan is a Twilio in good health.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FaultPlan {
    /// How long each answer takes, counted from the request's arrival.
    pub latency: Option<Latency>,
    /// Faults of requests; the first rule that hits is applied.
    pub rules: Vec<Rule>,
    /// Faults of callbacks.
    pub callbacks: CallbackFaults,
    /// Lists don't show messages that are younger than this, in milliseconds.
    pub list_lag_ms: u64,
    /// The plan ends after so many API requests; the configured plan follows.
    pub for_requests: Option<u64>,
    /// The plan ends after so many milliseconds; the configured plan follows.
    pub for_ms: Option<u64>,
}

/// One fault of requests and how often it strikes: on every n-th request of its scope, and of these with
/// the probability. Neither given: always.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What happens.
    pub fault: RequestFault,
    /// Between 0 and 1.
    #[serde(default)]
    pub probability: Probability,
    /// Every n-th request.
    #[serde(default = "one")]
    pub every: NonZeroU64,
    /// Which requests count.
    #[serde(default)]
    pub on: Scope,
    /// `Retry-After` in seconds, for `throttle_storm` and `error_503_before`.
    #[serde(default)]
    pub retry_after_s: Option<u32>,
    /// How long `hang` and `hang_after` hold the connection before they cut it, in milliseconds.
    #[serde(default = "hang_ms")]
    pub hang_ms: u64,
}

impl Rule {
    /// A rule that always strikes.
    #[must_use]
    pub fn always(fault: RequestFault) -> Self {
        Self {
            fault,
            probability: Probability::ALWAYS,
            every: one(),
            on: Scope::Create,
            retry_after_s: None,
            hang_ms: hang_ms(),
        }
    }
}

fn one() -> NonZeroU64 {
    NonZeroU64::MIN
}

fn hang_ms() -> u64 {
    60_000
}

/// Which requests a rule looks at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Those that create a message.
    #[default]
    Create,
    /// Every API request.
    All,
}

/// A fault of a request. `before` and the like: nothing was created; `after`: it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestFault {
    /// 500/20500, nothing created.
    #[serde(rename = "error_500_before")]
    Error500Before,
    /// Created, then 500/20500.
    #[serde(rename = "error_500_after")]
    Error500After,
    /// 503/20503, nothing created.
    #[serde(rename = "error_503_before")]
    Error503Before,
    /// Created, then the connection is closed without an answer.
    ReplyLost,
    /// No answer for `hang_ms`, then the connection is closed; nothing created.
    Hang,
    /// The same, but created.
    HangAfter,
    /// 429/20429.
    ThrottleStorm,
    /// Created, and answered with JSON that is cut off.
    MalformedJson,
    /// 401/20003.
    Unauthorized,
}

impl RequestFault {
    /// The name, as in a plan, in `X-Sim-Fault` and in the statistics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Error500Before => "error_500_before",
            Self::Error500After => "error_500_after",
            Self::Error503Before => "error_503_before",
            Self::ReplyLost => "reply_lost",
            Self::Hang => "hang",
            Self::HangAfter => "hang_after",
            Self::ThrottleStorm => "throttle_storm",
            Self::MalformedJson => "malformed_json",
            Self::Unauthorized => "unauthorized",
        }
    }
}

/// Faults of callbacks, drawn for each callback (`out_of_order`: for each message).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CallbackFaults {
    /// Later than it should be, by `delay`.
    pub late: Option<CallbackRule>,
    /// Sent twice, the second `delay` after the first.
    pub duplicated: Option<CallbackRule>,
    /// The last two of a message change places.
    pub out_of_order: Option<CallbackRule>,
    /// Never sent.
    pub missing: Option<CallbackRule>,
}

impl CallbackFaults {
    /// The faults that `X-Sim-Fault` names; `None` if it names no fault of callbacks.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        let rule = Some(CallbackRule::default());
        match name {
            "callbacks_late" => Some(Self { late: rule, ..Self::default() }),
            "callbacks_duplicated" => Some(Self { duplicated: rule, ..Self::default() }),
            "callbacks_out_of_order" => Some(Self { out_of_order: rule, ..Self::default() }),
            "callbacks_missing" => Some(Self { missing: rule, ..Self::default() }),
            _ => None,
        }
    }
}

/// How often a callback fault strikes: on every n-th, and of these with the probability.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CallbackRule {
    /// Between 0 and 1.
    pub probability: Probability,
    /// Every n-th.
    pub every: NonZeroU64,
    /// For `late` and `duplicated`.
    pub delay: Latency,
}

impl Default for CallbackRule {
    fn default() -> Self {
        Self { probability: Probability::ALWAYS, every: one(), delay: Latency::FixedMs(1_000) }
    }
}

/// A number between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Probability(f64);

impl Probability {
    /// Certain.
    pub const ALWAYS: Self = Self(1.0);

    /// Whether it happens this time.
    pub(crate) fn hits(self, dice: &mut SmallRng) -> bool {
        dice.random_bool(self.0)
    }
}

impl Default for Probability {
    fn default() -> Self {
        Self::ALWAYS
    }
}

impl TryFrom<f64> for Probability {
    type Error = String;

    fn try_from(value: f64) -> Result<Self, String> {
        if (0.0..=1.0).contains(&value) { Ok(Self(value)) } else { Err("must be between 0 and 1".to_owned()) }
    }
}

impl From<Probability> for f64 {
    fn from(probability: Probability) -> Self {
        probability.0
    }
}

/// A distribution of delays; never longer than [`DELAY_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Latency {
    /// Always the same.
    FixedMs(u64),
    /// Evenly between the two, both included.
    UniformMs(u64, u64),
    /// Log-normal: half are below the median; `sigma` is the spread of the logarithm (0.5 is usual for
    /// web services, 1 has a heavy tail).
    LogNormal {
        /// Milliseconds.
        median_ms: f64,
        /// Zero or more.
        sigma: f64,
    },
}

impl Latency {
    /// One delay.
    pub(crate) fn sample(self, dice: &mut SmallRng) -> Duration {
        let delay = match self {
            Self::FixedMs(ms) => Duration::from_millis(ms),
            Self::UniformMs(a, b) => Duration::from_millis(dice.random_range(a.min(b)..=a.max(b))),
            Self::LogNormal { median_ms, sigma } => {
                // Box and Muller: two even draws make one normal one. `1 - u` keeps the logarithm finite.
                let (u, v): (f64, f64) = (dice.random(), dice.random());
                let normal = (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos();
                let seconds = median_ms / 1_000.0 * (sigma * normal).exp();
                Duration::try_from_secs_f64(seconds).unwrap_or(DELAY_MAX)
            }
        };
        delay.min(DELAY_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::dice;

    #[test]
    fn log_normal_delays_have_their_median() {
        let latency = Latency::LogNormal { median_ms: 80.0, sigma: 0.5 };
        let mut dice = dice(1, "test", 0);
        let below = (0..10_000).filter(|_| latency.sample(&mut dice) < Duration::from_millis(80)).count();
        assert!((4_800..5_200).contains(&below), "{below} of 10,000 are below the median");
    }

    #[test]
    fn absurd_delays_are_bounded() {
        let mut dice = dice(1, "test", 0);
        for latency in [
            Latency::FixedMs(u64::MAX),
            Latency::UniformMs(u64::MAX, u64::MAX),
            Latency::LogNormal { median_ms: f64::NAN, sigma: 1.0 },
            Latency::LogNormal { median_ms: 1e300, sigma: 1e300 },
        ] {
            assert!(latency.sample(&mut dice) <= DELAY_MAX, "{latency:?}");
        }
    }

    #[test]
    fn every_fault_is_spelled_in_json_as_in_the_statistics() {
        for fault in [
            RequestFault::Error500Before,
            RequestFault::Error500After,
            RequestFault::Error503Before,
            RequestFault::ReplyLost,
            RequestFault::Hang,
            RequestFault::HangAfter,
            RequestFault::ThrottleStorm,
            RequestFault::MalformedJson,
            RequestFault::Unauthorized,
        ] {
            assert_eq!(serde_json::to_value(fault).unwrap(), fault.name());
        }
    }

    #[test]
    fn a_plan_with_an_unknown_field_or_an_impossible_probability_is_refused() {
        for bad in [
            r#"{"rulez": []}"#,
            r#"{"rules": [{"fault": "reply_lost", "probability": 1.5}]}"#,
            r#"{"rules": [{"fault": "reply_lost", "every": 0}]}"#,
            r#"{"rules": [{"fault": "flood"}]}"#,
            r#"{"callbacks": {"late": {"probability": -1}}}"#,
        ] {
            assert!(serde_json::from_str::<FaultPlan>(bad).is_err(), "{bad}");
        }
    }
}
