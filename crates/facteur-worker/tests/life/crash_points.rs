//! Every scenario, with a worker that dies of its `n`th effect, for every `n`.

use facteur_core::reason::ReasonCode;
use facteur_core::status::Status;

use crate::ops::{Op, When};
use crate::run::{Played, play};
use crate::scenarios::{self, End, Scenario};

/// Plays the scenario with these crashes before it.
fn play_with(scenario: &Scenario, crashes: &[Op]) -> Played {
    play(0, scenario.workers, &[crashes, scenario.ops.as_slice()].concat())
}

/// A crash changes nothing, unless it cut a call off: then nobody knows. (What Twilio had in store for that
/// call may meet another job of the scenario.)
fn judge(scenario: &Scenario, crashes: &[Op]) -> Played {
    let played = play_with(scenario, crashes);
    assert_eq!(played.broken, [""; 0], "{}, with {crashes:?}", scenario.name);
    let uncertain: End = Some((Status::Dead, Some(ReasonCode::Uncertain)));
    let ends = scenarios::ends(&played);
    let is_fine = ends.len() == scenario.ends.len()
        && ends.iter().all(|end| scenario.ends.contains(end) || *end == uncertain);
    assert!(is_fine, "{}, with {crashes:?}: {ends:?}", scenario.name);
    played
}

/// How many effects a run without crashes has.
fn effects(scenario: &Scenario) -> u64 {
    play_with(scenario, &[]).shared.world().effects
}

#[test]
fn a_crash_at_any_effect_of_any_scenario_loses_and_doubles_nothing() {
    let mut runs = 0;
    for scenario in scenarios::all() {
        for nth in 1..=effects(&scenario) {
            for when in [When::Before, When::After] {
                judge(&scenario, &[Op::Crash { nth, when }]);
                runs += 1;
            }
        }
    }
    assert!(runs > 500, "only {runs} crashes were tried");
}

/// Whoever goes on after the first crash may die too.
#[test]
fn a_second_crash_soon_after_the_first_loses_and_doubles_nothing() {
    const EFFECTS_MAX: u64 = 20;
    const LATER_MAX: u64 = 4;
    let short = |scenario: &Scenario| effects(scenario) <= EFFECTS_MAX;
    for scenario in scenarios::all().into_iter().filter(short) {
        for nth in 1..=effects(&scenario) {
            for later in 1..=LATER_MAX {
                for when in [When::Before, When::After] {
                    let second = Op::Crash { nth: nth + later, when };
                    judge(&scenario, &[Op::Crash { nth, when: When::After }, second]);
                }
            }
        }
    }
}
