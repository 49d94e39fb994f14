//! Draws a plan: a pure function of the seed.

use serde_json::{Value, json};

use super::plan::{Link, Operation, Plan, Step, Weather, Who, uncertain_grace_s};
use super::traffic::{LIMITED, LIMITED_TOO};
use crate::dice::Dice;

/// What a plan is drawn for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish {
    /// The seed.
    pub(super) seed: u64,
    /// How long the storm lasts, in milliseconds.
    pub(super) storm_ms: u64,
    /// Worker processes.
    pub(super) workers: usize,
    /// Jobs published in a second.
    pub(super) jobs_per_s: u64,
    /// What is wrong all the time.
    pub(super) weather: Weather,
    /// Whether a process takes callbacks.
    pub(super) with_web: bool,
}

/// On average, something goes wrong this often.
const STEP_EVERY_MS: u64 = 900;
/// Storms that are longer also freeze a worker for longer than a lease (60 s).
const LONG_STORM_MS: u64 = 150_000;
const LONG_FREEZE_MS: u64 = 66_000;

/// The plan of that seed.
#[must_use]
pub(super) fn draw(wish: &Wish) -> Plan {
    let mut dice = Dice::new(wish.seed, 1);
    let mut steps = Vec::new();
    let mut at_ms = 1_000;
    while at_ms < wish.storm_ms {
        steps.push(Step { at_ms, operation: operation(&mut dice, wish) });
        at_ms += dice.between(STEP_EVERY_MS / 3, STEP_EVERY_MS * 5 / 3);
    }
    if wish.storm_ms > LONG_STORM_MS {
        let who = Who::Worker(dice.pick(&indices(wish.workers), 0));
        let at_ms = dice.between(5_000, wish.storm_ms / 2);
        steps.push(Step { at_ms, operation: Operation::Freeze { who, for_ms: LONG_FREEZE_MS } });
        steps.sort_by_key(|step| step.at_ms);
    }
    let Wish { seed, storm_ms, workers, jobs_per_s, weather, .. } = *wish;
    Plan {
        why: String::new(),
        seed,
        storm_ms,
        workers,
        jobs_per_s,
        uncertain_grace_s: uncertain_grace_s(),
        held_max: None,
        weather,
        steps,
    }
}

fn indices(workers: usize) -> Vec<usize> {
    (0..workers).collect()
}

fn operation(dice: &mut Dice, wish: &Wish) -> Operation {
    let who = who(dice, wish);
    let link = match who {
        Who::Web => dice.pick(&[Link::Database, Link::Twilio], Link::Database),
        Who::Worker(_) => dice.pick(&[Link::Broker, Link::Database, Link::Twilio], Link::Broker),
    };
    match dice.between(0, 99) {
        0..14 => Operation::Kill { who, for_ms: dice.between(100, 5_000) },
        14..22 => Operation::Terminate { who, for_ms: dice.between(0, 5_000) },
        22..30 => Operation::Freeze { who, for_ms: dice.between(200, 8_000) },
        30..42 => Operation::Cut { who, link, for_ms: dice.between(50, 8_000) },
        42..52 => Operation::Stall { who, link, for_ms: dice.between(200, 8_000) },
        52..58 => {
            Operation::Delay { who, link, delay_ms: dice.between(20, 400), for_ms: dice.between(500, 6_000) }
        }
        58..64 => Operation::HalfClose { who, link },
        64..68 => Operation::EndSessions,
        68..86 => Operation::Twilio { faults: twilio(dice), for_ms: dice.between(500, 5_000) },
        86..93 => {
            let sender = dice.pick(&[LIMITED, LIMITED_TOO], LIMITED).to_owned();
            Operation::Rate { sender, rate: dice.pick(&[10.0, 15.0, 20.0, 30.0, 45.0, 60.0], 30.0) }
        }
        _ => {
            let sender = dice.pick(&[LIMITED, LIMITED_TOO], LIMITED).to_owned();
            Operation::Burst { sender, jobs: dice.between(20, 150) }
        }
    }
}

