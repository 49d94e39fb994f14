use std::time::Duration;

use facteur_core::Timestamp;
use facteur_core::gcra::{self, Ask, Rate, Reservation, SenderClock, ahead_max, burst};
use facteur_core::ledger::Reserved;
use facteur_core::limits::{SLOT_HORIZON, SLOT_HORIZON_URGENT};
use facteur_core::sender::Sender;

use crate::fixture::Fixture;

pub(crate) const SENDER: &str = "+15005550006";

pub(crate) fn sender() -> Sender {
    Sender::parse(SENDER).unwrap()
}

pub(crate) fn rate(per_second: f64) -> Rate {
    Rate::per_second(per_second).unwrap()
}

fn normal(needed: u32, block: u32) -> Ask {
    Ask { needed, block, may_owe: false, horizon: SLOT_HORIZON, has_line: false, skips_line: false }
}

fn urgent(needed: u32) -> Ask {
    Ask {
        needed,
        block: needed,
        may_owe: true,
        horizon: SLOT_HORIZON_URGENT,
        has_line: false,
        skips_line: false,
    }
}

/// Waits long enough for a debt to be repaid at any rate.
fn patient(needed: u32) -> Ask {
    Ask { horizon: Duration::from_secs(60), ..urgent(needed) }
}

async fn reserve(fixture: &Fixture, per_second: f64, ask: Ask) -> Reserved {
    fixture.store.reserve(&sender(), rate(per_second), ask, None).await.unwrap()
}

async fn clock(fixture: &Fixture) -> SenderClock {
    let client = fixture.client().await;
    let row = client.query_one("SELECT tat, debts FROM facteur.rate_slots", &[]).await.unwrap();
    SenderClock { tat: row.get(0), debts: row.get(1) }
}

fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

/// Sets the sender's clock ahead of the database's.
pub(crate) async fn set_ahead(fixture: &Fixture, per_second: f64, ahead_s: f64) {
    fixture
        .sql(&format!(
            "INSERT INTO facteur.rate_slots (sender, rate, tat) \
             VALUES ('{SENDER}', {per_second}, clock_timestamp() + {ahead_s} * interval '1 second') \
             ON CONFLICT (sender) DO UPDATE SET rate = excluded.rate, tat = excluded.tat"
        ))
        .await;
}

#[tokio::test]
async fn the_database_reserves_as_the_core_says() {
    let fixture = Fixture::new().await;
    let asks = [
        normal(1, 5),
        urgent(1),
        normal(3, 3),
        urgent(2),
        urgent(1),
        urgent(3),
        normal(1, 1),
        urgent(1),
        patient(1),
        patient(2),
        Ask { skips_line: true, ..patient(1) },
    ];
    let mut waited = 0;
    for per_second in [100.0, 7.0, 0.5] {
        set_ahead(&fixture, per_second, -1.0).await;
        for ask in asks {
            let before = clock(&fixture).await;
            let Reserved { reading, reservation } = reserve(&fixture, per_second, ask).await;
            let (expected, answer) = gcra::reserve(before.clone(), reading.now, rate(per_second), ask);
            let after = clock(&fixture).await;
            match (reservation, answer) {
                (Reservation::Full, Reservation::Full) => {}
                (
                    Reservation::Granted { from, place, count },
                    Reservation::Granted { from: from_too, place: place_too, count: count_too },
                ) => {
                    assert!((micros(from) - micros(from_too)).abs() <= 2, "{ask:?}");
                    assert!((micros(place) - micros(place_too)).abs() <= 2, "{ask:?}");
                    assert_eq!(count, count_too);
                    waited += usize::from(from < place && from > reading.now);
                }
                other => panic!("{ask:?} of {before:?}: {other:?}"),
            }
            assert!((micros(after.tat) - micros(expected.tat)).abs() <= 2, "{ask:?}");
            assert_eq!(after.debts.len(), expected.debts.len(), "{ask:?}");
            for (debt, debt_too) in after.debts.iter().zip(&expected.debts) {
                assert!((micros(*debt) - micros(*debt_too)).abs() <= 2, "{ask:?}");
            }
        }
    }
    assert!(waited >= 2, "debts that had to be repaid first: {waited}");
}

#[tokio::test]
async fn no_second_of_many_workers_reservations_holds_more_than_rate_and_burst() {
    let fixture = Fixture::new().await;
    let mut places = Vec::new();
    let asks = (0..400).map(|number| match number % 4 {
        0 => urgent(1),
        1 => urgent(2),
        _ => normal(1, 5),
    });
    let answers = futures_util::future::join_all(asks.map(|ask| reserve(&fixture, 200.0, ask))).await;
    for answer in answers {
        if let Reservation::Granted { from, place, count } = answer.reservation {
            let is_debt = from < place;
            let each = (0..i64::from(count))
                .map(|n| if is_debt { (micros(from), 1) } else { (micros(from) + n * 5_000, 1) });
            places.extend(each);
        }
    }
    places.sort_unstable();
    assert!(places.len() > 5);
    for (index, (start, _)) in places.iter().enumerate() {
        let count = places[index..].iter().take_while(|(at, _)| *at < start + 1_000_000).count();
        assert!(count as f64 <= 200.0 + burst(rate(200.0), 2) + 1.0, "{count}");
    }
}

