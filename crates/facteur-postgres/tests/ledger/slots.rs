use std::time::Duration;

use facteur_core::gcra::Rate;
use facteur_core::ledger::{JobRow, Next, Settlement, Slots, Wait};
use facteur_core::reason::{Reason, ReasonCode};
use facteur_core::status::Status;
use facteur_postgres::repace;

use crate::fixture::{Fixture, in_s, row};

const SENDER: &str = "+15005550006";
const HORIZON: Duration = Duration::from_secs(2);

#[tokio::test]
async fn reservations_of_many_workers_never_overlap_and_leave_no_gap() {
    let fixture = Fixture::new().await;
    let rate = Rate::per_second(1_000.0).unwrap();
    let origin = fixture.count("SELECT floor(extract(epoch FROM clock_timestamp()) * 1000000)::bigint").await;
    let reservations = (0..200).map(|_| fixture.store.reserve(SENDER, rate, 1, HORIZON));
    let mut granted = 0u32;
    for answer in futures_util::future::join_all(reservations).await {
        match answer.unwrap() {
            Slots::Granted { count, .. } => granted += count,
            Slots::Displaced { .. } => {}
        }
    }
    // What was granted is exactly what the clock moved: no slot twice, none skipped while it was busy.
    let tat = fixture
        .count("SELECT floor(extract(epoch FROM tat) * 1000000)::bigint FROM facteur.rate_slots")
        .await;
    let moved_us = u64::try_from(tat - origin).unwrap();
    let granted_us = u64::from(granted) * 1_000;
    assert!(moved_us >= granted_us, "{granted} segments in {moved_us} µs would be more than the rate");
    assert!(granted > 0);
}

#[tokio::test]
async fn beyond_two_seconds_nothing_is_reserved_and_the_displaced_come_back_one_by_one() {
    let fixture = Fixture::new().await;
    let rate = Rate::per_second(1.0).unwrap();
    fixture.store.reserve(SENDER, rate, 4, HORIZON).await.unwrap();
    let before = fixture.text("SELECT tat::text FROM facteur.rate_slots").await;
    let mut waits = Vec::new();
    for _ in 0..5 {
        match fixture.store.reserve(SENDER, rate, 1, HORIZON).await.unwrap() {
            Slots::Displaced { wait } => waits.push(wait.as_secs_f64()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(fixture.text("SELECT tat::text FROM facteur.rate_slots").await, before);
    for pair in waits.windows(2) {
        // Each moves the clock by its second; asking takes a moment of it.
        assert!((0.5..=1.0).contains(&(pair[1] - pair[0])), "{waits:?}");
    }
}

#[tokio::test]
async fn the_database_reserves_as_the_core_says() {
    let fixture = Fixture::new().await;
    let rate = Rate::per_second(100.0).unwrap();
    let Slots::Granted { first_in, period, count } =
        fixture.store.reserve(SENDER, rate, 3, HORIZON).await.unwrap()
    else {
        panic!("an idle clock grants at once");
    };
    let expected = facteur_core::gcra::block_size(rate, facteur_core::limits::SLOT_BLOCK, 3);
    assert_eq!((first_in, period, count), (Duration::ZERO, Duration::from_millis(10), expected));
    let Slots::Granted { first_in, .. } = fixture.store.reserve(SENDER, rate, 1, HORIZON).await.unwrap()
    else {
        panic!("the horizon is two seconds");
    };
    assert!(first_in <= period * expected);
}

#[tokio::test]
async fn a_changed_rate_acts_on_what_waits_for_it() {
    let fixture = Fixture::new().await;
    let slow = Rate::per_second(0.001).unwrap();
    fixture.store.reserve(SENDER, slow, 5, HORIZON).await.unwrap();
    let Slots::Displaced { wait } = fixture.store.reserve(SENDER, slow, 5, HORIZON).await.unwrap() else {
        panic!("the clock is far ahead");
    };
    let row = row();
    let reason = Reason::new(ReasonCode::RateLimit, "waits");
    let wait = Some(Wait { delay: wait, in_ladder: false, is_counted: false });
    let next = Next { status: Status::Waiting, reason, wait, suppress: false, hold: None };
    fixture.store.settle(Settlement { row: JobRow { deadline: in_s(90_000), ..row }, next }).await.unwrap();
    assert_eq!(repace(&fixture.database, Some(slow)).await.unwrap(), 0);
    fixture.sql(&format!("INSERT INTO facteur.senders (address, rate) VALUES ('{SENDER}', 100)")).await;
    assert_eq!(repace(&fixture.database, Some(slow)).await.unwrap(), 1);
    let wait = "SELECT extract(epoch FROM due_at - clock_timestamp())::bigint FROM facteur.jobs";
    assert!(fixture.count(wait).await <= 1, "the job comes at the new rate");
    assert!(matches!(
        fixture.store.reserve(SENDER, Rate::per_second(100.0).unwrap(), 1, HORIZON).await,
        Ok(Slots::Granted { .. })
    ));
    fixture.sql("DELETE FROM facteur.senders").await;
    assert_eq!(repace(&fixture.database, None).await.unwrap(), 1);
    assert_eq!(fixture.count("SELECT count(*) FROM facteur.rate_slots").await, 0, "no limit, no clock");
}