fn who(dice: &mut Dice, wish: &Wish) -> Who {
    if wish.with_web && dice.between(0, 4) == 0 {
        return Who::Web;
    }
    Who::Worker(dice.pick(&indices(wish.workers), 0))
}

/// A Twilio that is not well: requests, callbacks, lists, or several of them.
fn twilio(dice: &mut Dice) -> Value {
    let chance = dice.pick(&[0.05, 0.2, 0.5, 1.0], 0.2);
    let rule = |fault: &str| json!({"fault": fault, "probability": chance});
    let callback = |ms: u64| json!({"probability": chance, "delay": {"uniform_ms": [0, ms]}});
    match dice.between(0, 12) {
        0 => json!({"rules": [rule("error_500_before")]}),
        1 => json!({"rules": [rule("error_500_after")]}),
        2 => json!({"rules": [rule("error_503_before")]}),
        3 => json!({"rules": [rule("reply_lost")]}),
        4 => {
            let (fault, hang_ms) = (dice.pick(&["hang", "hang_after"], "hang"), dice.between(500, 5_000));
            json!({"rules": [{"fault": fault, "probability": chance, "hang_ms": hang_ms}]})
        }
        5 => json!({"rules": [{"fault": "throttle_storm", "probability": chance, "retry_after_s": 1}]}),
        6 => json!({"rules": [rule("throttle_storm")]}),
        7 => json!({"rules": [rule("malformed_json")]}),
        8 => json!({"rules": [{"fault": "unauthorized", "probability": chance, "on": "all"}]}),
        9 => json!({"latency": {"log_normal": {"median_ms": 150.0, "sigma": 0.8}}}),
        10 => {
            json!({"callbacks": {"late": callback(5_000), "duplicated": callback(3_000), "out_of_order": callback(0)}})
        }
        11 => json!({"callbacks": {"missing": callback(0)}, "list_lag_ms": 3_000}),
        _ => json!({"rules": [rule("reply_lost"), rule("error_503_before")], "list_lag_ms": 5_000,
                    "latency": {"uniform_ms": [0, 300]}}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(seed: u64) -> Wish {
        let weather = Weather::default();
        Wish { seed, storm_ms: 300_000, workers: 3, jobs_per_s: 50, weather, with_web: true }
    }

    #[test]
    fn the_same_seed_draws_the_same_plan_and_another_one_another() {
        assert_eq!(draw(&wish(1)), draw(&wish(1)));
        assert_ne!(draw(&wish(1)).steps, draw(&wish(2)).steps);
    }

    #[test]
    fn a_drawn_plan_is_read_back_from_its_file_as_it_was() {
        for seed in 0..50 {
            let plan = draw(&wish(seed));
            let text = serde_json::to_string(&plan).unwrap();
            assert_eq!(Plan::read(&text), Ok(plan));
        }
    }

    #[test]
    fn every_operation_is_drawn_sooner_or_later_and_a_long_storm_outlasts_a_lease() {
        let plans: Vec<_> = (0..20).map(|seed| draw(&wish(seed))).collect();
        let names: std::collections::BTreeSet<_> =
            plans.iter().flat_map(|plan| &plan.steps).map(|step| step.operation.name()).collect();
        assert_eq!(names.len(), 19, "{names:?}");
        let outlasts =
            |step: &Step| matches!(step.operation, Operation::Freeze { for_ms, .. } if for_ms > 60_000);
        assert!(plans.iter().all(|plan| plan.steps.iter().any(outlasts)));
    }

    #[test]
    fn a_plan_for_a_worker_that_there_is_not_is_refused() {
        let mut plan = draw(&wish(1));
        plan.steps.push(Step {
            at_ms: 7,
            operation: Operation::HalfClose { who: Who::Worker(3), link: Link::Broker },
        });
        assert!(Plan::read(&serde_json::to_string(&plan).unwrap()).unwrap_err().contains("at 7 ms"));
    }
}
