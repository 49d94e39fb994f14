//! What can happen in a run, as data.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::jobs::Kind;
use crate::search::Callbacks;
use crate::twilio::{Behaviour, PASSING_FAULT};

/// Whether an effect still happens when its worker dies of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// It does not.
    Before,
    /// It does, but the worker never learns of it.
    After,
}

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    /// A producer publishes.
    Publish(Kind),
    /// The broker hands out another copy of an envelope of the past.
    Copy { nth: usize },
    /// Time passes, and everybody works.
    Advance { ms: u64 },
    /// Twilio does this with the next call that has no other script.
    Twilio(Behaviour),
    /// Whoever has the `nth` effect from now on dies of it, and is started anew.
    Crash { nth: u64, when: When },
    /// The answer to the next claim that is not stalled yet takes so long.
    StallClaim { ms: u64 },
    /// The next record that is not stalled yet takes so long to arrive.
    StallRecord { ms: u64 },
    /// The first answer to the next request is lost, so it is asked again.
    LoseAnswer,
    /// The database can't store what the next new job or record holds.
    RefuseRow,
    /// A worker sweeps now.
    Sweep,
    /// A worker is told to stop, drains, and stays away.
    Stop { worker: usize },
    /// A worker that was away starts.
    Start { worker: usize },
    /// A worker is killed, and is started anew.
    Kill { worker: usize },
    /// Somebody edits the template.
    EditTemplate,
    /// Somebody pauses the lane normal.
    Pause,
    /// Somebody resumes it.
    Resume,
    /// From now on the list of messages lags so far.
    ListLag { s: u64 },
    /// From now on the list can't be read, or can be again.
    ListDown { is_down: bool },
    /// From now on it is like this with callbacks.
    Callbacks(Callbacks),
    /// From now on what nobody knows is sent again.
    Resend,
}

/// Draws a list.
pub(crate) fn draw(seed: u64) -> Vec<Op> {
    let mut dice = StdRng::seed_from_u64(seed);
    let length = dice.random_range(5..40);
    (0..length).map(|_| draw_one(&mut dice)).collect()
}

fn draw_one(dice: &mut StdRng) -> Op {
    let when = if dice.random() { When::Before } else { When::After };
    match dice.random_range(0..108) {
        0..35 => Op::Publish(draw_kind(dice)),
        35..40 => Op::Copy { nth: dice.random_range(0..50) },
        40..58 => Op::Advance { ms: 1 << dice.random_range(0..20) },
        58..78 => Op::Twilio(draw_behaviour(dice)),
        78..83 => Op::Crash { nth: dice.random_range(1..60), when },
        83..86 => Op::StallClaim { ms: 1 << dice.random_range(8..17) },
        86..88 => Op::StallRecord { ms: 1 << dice.random_range(8..17) },
        88..90 => Op::LoseAnswer,
        90..91 => Op::RefuseRow,
        91..92 => Op::Sweep,
        92..94 => Op::Stop { worker: dice.random_range(0..2) },
        94..97 => Op::Start { worker: dice.random_range(0..2) },
        97..99 => Op::Kill { worker: dice.random_range(0..2) },
        99..102 => Op::ListLag { s: 1 << dice.random_range(0..14) },
        102..103 => Op::ListDown { is_down: dice.random() },
        103..106 => Op::Callbacks(if dice.random() { Callbacks::Arrive } else { Callbacks::Lost }),
        106..107 => Op::Resend,
        107..108 if dice.random() => Op::Resume,
        107..108 => Op::Pause,
        _ => Op::EditTemplate,
    }
}

fn draw_kind(dice: &mut StdRng) -> Kind {
    match dice.random_range(0..16) {
        0..3 => Kind::Plain,
        3..5 => Kind::Otp,
        5..6 => Kind::Bulk,
        6..7 => Kind::Template,
        7..9 => Kind::Limited,
        9..10 => Kind::Scheduled { in_s: 1 << dice.random_range(0..13) },
        10..12 => Kind::Expiring { in_s: 1 << dice.random_range(0..13) },
        12..13 => Kind::SameRecipient,
        13..14 => Kind::Conflicting,
        14..15 => {
            if dice.random() {
                Kind::UnknownTemplate
            } else {
                Kind::ForeignSender
            }
        }
        _ => {
            if dice.random() {
                Kind::Malformed
            } else {
                Kind::Nameless
            }
        }
    }
}

fn draw_behaviour(dice: &mut StdRng) -> Behaviour {
    match dice.random_range(0..12) {
        0..1 => Behaviour::Accept,
        1..2 => Behaviour::Refuse { code: 21_211, http_status: 400 },
        2..3 => Behaviour::Refuse { code: 21_610, http_status: 400 },
        3..4 => Behaviour::Refuse { code: 20_003, http_status: 401 },
        4..5 => Behaviour::Refuse { code: 20_404, http_status: 404 },
        5..6 => Behaviour::Refuse { code: PASSING_FAULT, http_status: 503 },
        6..7 => Behaviour::Throttle { retry_after_s: None },
        7..8 => Behaviour::Throttle { retry_after_s: Some(1 << dice.random_range(0..14)) },
        8..9 => Behaviour::Unreachable,
        9..10 => Behaviour::ReplyLost,
        10..11 => Behaviour::Failing,
        _ => Behaviour::Slow { ms: 1 << dice.random_range(6..17) },
    }
}
