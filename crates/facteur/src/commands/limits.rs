//! `facteur limits`: rates of senders and weights of tenants, changed while workers run.

use facteur_core::Timestamp;
use facteur_core::gcra::Rate;
use facteur_core::ids::Tenant;
use facteur_core::sender::Sender;
use facteur_postgres::Database;
use facteur_postgres::senders::{self, SenderLimit, TenantWeight};
use serde::Serialize;

use super::adapters;
use super::pause::wrong_or_failed;
use crate::cli::LimitsCommand;
use crate::config::{self, Config, Problems};
use crate::exit::Exit;
use crate::output::{Output, table};

/// Seconds of each unit of a rate.
const UNITS: [(&str, f64); 7] = [
    ("s", 1.0),
    ("sec", 1.0),
    ("m", 60.0),
    ("min", 60.0),
    ("h", 3_600.0),
    ("hour", 3_600.0),
    ("d", 86_400.0),
];

/// Runs it.
///
/// # Errors
/// [`Problems`], if sender, rate or tenant are not as they must be; otherwise whatever the database says.
pub async fn run(command: &LimitsCommand, config: &Config, output: Output) -> anyhow::Result<Exit> {
    let (actor, connect) = (config::user(), || adapters::database(config, "limits"));
    let said = match command {
        LimitsCommand::List => return list(&connect().await?, config.worker.sender_rate, output).await,
        LimitsCommand::Set { sender, rate: text } => {
            let (sender, rate) = (self::sender(sender)?, rate(text)?);
            senders::set_rate(&connect().await?, &sender, rate, &actor).await.map_err(wrong_or_failed)?;
            Said::of(sender.as_str(), format!("is limited to {} segments", shown(rate)))
        }
        LimitsCommand::Clear { sender } => {
            let sender = self::sender(sender)?;
            let had =
                senders::clear_rate(&connect().await?, &sender, &actor).await.map_err(wrong_or_failed)?;
            let before = if had { "has no rate of its own any more" } else { "had no rate of its own" };
            let default = config.worker.sender_rate.map_or("no limit counts".to_owned(), |rate| {
                format!("the default of this configuration, {}, counts", shown(rate))
            });
            Said::of(sender.as_str(), format!("{before}; {default}"))
        }
        LimitsCommand::Weight { tenant, weight } => {
            let tenant = Tenant::parse(tenant)
                .map_err(|why| Problems(vec![format!("`{tenant}` is no tenant: {why}")]))?;
            senders::set_weight(&connect().await?, &tenant, *weight, &actor)
                .await
                .map_err(wrong_or_failed)?;
            Said::of(tenant.as_str(), format!("gets {weight} turns where others get one"))
        }
    };
    output.show(&said, |said| format!("{} {}; every worker knows it within a second", said.of, said.now))?;
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct Said {
    of: String,
    now: String,
}

impl Said {
    fn of(of: &str, now: String) -> Self {
        Self { of: of.to_owned(), now }
    }
}

fn sender(text: &str) -> Result<Sender, Problems> {
    Sender::parse(text).map_err(|why| Problems(vec![format!("`{text}` is no sender: {why}")]))
}

/// Segments in a time: `10`, `10/s`, `0.5/s`, `600/min`, `1/h`.
fn rate(text: &str) -> Result<Rate, Problems> {
    let refused = |why: &str| Problems(vec![format!("the rate is `{text}`, {why}")]);
    let (number, unit) = text.split_once('/').unwrap_or((text, "s"));
    let number: f64 = number.trim().parse().map_err(|_| {
        refused("which is no number of segments in a time, such as 10/s, 0.5/s, 600/min or 1/h")
    })?;
    let seconds = UNITS.iter().find(|(name, _)| *name == unit.trim()).map(|(_, seconds)| *seconds);
    let seconds = seconds.ok_or_else(|| refused("whose time is none of s, min, h and d"))?;
    Rate::per_second(number / seconds).map_err(|_| {
        refused("which is not between 0.00001 and 100,000 a second; to stop a sender, pause it: facteur pause sender")
    })
}

fn shown(rate: Rate) -> String {
    let per_second = rate.as_per_second();
    let (number, unit) = match per_second {
        fast if fast >= 1.0 => (fast, "s"),
        middling if middling * 60.0 >= 1.0 => (middling * 60.0, "min"),
        slow => (slow * 3_600.0, "h"),
    };
    // Three digits behind the point are as much as anybody typed.
    format!("{}/{unit}", (number * 1_000.0).round() / 1_000.0)
}

#[derive(Serialize)]
struct Listed {
    default_rate_per_s: Option<f64>,
    senders: Vec<ListedSender>,
    tenants: Vec<ListedTenant>,
}

#[derive(Serialize)]
struct ListedSender {
    sender: String,
    tenant: Option<String>,
    rate_per_s: Option<f64>,
    #[serde(skip)]
    rate: Option<Rate>,
    /// `own`, `default` (this configuration's) or `none`.
    source: &'static str,
    /// How far what is reserved reaches into the future.
    ahead_s: f64,
    /// Jobs that stand in its line.
    waiting: i64,
    changed_by: Option<String>,
    changed_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct ListedTenant {
    tenant: String,
    weight: i32,
    changed_by: Option<String>,
    changed_at: Timestamp,
}

async fn list(database: &Database, default: Option<Rate>, output: Output) -> anyhow::Result<Exit> {
    let senders = senders::list(database, None).await?.into_iter().map(|one| ListedSender::of(one, default));
    let tenants = senders::list_weights(database).await?.into_iter().map(ListedTenant::of);
    let listed = Listed {
        default_rate_per_s: default.map(Rate::as_per_second),
        senders: senders.collect(),
        tenants: tenants.collect(),
    };
    output.show(&listed, Listed::as_text)?;
    Ok(Exit::Done)
}

impl ListedSender {
    fn of(limit: SenderLimit, default: Option<Rate>) -> Self {
        let rate = limit.rate.or(default);
        let source = match (limit.rate, default) {
            (Some(_), _) => "own",
            (None, Some(_)) => "default",
            (None, None) => "none",
        };
        Self {
            sender: limit.address,
            tenant: limit.tenant,
            rate_per_s: rate.map(Rate::as_per_second),
            rate,
            source,
            ahead_s: limit.ahead.as_secs_f64(),
            waiting: limit.waiting,
            changed_by: limit.changed_by,
            changed_at: limit.changed_at,
        }
    }
}

impl ListedTenant {
    fn of(weight: TenantWeight) -> Self {
        let TenantWeight { tenant, weight, changed_by, changed_at } = weight;
        Self { tenant, weight, changed_by, changed_at }
    }
}

impl Listed {
    fn as_text(&self) -> String {
        let changed = |by: &Option<String>, at: Option<Timestamp>| match (by, at) {
            (Some(by), Some(at)) => format!("{at:.0} by {by}"),
            (None, Some(at)) => format!("{at:.0}"),
            (_, None) => String::new(),
        };
        let mut senders = table(&["sender", "tenant", "rate", "from", "ahead", "waiting", "changed"]);
        for one in &self.senders {
            senders.add_row([
                one.sender.clone(),
                one.tenant.clone().unwrap_or_default(),
                one.rate.map_or_else(|| "no limit".to_owned(), shown),
                one.source.to_owned(),
                format!("{:.1} s", one.ahead_s),
                one.waiting.to_string(),
                changed(&one.changed_by, one.changed_at),
            ]);
        }
        let default = self.default_rate_per_s.and_then(|rate| Rate::per_second(rate).ok());
        let default = default.map_or_else(|| "no limit".to_owned(), shown);
        let mut parts = vec![format!("default of this configuration: {default}")];
        if !self.senders.is_empty() {
            parts.push(senders.to_string());
        }
        if !self.tenants.is_empty() {
            let mut tenants = table(&["tenant", "weight", "changed"]);
            for one in &self.tenants {
                tenants.add_row([
                    one.tenant.clone(),
                    one.weight.to_string(),
                    changed(&one.changed_by, Some(one.changed_at)),
                ]);
            }
            parts.push(tenants.to_string());
        }
        parts.join("\n\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read_in_every_unit_and_shown_again() {
        for (text, per_second, again) in [
            ("10", 10.0, "10/s"),
            ("10/s", 10.0, "10/s"),
            ("0.5/s", 0.5, "30/min"),
            ("600/min", 10.0, "10/s"),
            ("1/h", 1.0 / 3_600.0, "1/h"),
            (" 2.5 / s ", 2.5, "2.5/s"),
        ] {
            let rate = rate(text).unwrap_or_else(|problems| panic!("{text}: {problems}"));
            assert!((rate.as_per_second() - per_second).abs() < 1e-12, "{text}");
            assert_eq!(shown(rate), again);
        }
    }

    #[test]
    fn a_rate_that_can_not_be_kept_is_refused_with_what_to_do() {
        for bad in ["0", "0/s", "-1/s", "NaN", "inf", "1000000/s", "1/d/d", "ten", "", "5/week", "1e-9"] {
            let told = rate(bad).map(shown).unwrap_err().to_string();
            assert!(
                told.contains("pause") || told.contains("such as") || told.contains("none of"),
                "{bad}: {told}"
            );
        }
        assert!(rate("0").unwrap_err().to_string().contains("facteur pause sender"));
    }
}
