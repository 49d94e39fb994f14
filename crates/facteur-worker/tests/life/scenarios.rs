//! Lists with a known end.

use facteur_core::reason::ReasonCode as Code;
use facteur_core::status::Status;

use crate::jobs::Kind;
use crate::ops::Op;
use crate::run::{Played, play};
use crate::search::Callbacks;
use crate::twilio::{Behaviour, PASSING_FAULT};

/// A list, and where each job stands when nothing else goes wrong.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) workers: usize,
    pub(crate) ops: Vec<Op>,
    /// In the order in which they were published.
    pub(crate) ends: Vec<End>,
}

/// From the start of a run, nine in the morning in Paris, until eight in the evening.
const NIGHTFALL_MS: u64 = 11 * 3_600 * 1_000;

/// Where a job stands.
pub(crate) type End = Option<(Status, Option<Code>)>;

const SENT: End = Some((Status::Sent, Some(Code::Accepted)));
const UNCERTAIN: End = Some((Status::Dead, Some(Code::Uncertain)));

/// Where each job of a run that is over stands.
pub(crate) fn ends(played: &Played) -> Vec<End> {
    let world = played.shared.world();
    let end = |published: &crate::jobs::Published| {
        let row = world.ledger.rows.get(&published.meaning.as_ref().ok()?.id)?;
        Some((row.status, row.reason))
    };
    world.published.iter().map(end).collect()
}

/// All of them.
pub(crate) fn all() -> Vec<Scenario> {
    let mut all = of_one_call();
    all.extend(of_several_calls());
    all.extend(of_no_call());
    all.extend(of_delays());
    all.extend(of_company());
    all.extend(of_evidence());
    all
}

fn scenario(name: &'static str, ops: Vec<Op>, ends: Vec<End>) -> Scenario {
    Scenario { name, workers: 1, ops, ends }
}

fn of_one_call() -> Vec<Scenario> {
    let with = |name, behaviour, end| {
        scenario(name, vec![Op::Twilio(behaviour), Op::Publish(Kind::Plain)], vec![end])
    };
    let refuse = |code, http_status| Behaviour::Refuse { code, http_status };
    vec![
        with("plain", Behaviour::Accept, SENT),
        with("refused", refuse(21_211, 400), Some((Status::Failed, Some(Code::Refused)))),
        with("destination off", refuse(21_408, 400), Some((Status::Dead, Some(Code::DestinationDisabled)))),
        with("reply lost", Behaviour::ReplyLost, SENT),
        with("server error", Behaviour::Failing, UNCERTAIN),
        with("no answer in time", Behaviour::Slow { ms: 40_000 }, SENT),
        with("slow answer", Behaviour::Slow { ms: 20_000 }, SENT),
        scenario("template", vec![Op::Publish(Kind::Template)], vec![SENT]),
        scenario(
            "paused",
            vec![
                Op::Pause,
                Op::Publish(Kind::Plain),
                Op::Publish(Kind::Otp),
                Op::Advance { ms: 60_000 },
                Op::Resume,
            ],
            vec![SENT, SENT],
        ),
        scenario(
            "expires in a pause",
            vec![Op::Pause, Op::Publish(Kind::Expiring { in_s: 30 }), Op::Advance { ms: 60_000 }],
            vec![Some((Status::Expired, Some(Code::Expired)))],
        ),
        scenario("scheduled", vec![Op::Publish(Kind::Scheduled { in_s: 3_600 })], vec![SENT]),
        scenario(
            "marketing by night",
            vec![Op::Advance { ms: NIGHTFALL_MS }, Op::Publish(Kind::Bulk), Op::Publish(Kind::Otp)],
            vec![SENT, SENT],
        ),
        scenario(
            "night falls in the middle of a claim",
            vec![
                Op::Advance { ms: NIGHTFALL_MS - 2_000 },
                Op::StallClaim { ms: 4_000 },
                Op::Publish(Kind::Bulk),
            ],
            vec![SENT],
        ),
        scenario(
            "a retry that falls into the night",
            vec![
                Op::Advance { ms: NIGHTFALL_MS - 5_000 },
                Op::Twilio(Behaviour::Unreachable),
                Op::Publish(Kind::Bulk),
            ],
            vec![SENT],
        ),
    ]
}

