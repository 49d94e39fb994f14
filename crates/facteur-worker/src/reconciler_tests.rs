use facteur_core::decide::History;
use facteur_core::ids::JobId;
use facteur_core::job::{Category, Channel};
use facteur_core::lane::Lane;
use facteur_core::phone::PhoneNumber;
use facteur_core::reconcile::Window;
use facteur_core::status::TwilioStatus;
use uuid::Uuid;

use super::*;

const SETTINGS: Reconciliation = Reconciliation {
    grace: Duration::from_secs(1_800),
    policies: Policies {
        otp: facteur_core::reconcile::Policy::Resend,
        transactional: facteur_core::reconcile::Policy::Hold,
        marketing: facteur_core::reconcile::Policy::Hold,
    },
    can_receive_callbacks: true,
};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn recipient() -> Recipient {
    Recipient { channel: Channel::Sms, number: PhoneNumber::from_e164("+33612345678").unwrap() }
}

/// Uncertain for a minute; the last look was clear, half a minute ago.
fn known() -> Known {
    Known {
        id: JobId(Uuid::from_u128(7)),
        attempt: 1,
        account: "AC1".to_owned(),
        is_open: true,
        recipient: recipient(),
        text: Some("Bonjour".to_owned()),
        category: Category::Otp,
        lane: Lane::Urgent,
        window: Window { started_at: at(0), ended_at: at(1) },
        history: History { failures: 0, parks: 0, deadline: at(600) },
        searched: Duration::from_secs(10),
        looks: 2,
        was_clear: true,
        since_look: Some(Duration::from_secs(30)),
        age: Duration::from_secs(60),
        is_later_listed: false,
        is_later_called_back: false,
        callbacks_arrive: true,
        is_breaker_open: false,
        has_twin: false,
        now: at(61),
    }
}

fn message(number: u32) -> ListedMessage {
    ListedMessage {
        sid: MessageSid::parse(&format!("SM{number:032x}")).unwrap(),
        to: "+33612345678".to_owned(),
        body: "Bonjour".to_owned(),
        is_outbound: true,
        created_at: at(0),
        twilio_status: TwilioStatus::Sent,
        code: None,
    }
}

fn lists(messages: Vec<ListedMessage>) -> Lists {
    Lists { latest: Ok(Vec::new()), of: HashMap::from([(recipient(), messages)]), throttled: None }
}

fn seen(known: &Known, lists: &Lists, settings: Reconciliation) -> Evidence {
    evidence(known, lists, &HashMap::new(), None, settings)
}

#[test]
fn the_grace_runs_only_between_two_looks_that_could_tell_something() {
    let unreadable = || ListFault::NotReadable { cause: "HTTP 500".to_owned() };
    let down = Lists { latest: Err(unreadable()), ..lists(Vec::new()) };
    let missing = Lists { of: HashMap::new(), ..lists(Vec::new()) };
    let deaf = Reconciliation { can_receive_callbacks: false, ..SETTINGS };
    let silent = Known { callbacks_arrive: false, ..known() };
    let rows = [
        ("all is well", known(), lists(Vec::new()), SETTINGS, 40),
        (
            "the last look told nothing",
            Known { was_clear: false, ..known() },
            lists(Vec::new()),
            SETTINGS,
            10,
        ),
        ("no list", known(), down, SETTINGS, 10),
        ("not this recipient's list", known(), missing, SETTINGS, 10),
        ("callbacks stay away", silent.clone(), lists(Vec::new()), SETTINGS, 10),
        ("callbacks can't be received anyhow", silent, lists(Vec::new()), deaf, 40),
        ("the breaker is open", Known { is_breaker_open: true, ..known() }, lists(Vec::new()), SETTINGS, 10),
    ];
    for (case, known, lists, settings, searched_s) in rows {
        assert_eq!(seen(&known, &lists, settings).searched, Duration::from_secs(searched_s), "{case}");
    }
}

#[test]
fn what_is_in_the_list_and_is_nobody_elses_is_a_candidate() {
    let lists = lists(vec![message(1), message(2)]);
    assert_eq!(seen(&known(), &lists, SETTINGS).list.unwrap().candidates.len(), 2);
    let others = HashMap::from([(message(1).sid.as_str().to_owned(), at(0))]);
    let left = evidence(&known(), &lists, &others, None, SETTINGS).list.unwrap();
    assert_eq!(left.candidates, [message(2)]);
}

#[test]
fn only_a_message_of_ours_that_began_later_proves_that_the_list_has_come_so_far() {
    let listed = |second| evidence(&known(), &lists(Vec::new()), &HashMap::new(), Some(at(second)), SETTINGS);
    assert!(!listed(1).is_later_listed && listed(2).is_later_listed);
    let lists = Lists { latest: Ok(vec![message(1), message(2)]), ..lists(Vec::new()) };
    let ours = HashMap::from([(message(2).sid.as_str().to_owned(), at(5))]);
    assert_eq!(lists.latest_of_ours(&ours), Some(at(5)));
    assert_eq!(lists.latest_of_ours(&HashMap::new()), None);
    assert_eq!(lists.sids().len(), 2);
}

#[test]
fn the_policy_is_that_of_the_category_and_ends_with_the_deadline() {
    let policy =
        |category| seen(&Known { category, ..known() }, &lists(Vec::new()), SETTINGS).policy.as_str();
    assert_eq!((policy(Category::Otp), policy(Category::Marketing)), ("resend", "hold"));
    assert!(!seen(&known(), &lists(Vec::new()), SETTINGS).is_expired);
    assert!(seen(&Known { now: at(600), ..known() }, &lists(Vec::new()), SETTINGS).is_expired);
}