#[tokio::test]
async fn an_urgent_message_leaves_at_once_against_a_debt_that_the_others_repay() {
    let fixture = Fixture::new().await;
    set_ahead(&fixture, 1.0, 5.0).await;
    let before = clock(&fixture).await.tat;
    for _ in 0..2 {
        let answer = reserve(&fixture, 1.0, urgent(1)).await;
        let Reservation::Granted { from, place, count: 1 } = answer.reservation else { panic!("{answer:?}") };
        assert!(from == answer.reading.now && place >= before);
    }
    assert_eq!(micros(clock(&fixture).await.tat) - micros(before), 2_000_000, "two segments later");
    assert_eq!(reserve(&fixture, 1.0, urgent(1)).await.reservation, Reservation::Full);
    assert_eq!(reserve(&fixture, 1.0, normal(1, 1)).await.reservation, Reservation::Full);
    // The first place comes, while the second one is still far.
    fixture.sql("UPDATE facteur.rate_slots SET debts[1] = clock_timestamp()").await;
    let answer = reserve(&fixture, 1.0, urgent(1)).await;
    let Reservation::Granted { from, .. } = answer.reservation else { panic!("{answer:?}") };
    assert_eq!(from, answer.reading.now, "one is repaid");
    assert_eq!(reserve(&fixture, 1.0, urgent(1)).await.reservation, Reservation::Full);
}

#[tokio::test]
async fn a_clock_that_is_further_ahead_than_it_can_be_is_set_back() {
    let fixture = Fixture::new().await;
    // The database's clock was an hour ahead, and jumped back.
    set_ahead(&fixture, 100.0, 3_600.0).await;
    let answer = reserve(&fixture, 100.0, urgent(1)).await;
    let Reservation::Granted { place, .. } = answer.reservation else { panic!("{answer:?}") };
    let ahead = Duration::try_from(place.duration_since(answer.reading.now)).unwrap();
    assert!(ahead <= ahead_max(rate(100.0)) && ahead < Duration::from_secs(2), "{ahead:?}");
    // It jumped forward: nothing is saved up.
    set_ahead(&fixture, 100.0, -3_600.0).await;
    let answer = reserve(&fixture, 100.0, normal(1, 5)).await;
    assert_eq!(
        answer.reservation,
        Reservation::Granted { from: answer.reading.now, place: answer.reading.now, count: 5 }
    );
    assert_eq!(reserve(&fixture, 100.0, normal(20, 20)).await.reservation.count_or_zero(), 20);
    set_ahead(&fixture, 100.0, 1.0).await;
    assert_eq!(reserve(&fixture, 100.0, normal(1, 1)).await.reservation, Reservation::Full);
}

#[tokio::test]
async fn a_changed_rate_acts_on_what_lies_ahead() {
    let fixture = Fixture::new().await;
    set_ahead(&fixture, 0.01, 400.0).await;
    let answer = reserve(&fixture, 100.0, normal(1, 1)).await;
    let Reservation::Granted { place, .. } = answer.reservation else { panic!("{answer:?}") };
    assert!((39_000..=40_000).contains(&(micros(place) - micros(answer.reading.now))), "four segments");
    set_ahead(&fixture, 10.0, 2.0).await;
    let answer = reserve(&fixture, 1.0, Ask { may_owe: false, ..patient(1) }).await;
    let Reservation::Granted { place, .. } = answer.reservation else { panic!("{answer:?}") };
    let ahead_s = (micros(place) - micros(answer.reading.now)) / 1_000_000;
    assert!((5..=20).contains(&ahead_s), "twenty segments at one a second, and not two seconds: {ahead_s}");
}

#[tokio::test]
async fn nothing_is_given_before_an_instant_that_is_to_be_trusted() {
    let fixture = Fixture::new().await;
    let now = reserve(&fixture, 100.0, normal(1, 1)).await.reading.now;
    let trusted = now.checked_add(Duration::from_mins(1)).ok();
    for ask in [normal(1, 1), urgent(1)] {
        let answer = fixture.store.reserve(&sender(), rate(100.0), ask, trusted).await.unwrap();
        assert_eq!(answer.reservation, Reservation::Full, "{ask:?}");
    }
    let later = fixture.store.reserve(&sender(), rate(100.0), normal(1, 1), Some(now)).await.unwrap();
    assert!(matches!(later.reservation, Reservation::Granted { .. }));
}

trait CountOrZero {
    fn count_or_zero(&self) -> u32;
}

impl CountOrZero for Reservation {
    fn count_or_zero(&self) -> u32 {
        match self {
            Reservation::Granted { count, .. } => *count,
            Reservation::Full => 0,
        }
    }
}
