use facteur_core::Timestamp;
use facteur_core::ids::MessageSid;
use facteur_core::status::TwilioStatus;

use super::*;

const ACCOUNT: &str = "AC1";

fn breakers() -> Breakers {
    Breakers::new(Clock::virtual_from(Timestamp::UNIX_EPOCH, 0))
}

fn sender(digit: u32) -> Sender {
    Sender::parse(&format!("+1500555000{digit}")).unwrap()
}

fn account() -> Fuse {
    Fuse::Integration(ACCOUNT.to_owned())
}

fn unreachable() -> Outcome {
    Outcome::Unreachable { cause: "refused".to_owned() }
}

fn refused(code: u32, http_status: u16) -> Outcome {
    Outcome::Refused { code: Some(code), http_status, message: "no".to_owned() }
}

fn accepted() -> Outcome {
    let sid = MessageSid::parse(&format!("SM{:032x}", 1)).unwrap();
    Outcome::Accepted { sid, twilio_status: TwilioStatus::Queued }
}

fn tell(breakers: &Breakers, sender: &Sender, outcome: &Outcome) {
    breakers.told(ACCOUNT, sender, breakers.now(), outcome);
}

fn rows(states: &[(Fuse, State)]) -> BTreeMap<Fuse, State> {
    states.iter().cloned().collect()
}

#[tokio::test(start_paused = true)]
async fn an_account_that_fails_holds_every_sender_at_once_and_tells_it_once() {
    let breakers = breakers();
    for _ in 0..5 {
        assert_eq!(breakers.hold_for(ACCOUNT, &sender(1)), None);
        tell(&breakers, &sender(1), &unreachable());
    }
    assert_eq!(breakers.hold_for(ACCOUNT, &sender(2)), Some(Hold::Breaker(account())));
    assert!(breakers.pass(ACCOUNT, &sender(2)).is_err());
    assert!(breakers.is_open(&account()));
    assert!(matches!(breakers.untold().get(&account()), Some(Change::Open(_))));
    tell(&breakers, &sender(1), &unreachable());
    assert!(breakers.untold().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_is_refused_holds_itself_alone() {
    let breakers = breakers();
    tell(&breakers, &sender(1), &refused(21_606, 400));
    let fuse = Fuse::Sender(sender(1));
    assert_eq!(breakers.hold_for(ACCOUNT, &sender(1)), Some(Hold::Breaker(fuse.clone())));
    assert_eq!(breakers.hold_for(ACCOUNT, &sender(2)), None);
    assert_eq!(breakers.untold().into_keys().collect::<Vec<_>>(), [fuse]);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_told_yet_goes_before_what_the_rows_say() {
    let breakers = breakers();
    tell(&breakers, &sender(1), &refused(20_003, 401));
    breakers.follow(&rows(&[]));
    assert!(breakers.is_open(&account()), "the row is not written yet");
    let untold = breakers.untold();
    for (fuse, change) in untold {
        breakers.keep_untold(fuse, change);
    }
    breakers.follow(&rows(&[]));
    assert!(breakers.is_open(&account()), "it could not be written");
    drop(breakers.untold());
    breakers.follow(&rows(&[]));
    assert!(!breakers.is_open(&account()), "another worker closed it");
}

#[tokio::test(start_paused = true)]
async fn a_half_open_breaker_lets_one_trial_through_and_frees_its_place_when_it_is_dropped() {
    let breakers = breakers();
    breakers.follow(&rows(&[(account(), State::HalfOpen)]));
    let trial = breakers.pass(ACCOUNT, &sender(1)).ok();
    assert!(trial.is_some());
    assert_eq!(breakers.pass(ACCOUNT, &sender(2)).err(), Some(Hold::Breaker(account())));
    drop(trial);
    let trial = breakers.pass(ACCOUNT, &sender(2)).ok();
    tell(&breakers, &sender(2), &accepted());
    drop(trial);
    let two = [breakers.pass(ACCOUNT, &sender(1)), breakers.pass(ACCOUNT, &sender(1))];
    assert!(two.iter().all(Result::is_ok));
    assert!(breakers.pass(ACCOUNT, &sender(1)).is_err());
    tell(&breakers, &sender(1), &accepted());
    tell(&breakers, &sender(1), &accepted());
    assert_eq!(breakers.untold().get(&account()), Some(&Change::Close));
    assert_eq!(breakers.hold_for(ACCOUNT, &sender(1)), None);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_its_sender_holds_back_takes_no_trial_of_the_account() {
    let breakers = breakers();
    let fuse = Fuse::Sender(sender(1));
    breakers.follow(&rows(&[(account(), State::HalfOpen), (fuse.clone(), State::Open)]));
    assert_eq!(breakers.pass(ACCOUNT, &sender(1)).err(), Some(Hold::Breaker(fuse)));
    assert!(breakers.pass(ACCOUNT, &sender(2)).is_ok());
}