fn of_several_calls() -> Vec<Scenario> {
    let throttle = |retry_after_s| Op::Twilio(Behaviour::Throttle { retry_after_s });
    let twilio = |behaviour, times| vec![Op::Twilio(behaviour); times];
    let passing = Behaviour::Refuse { code: PASSING_FAULT, http_status: 503 };
    let not_found = Behaviour::Refuse { code: 20_404, http_status: 404 };
    let bad_login = Behaviour::Refuse { code: 20_003, http_status: 401 };
    let then = |mut ops: Vec<Op>, kind| {
        ops.push(Op::Publish(kind));
        ops
    };
    let exhausted = Some((Status::Dead, Some(Code::RetriesExhausted)));
    let expired = Some((Status::Expired, Some(Code::Expired)));
    vec![
        scenario("throttled, then taken", then(vec![throttle(None)], Kind::Plain), vec![SENT]),
        scenario(
            "throttled into the waiting room",
            then(vec![throttle(Some(2_000))], Kind::Plain),
            vec![SENT],
        ),
        scenario("retried after a 404", then(twilio(not_found, 1), Kind::Otp), vec![SENT]),
        scenario("retried after a passing fault", then(twilio(passing, 2), Kind::Bulk), vec![SENT]),
        scenario("retries exhausted", then(twilio(passing, 6), Kind::Otp), vec![exhausted]),
        scenario("unreachable three times", then(twilio(Behaviour::Unreachable, 3), Kind::Bulk), vec![SENT]),
        scenario("unreachable for good", then(twilio(Behaviour::Unreachable, 200), Kind::Otp), vec![expired]),
        scenario("bad login, then mended", then(twilio(bad_login, 4), Kind::Plain), vec![SENT]),
        scenario(
            "template edited between two tries",
            vec![throttle(None), Op::Publish(Kind::Template), Op::Advance { ms: 1_000 }, Op::EditTemplate],
            vec![SENT],
        ),
    ]
}

fn of_no_call() -> Vec<Scenario> {
    let dead = |code| Some((Status::Dead, Some(code)));
    let opt_out = Op::Twilio(Behaviour::Refuse { code: 21_610, http_status: 400 });
    let refused = Some((Status::Failed, Some(Code::Refused)));
    let suppressed = Some((Status::Suppressed, Some(Code::Suppressed)));
    vec![
        scenario(
            "template unknown",
            vec![Op::Publish(Kind::UnknownTemplate)],
            vec![dead(Code::TemplateUnknown)],
        ),
        scenario("sender foreign", vec![Op::Publish(Kind::ForeignSender)], vec![dead(Code::SenderForeign)]),
        scenario(
            "expired on arrival",
            vec![Op::Publish(Kind::Expiring { in_s: -5 })],
            vec![Some((Status::Expired, Some(Code::Expired)))],
        ),
        scenario("unreadable", vec![Op::Publish(Kind::Malformed)], vec![None]),
        scenario("nameless", vec![Op::Publish(Kind::Nameless)], vec![None]),
        scenario(
            "opted out",
            vec![
                opt_out,
                // Met only if a crash cuts the first call off.
                opt_out,
                Op::Publish(Kind::SameRecipient),
                Op::Advance { ms: 10_000 },
                Op::Publish(Kind::SameRecipient),
            ],
            vec![refused, suppressed],
        ),
        scenario(
            "the database can't store it",
            // More than once: a crash may come before the burial.
            vec![Op::RefuseRow, Op::RefuseRow, Op::RefuseRow, Op::Publish(Kind::Plain)],
            vec![None],
        ),
    ]
}

fn of_delays() -> Vec<Scenario> {
    vec![
        scenario(
            "the claim's answer is late",
            vec![Op::StallClaim { ms: 6_000 }, Op::Publish(Kind::Plain)],
            vec![SENT],
        ),
        scenario(
            "slots that pass while claims are on their way",
            vec![
                Op::StallClaim { ms: 3_300 },
                Op::StallClaim { ms: 1_700 },
                Op::Publish(Kind::Limited),
                Op::Publish(Kind::Limited),
                Op::Advance { ms: 1_500 },
                Op::Publish(Kind::Limited),
            ],
            vec![SENT; 3],
        ),
        scenario(
            "the record is late",
            vec![Op::StallRecord { ms: 90_000 }, Op::Publish(Kind::Plain)],
            vec![SENT],
        ),
        scenario(
            "a stale copy before the wake-up",
            vec![
                Op::Twilio(Behaviour::Throttle { retry_after_s: None }),
                Op::Publish(Kind::Plain),
                Op::Advance { ms: 1_000 },
                Op::Stop { worker: 0 },
                Op::Copy { nth: 0 },
                Op::Advance { ms: 10_000 },
                Op::Start { worker: 0 },
            ],
            vec![SENT],
        ),
    ]
}

