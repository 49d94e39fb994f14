//! A plan of chaos as data: what goes wrong, and when. A plan that found a bug is kept as a file and replayed.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A whole run, but for the jobs, which follow from the seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plan {
    /// What this plan is kept for; empty for one that was drawn.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) why: String,
    /// Seed of the jobs and of the simulator.
    pub(super) seed: u64,
    /// How long jobs are published and things go wrong, in milliseconds.
    pub(super) storm_ms: u64,
    /// Worker processes.
    pub(super) workers: usize,
    /// Jobs published in a second, bursts aside.
    pub(super) jobs_per_s: u64,
    /// How long evidence about uncertain messages is looked for, in seconds.
    #[serde(default = "uncertain_grace_s")]
    pub(super) uncertain_grace_s: u32,
    /// Messages that may be held at the end because nobody knows whether Twilio took them; unset: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) held_max: Option<usize>,
    /// What is wrong all the time.
    #[serde(default)]
    pub(super) weather: Weather,
    /// What goes wrong, in the order of time.
    pub(super) steps: Vec<Step>,
}

/// Much less than outside of a laboratory.
pub(super) fn uncertain_grace_s() -> u32 {
    5
}

/// What is wrong with Twilio all the time. Lost replies end with the storm; the rest stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Weather {
    /// Of 100 messages that Twilio takes, the reply to so many is lost.
    pub(super) lost_replies_percent: f64,
    /// Status callbacks never come.
    pub(super) no_callbacks: bool,
    /// Lists don't show messages that are younger, in seconds.
    pub(super) list_lag_s: u64,
}

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Step {
    /// Milliseconds after the first job.
    pub(super) at_ms: u64,
    /// What.
    #[serde(flatten)]
    pub(super) operation: Operation,
}

/// A process of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Who {
    /// A worker, counted from 0.
    Worker(usize),
    /// The process that takes callbacks.
    Web,
}

/// A process's way to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Link {
    /// To RabbitMQ.
    Broker,
    /// To Postgres.
    Database,
    /// To Twilio; for the web process, from it.
    Twilio,
}

/// What goes wrong. `for_ms` is how long; then it is put right.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(super) enum Operation {
    /// `kill -9`, and a new process after the time.
    Kill {
        /// Whom.
        who: Who,
        /// Until the new process starts.
        for_ms: u64,
    },
    /// SIGTERM, and a new process after the time, whether the old one has ended or not: a rolling deployment.
    Terminate {
        /// Whom.
        who: Who,
        /// Until the new process starts.
        for_ms: u64,
    },
    /// SIGSTOP, and SIGCONT after the time.
    Freeze {
        /// Whom.
        who: Who,
        /// Until it goes on.
        for_ms: u64,
    },
    /// Connections are reset and refused.
    Cut {
        /// Whose.
        who: Who,
        /// Which.
        link: Link,
        /// Until they are taken again.
        for_ms: u64,
    },
    /// Connections stay open and carry nothing.
    Stall {
        /// Whose.
        who: Who,
        /// Which.
        link: Link,
        /// Until they carry again, first what was held back.
        for_ms: u64,
    },
    /// What is carried arrives later.
    Delay {
        /// Whose.
        who: Who,
        /// Which.
        link: Link,
        /// By so much, in each direction.
        delay_ms: u64,
        /// Until it arrives at once again.
        for_ms: u64,
    },
    /// Connections read their end, while what they write still arrives.
    HalfClose {
        /// Whose.
        who: Who,
        /// Which.
        link: Link,
    },
    /// `pg_terminate_backend` for every session of ours.
    EndSessions,
    /// A fault plan of the simulator (`/_sim/faults`), under the weather's own faults.
    Twilio {
        /// The plan.
        faults: Value,
        /// Until only the weather is left.
        for_ms: u64,
    },
    /// Another rate in `facteur.senders`.
    Rate {
        /// Whose.
        sender: String,
        /// Segments a second.
        rate: f64,
    },
    /// Many jobs at once.
    Burst {
        /// From whom.
        sender: String,
        /// How many.
        jobs: u64,
    },
}

impl Operation {
    /// How long until it is put right; unset for what can't be.
    #[must_use]
    pub(super) fn for_ms(&self) -> Option<u64> {
        match self {
            Self::Kill { for_ms, .. }
            | Self::Terminate { for_ms, .. }
            | Self::Freeze { for_ms, .. }
            | Self::Cut { for_ms, .. }
            | Self::Stall { for_ms, .. }
            | Self::Delay { for_ms, .. }
            | Self::Twilio { for_ms, .. } => Some(*for_ms),
            Self::HalfClose { .. } | Self::EndSessions | Self::Rate { .. } | Self::Burst { .. } => None,
        }
    }

    /// Its name, as counted.
    #[must_use]
    pub(super) fn name(&self) -> String {
        let link = |name: &str, link: Link| format!("{name}_{}", format!("{link:?}").to_lowercase());
        match self {
            Self::Kill { .. } => "kill_9".to_owned(),
            Self::Terminate { .. } => "sigterm".to_owned(),
            Self::Freeze { .. } => "sigstop".to_owned(),
            Self::Cut { link: to, .. } => link("cut", *to),
            Self::Stall { link: to, .. } => link("stall", *to),
            Self::Delay { link: to, .. } => link("delay", *to),
            Self::HalfClose { link: to, .. } => link("half_close", *to),
            Self::EndSessions => "end_sessions".to_owned(),
            Self::Twilio { .. } => "twilio_faults".to_owned(),
            Self::Rate { .. } => "rate_change".to_owned(),
            Self::Burst { .. } => "burst".to_owned(),
        }
    }
}

impl Plan {
    /// Reads a plan that was kept.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let plan: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let whom = |step: &Step| match &step.operation {
            Operation::Kill { who, .. }
            | Operation::Terminate { who, .. }
            | Operation::Freeze { who, .. }
            | Operation::Cut { who, .. }
            | Operation::Stall { who, .. }
            | Operation::Delay { who, .. }
            | Operation::HalfClose { who, .. } => Some(*who),
            _ => None,
        };
        match plan.steps.iter().find(|step| matches!(whom(step), Some(Who::Worker(n)) if n >= plan.workers)) {
            Some(step) => Err(format!("the step at {} ms is for a worker that there isn't", step.at_ms)),
            None => Ok(plan),
        }
    }
}
