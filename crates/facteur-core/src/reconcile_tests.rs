use super::*;
use crate::job::Channel;
use crate::lane::Lane;
use crate::phone::PhoneNumber;
use crate::status::Status;
use proptest::prelude::*;

const STARTED_S: i64 = 1_800_000_000;
const GRACE: Duration = GRACE_MIN;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn to(channel: Channel) -> Recipient {
    Recipient { channel, number: PhoneNumber::from_e164("+33612345678").unwrap() }
}

fn listed(number: u32) -> ListedMessage {
    ListedMessage {
        sid: MessageSid::parse(&format!("SM{number:032x}")).unwrap(),
        to: "+33612345678".to_owned(),
        body: "Bonjour".to_owned(),
        is_outbound: true,
        created_at: at(STARTED_S),
        twilio_status: TwilioStatus::Queued,
        code: None,
    }
}

/// The whole grace has passed, the list holds nothing like it, and everything speaks against it.
fn against() -> Evidence {
    Evidence {
        list: Some(Sifted::default()),
        has_twin: false,
        can_receive_callbacks: true,
        is_later_listed: true,
        is_later_called_back: true,
        searched: GRACE,
        age: GRACE,
        grace: GRACE,
        policy: Policy::Hold,
        is_expired: false,
    }
}

fn with(candidates: usize, unexplained: usize) -> Option<Sifted> {
    let candidates = (0..candidates).map(|n| listed(u32::try_from(n).unwrap())).collect();
    Some(Sifted { candidates, unexplained })
}

#[test]
fn every_case_has_the_verdict_of_the_table() {
    let early = Evidence { searched: Duration::ZERO, age: Duration::ZERO, ..against() };
    let stalled = Evidence { searched: Duration::ZERO, age: GRACE * AGE_MAX_GRACES, ..against() };
    let resend = Evidence { policy: Policy::Resend, is_later_called_back: false, ..against() };
    let rows = [
        ("one candidate", Evidence { list: with(1, 0), ..early.clone() }, "found"),
        ("one candidate beside another text", Evidence { list: with(1, 2), ..early.clone() }, "found"),
        ("one candidate after the grace", Evidence { list: with(1, 0), ..against() }, "found"),
        (
            "one candidate that a twin may be",
            Evidence { list: with(1, 0), has_twin: true, ..early.clone() },
            "open",
        ),
        ("the same after the grace", Evidence { list: with(1, 0), has_twin: true, ..against() }, "held"),
        ("several candidates", Evidence { list: with(2, 0), ..early.clone() }, "open"),
        ("several candidates after the grace", Evidence { list: with(2, 0), ..against() }, "held"),
        ("several candidates are never sent again", Evidence { list: with(2, 0), ..resend.clone() }, "held"),
        ("nothing yet", early.clone(), "open"),
        ("nothing, and everything speaks against it", against(), "not_taken"),
        ("no later message in the list", Evidence { is_later_listed: false, ..against() }, "held"),
        ("no callback of a later one", Evidence { is_later_called_back: false, ..against() }, "held"),
        ("no callbacks at all", Evidence { can_receive_callbacks: false, ..against() }, "held"),
        ("a text that can't be compared", Evidence { list: with(0, 1), ..against() }, "held"),
        ("the same is never sent again", Evidence { list: with(0, 1), ..resend.clone() }, "held"),
        ("a twin", Evidence { has_twin: true, ..against() }, "held"),
        ("a twin is never sent again", Evidence { has_twin: true, ..resend.clone() }, "held"),
        ("no list", Evidence { list: None, ..against() }, "open"),
        ("no list for ever", Evidence { list: None, ..stalled.clone() }, "held"),
        (
            "no list for ever is never sent again",
            Evidence { list: None, age: GRACE * 9, ..resend.clone() },
            "held",
        ),
        ("the grace never ran", stalled.clone(), "held"),
        (
            "the grace never ran, and the policy is to send",
            Evidence { policy: Policy::Resend, ..stalled },
            "resent",
        ),
        ("silence, and the policy is to send", resend.clone(), "resent"),
        ("the same, too late", Evidence { is_expired: true, ..resend }, "held"),
        ("evidence against, too late", Evidence { is_expired: true, ..against() }, "not_taken"),
    ];
    for (case, evidence, expected) in rows {
        assert_eq!(judge(&evidence).verdict.name(), expected, "{case}");
    }
}

#[test]
fn only_what_can_be_nobody_elses_is_a_candidate() {
    let window = Window { started_at: at(STARTED_S), ended_at: at(STARTED_S + 10) };
    let sifted = |message: ListedMessage, text: Option<&str>| {
        let known = listed(9).sid;
        let sifted = sift(&[message], window, &to(Channel::Sms), text, |sid| *sid == known);
        (sifted.candidates.len(), sifted.unexplained)
    };
    let created = |second| ListedMessage { created_at: at(STARTED_S + second), ..listed(1) };
    let text = Some("Bonjour");
    let neither = (0, 0);
    for (second, expected) in [
        (-901, neither),
        (-900, (0, 1)),
        (-3, (0, 1)),
        (-2, (1, 0)),
        (0, (1, 0)),
        (10, (1, 0)),
        (40, (1, 0)),
        (41, (0, 1)),
        (910, (0, 1)),
        (911, neither),
    ] {
        assert_eq!(sifted(created(second), text), expected, "{second}");
    }
    assert_eq!(sifted(ListedMessage { created_at: at(STARTED_S - 3), ..listed(9) }, text), neither, "known");
    assert_eq!(sifted(listed(9), text), (0, 0), "known");
    assert_eq!(sifted(ListedMessage { is_outbound: false, ..listed(1) }, text), (0, 0), "inbound");
    assert_eq!(sifted(ListedMessage { to: "+33600000000".to_owned(), ..listed(1) }, text), (0, 0), "another");
    let trial = "Sent from your Twilio trial account - Bonjour".to_owned();
    assert_eq!(sifted(ListedMessage { body: trial, ..listed(1) }, text), (0, 1), "another text");
    assert_eq!(
        sifted(ListedMessage { body: String::new(), ..listed(1) }, None),
        (0, 1),
        "Twilio's own template"
    );
    let other = ListedMessage { body: "Bonsoir".to_owned(), ..created(41) };
    assert_eq!(sifted(other, text), neither, "another text, and too late");
    assert_eq!(
        sifted(ListedMessage { body: String::new(), ..created(41) }, None),
        neither,
        "a template, too late"
    );
    let whatsapp = ListedMessage { to: "whatsapp:+33612345678".to_owned(), ..listed(1) };
    assert_eq!(sift(&[whatsapp], window, &to(Channel::Whatsapp), text, |_| false).candidates.len(), 1);
}