/// A call of which nobody knows, and what there is to be found.
fn of_evidence() -> Vec<Scenario> {
    let lost = |behaviour, kind| vec![Op::Twilio(behaviour), Op::Publish(kind)];
    let later = || vec![Op::Advance { ms: 60_000 }, Op::Publish(Kind::Plain)];
    let after = |first: Vec<Op>, ops: Vec<Op>| [first, ops].concat();
    let (arrive, none) = (Op::Callbacks(Callbacks::Arrive), Op::Callbacks(Callbacks::Lost));
    // Longer than the grace, and than every search.
    let lagging = Op::ListLag { s: 1 << 16 };
    let scheduled = Kind::Scheduled { in_s: 600 };
    vec![
        scenario(
            "found by a callback",
            after(vec![arrive, lagging], lost(Behaviour::ReplyLost, Kind::Plain)),
            vec![SENT],
        ),
        scenario(
            "found in a list that lags",
            after(vec![none, Op::ListLag { s: 900 }], lost(Behaviour::ReplyLost, Kind::Plain)),
            vec![SENT],
        ),
        scenario(
            "silence for ever",
            after(vec![none, lagging], [lost(Behaviour::ReplyLost, Kind::Plain), later()].concat()),
            vec![UNCERTAIN, SENT],
        ),
        scenario(
            "no list for ever",
            after(
                vec![Op::ListDown { is_down: true }],
                [lost(Behaviour::ReplyLost, Kind::Plain), later()].concat(),
            ),
            vec![UNCERTAIN, SENT],
        ),
        scenario(
            "not taken, by all evidence",
            after(vec![arrive], [lost(Behaviour::Failing, Kind::Plain), later()].concat()),
            vec![SENT; 2],
        ),
        scenario(
            "not taken, without a later message",
            after(vec![arrive], lost(Behaviour::Failing, Kind::Plain)),
            vec![UNCERTAIN],
        ),
        scenario(
            "not taken, without a later callback",
            after(vec![none], [lost(Behaviour::Failing, Kind::Plain), later()].concat()),
            vec![UNCERTAIN, SENT],
        ),
        scenario(
            "not taken, too late",
            after(vec![arrive], [lost(Behaviour::Failing, Kind::Expiring { in_s: 600 }), later()].concat()),
            vec![Some((Status::Expired, Some(Code::Expired))), SENT],
        ),
        scenario(
            "texts that can't be told apart",
            vec![
                Op::Twilio(Behaviour::ReplyLost),
                Op::Twilio(Behaviour::Failing),
                Op::Publish(scheduled),
                Op::Publish(scheduled),
            ],
            vec![UNCERTAIN; 2],
        ),
        scenario(
            "sent again by policy",
            after(vec![Op::Resend], lost(Behaviour::Failing, Kind::Plain)),
            vec![SENT],
        ),
    ]
}

fn of_company() -> Vec<Scenario> {
    let two = |name, ops, ends| Scenario { name, workers: 2, ops, ends };
    let copies = |times| [vec![Op::Publish(Kind::Plain)], vec![Op::Copy { nth: 0 }; times]].concat();
    vec![
        scenario("displaced by the limiter", vec![Op::Publish(Kind::Limited); 8], vec![SENT; 8]),
        scenario("copies of one envelope", copies(3), vec![SENT]),
        two("copies over two workers", copies(3), vec![SENT]),
        two("many jobs over two workers", vec![Op::Publish(Kind::Plain); 5], vec![SENT; 5]),
        two("limited, over two workers", vec![Op::Publish(Kind::Limited); 4], vec![SENT; 4]),
        two(
            "copies of every turn",
            vec![
                Op::Twilio(Behaviour::Throttle { retry_after_s: None }),
                Op::Publish(Kind::Plain),
                Op::Advance { ms: 1_000 },
                Op::Copy { nth: 0 },
                Op::Copy { nth: 1 },
                Op::Advance { ms: 30_000 },
                Op::Copy { nth: 0 },
                Op::Copy { nth: 1 },
            ],
            vec![SENT],
        ),
        two(
            "another job under the same id",
            vec![Op::Publish(Kind::Plain), Op::Advance { ms: 1_000 }, Op::Publish(Kind::Conflicting)],
            vec![SENT, SENT],
        ),
        two(
            "a worker stops in the middle",
            vec![
                Op::Twilio(Behaviour::Slow { ms: 4_000 }),
                Op::Publish(Kind::Plain),
                Op::Publish(Kind::Limited),
                Op::Publish(Kind::Limited),
                Op::Advance { ms: 100 },
                Op::Stop { worker: 0 },
            ],
            vec![SENT; 3],
        ),
    ]
}

#[test]
fn every_scenario_ends_as_it_says() {
    for scenario in all() {
        let played = play(0, scenario.workers, &scenario.ops);
        assert_eq!(played.broken, [""; 0], "{}", scenario.name);
        assert_eq!(ends(&played), scenario.ends, "{}", scenario.name);
    }
}

/// At least once instead of at most once: the policy to send again doubles a text that nobody could find in time.
#[test]
fn only_the_policy_to_send_again_ever_doubles() {
    let silence = |first| {
        let ops =
            [first, Op::ListLag { s: 1 << 16 }, Op::Twilio(Behaviour::ReplyLost), Op::Publish(Kind::Plain)];
        let played = play(0, 1, &ops);
        assert_eq!(played.broken, [""; 0], "{first:?}");
        played.shared.world().twilio.seen.iter().filter(|seen| seen.is_taken()).count()
    };
    assert_eq!(silence(Op::Callbacks(Callbacks::Lost)), 1);
    assert_eq!(silence(Op::Resend), 2);
}
