//! Lists that were drawn: two hundred fixed seeds, played by two workers.

use crate::ops::{Op, draw};
use crate::run::play;

const SEEDS: u64 = 200;
const WORKERS: usize = 2;

#[test]
fn nothing_that_can_happen_breaks_a_rule() {
    for seed in 0..SEEDS {
        let ops = draw(seed);
        let broken = play(seed, WORKERS, &ops).broken;
        if !broken.is_empty() {
            let (ops, broken) = shrink(seed, ops, broken);
            panic!("seed {seed} breaks {broken:#?}\nwith {ops:?}");
        }
    }
}

#[test]
fn a_run_can_be_repeated() {
    for seed in 0..10 {
        let calls = || {
            let played = play(seed, WORKERS, &draw(seed));
            let world = played.shared.world();
            world.twilio.seen.iter().map(|seen| (seen.job, seen.attempt, seen.at)).collect::<Vec<_>>()
        };
        assert_eq!(calls(), calls(), "seed {seed}");
    }
}

/// Leaves out whatever is not needed to break a rule.
fn shrink(seed: u64, mut ops: Vec<Op>, mut broken: Vec<String>) -> (Vec<Op>, Vec<String>) {
    let mut index = 0;
    while index < ops.len() {
        let mut fewer = ops.clone();
        fewer.remove(index);
        let still = play(seed, WORKERS, &fewer).broken;
        if still.is_empty() {
            index += 1;
        } else {
            // What stood before it may be needless now.
            (ops, broken, index) = (fewer, still, 0);
        }
    }
    (ops, broken)
}