#[test]
fn looks_grow_rarer_and_a_short_grace_shortens_the_pauses() {
    let pauses = |grace| [1, 2, 3, 4, 5, 6, 99].map(|looks| look_again_after(looks, grace).as_secs());
    assert_eq!(pauses(GRACE), [15, 30, 60, 120, 300, 300, 300]);
    assert_eq!(pauses(Duration::from_secs(10)), [2; 7]);
    assert_eq!(pauses(Duration::from_secs(1)), [1; 7]);
}

fn decided(verdict: Verdict, failures: u32, deadline_in_s: i64) -> Option<Decision> {
    let history = History { failures, parks: 0, deadline: at(STARTED_S + deadline_in_s) };
    let judgement = Judgement { verdict, finding: "nothing".to_owned() };
    decision(&judgement, 3, &RetrySchedule::of(Lane::Normal), history, at(STARTED_S), Draw(0.5))
}

#[test]
fn each_end_has_its_decision() {
    let status = |verdict, failures, deadline_in_s| {
        decided(verdict, failures, deadline_in_s).map(|decision| {
            let code = decision.reason().code;
            (decision.into_next(Duration::from_secs(1)).status, code)
        })
    };
    let delivered = ListedMessage { twilio_status: TwilioStatus::Delivered, ..listed(1) };
    let dead = Some((Status::Dead, ReasonCode::Uncertain));
    let rows = [
        (status(Verdict::KeepLooking, 0, 3_600), None),
        (status(Verdict::Hold, 0, 3_600), dead),
        (status(Verdict::Found(listed(1)), 0, -1), Some((Status::Sent, ReasonCode::Accepted))),
        (status(Verdict::Found(delivered), 0, -1), Some((Status::Delivered, ReasonCode::Accepted))),
        (status(Verdict::NotTaken, 0, 3_600), Some((Status::Retrying, ReasonCode::NotTaken))),
        (status(Verdict::NotTaken, 0, -1), Some((Status::Expired, ReasonCode::Expired))),
        (status(Verdict::NotTaken, 7, 3_600), Some((Status::Retrying, ReasonCode::NotTaken))),
        (status(Verdict::Resend, 0, 3_600), Some((Status::Retrying, ReasonCode::ResentByPolicy))),
        // What nobody knows must not look like something else.
        (status(Verdict::Resend, 0, 1), dead),
        (status(Verdict::Resend, 7, 3_600), dead),
    ];
    for (index, (found, expected)) in rows.into_iter().enumerate() {
        assert_eq!(found, expected, "row {index}");
    }
}

#[test]
fn a_listed_message_shows_neither_number_nor_text() {
    let shown = format!("{:?}", listed(1));
    assert!(!shown.contains("612345678") && !shown.contains("Bonjour"), "{shown}");
}

prop_compose! {
    fn any_evidence()(
        list in proptest::option::of((0usize..4, 0usize..3)),
        flags in proptest::array::uniform6(any::<bool>()),
        searched_s in 0u64..10_000,
        age_s in 0u64..20_000,
        resends in any::<bool>(),
    ) -> Evidence {
        let [has_twin, can_receive_callbacks, is_later_listed, is_later_called_back, is_expired, _] = flags;
        Evidence {
            list: list.and_then(|(candidates, unexplained)| with(candidates, unexplained)),
            has_twin,
            can_receive_callbacks,
            is_later_listed,
            is_later_called_back,
            searched: Duration::from_secs(searched_s),
            age: Duration::from_secs(age_s),
            grace: GRACE,
            policy: if resends { Policy::Resend } else { Policy::Hold },
            is_expired,
        }
    }
}

proptest! {
    /// Silence never sends again: only full evidence or the policy does, never with a trace that can't be told apart.
    #[test]
    fn nothing_is_sent_again_without_evidence_or_policy(evidence in any_evidence()) {
        match judge(&evidence).verdict {
            Verdict::NotTaken => prop_assert!(
                evidence.is_later_listed && evidence.is_later_called_back && evidence.can_receive_callbacks
                    && evidence.searched >= GRACE && !evidence.has_twin && evidence.list == with(0, 0)
            ),
            Verdict::Resend => prop_assert!(
                evidence.policy == Policy::Resend && !evidence.is_expired && !evidence.has_twin
                    && evidence.list == with(0, 0) && (evidence.searched >= GRACE || evidence.age >= GRACE * 4)
            ),
            Verdict::Found(_) => prop_assert!(!evidence.has_twin && evidence.list.unwrap().candidates.len() == 1),
            Verdict::KeepLooking => prop_assert!(evidence.age < GRACE * 4),
            Verdict::Hold => {}
        }
    }
}
