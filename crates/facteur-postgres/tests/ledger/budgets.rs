use facteur_core::Timestamp;
use facteur_core::hold::Hold;
use facteur_core::ids::{AttemptNumber, Tenant, Turn};
use facteur_core::ledger::{Claim, ClaimRequest, JobRow, Settled, Settlement, Wait};
use facteur_core::reason::ReasonCode;
use facteur_core::sender::Sender;
use facteur_core::status::Status;
use facteur_postgres::tenants::{self, TenantChange};
use facteur_postgres::{Directory, Store, Subject, budgets, lines, windows};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use crate::fixture::{Fixture, accepted, again_in, finish, in_s, record, refused, row, token, via};

fn acme() -> Tenant {
    Tenant::parse("acme").unwrap()
}

fn costing(segments: u32) -> JobRow {
    JobRow { tenant: acme(), segments, ..row() }
}

async fn budget(fixture: &Fixture, segments: Option<u32>) {
    let change = TenantChange { segments_per_day: Some(segments), ..TenantChange::default() };
    tenants::set(&fixture.database, &acme(), &change, "test").await.unwrap();
}

async fn claim(store: &Store, row: &JobRow, number: u128) -> Claim {
    let request = ClaimRequest { row: row.clone(), token: token(number), via: via(), is_budgeted: true };
    store.claim(request).await.unwrap()
}

async fn spent(fixture: &Fixture) -> i64 {
    fixture.count("SELECT coalesce(sum(segments), 0)::int8 FROM facteur.tenant_usage").await
}

fn is_ours(claim: &Claim) -> bool {
    matches!(claim, Claim::Yours(_))
}

#[tokio::test]
async fn the_claim_grants_what_fits_into_the_day_and_holds_the_rest_in_its_line() {
    let fixture = Fixture::new().await;
    budget(&fixture, Some(5)).await;
    let (three, large, two, one) = (costing(3), costing(3), costing(2), costing(1));
    assert!(is_ours(&claim(&fixture.store, &three, 1).await));
    assert_eq!(claim(&fixture.store, &large, 2).await, Claim::Held(Hold::Budget(acme())));
    assert!(is_ours(&claim(&fixture.store, &two, 3).await), "what is smaller still fits");
    assert_eq!(claim(&fixture.store, &one, 4).await, Claim::Held(Hold::Budget(acme())));
    assert_eq!(spent(&fixture).await, 5);
    assert_eq!(fixture.status(&large).await, "waiting");

    let wait = Wait { delay: Duration::ZERO, in_ladder: false, is_counted: false };
    let mut next = finish(Status::Waiting, ReasonCode::BudgetExceeded);
    (next.wait, next.hold) = (Some(wait), Some(Hold::Budget(acme())));
    let settled = fixture.store.settle(Settlement { row: large.clone(), next }).await.unwrap();
    assert_eq!(settled, Settled::Done(Turn(1)));
    assert_eq!(budgets::room(&fixture.database, &acme()).await.unwrap(), 0);
    budget(&fixture, Some(7)).await;
    assert_eq!(budgets::room(&fixture.database, &acme()).await.unwrap(), 0, "two are not three");
    budget(&fixture, Some(8)).await;
    assert_eq!(budgets::room(&fixture.database, &acme()).await.unwrap(), 3);
    assert_eq!(lines::release(&fixture.database, &Hold::Budget(acme()), 3).await.unwrap(), 1);
    let large = JobRow { turn: Turn(1), ..large };
    match claim(&fixture.store, &large, 5).await {
        Claim::Yours(attempt) => assert_eq!(attempt.number, AttemptNumber(1), "no call was made before"),
        other => panic!("{other:?}"),
    }
    assert_eq!(spent(&fixture).await, 8);
}

#[tokio::test]
async fn two_claimers_at_once_spend_the_budget_to_the_last_segment_and_not_beyond() {
    let fixture = Fixture::new().await;
    budget(&fixture, Some(100)).await;
    let other = Store::start(fixture.database.clone());
    // Of one cost, so that none is left over that no order of claims could spend. Those with an odd number were accepted
    // before, so that both statements of a claim have a part.
    let rows: Vec<JobRow> = (0..150).map(|_| costing(2)).collect();
    for row in rows.iter().skip(1).step_by(2) {
        let next = again_in(Duration::ZERO, false);
        fixture.store.settle(Settlement { row: row.clone(), next }).await.unwrap();
    }
    let present = |(nth, row): (usize, &JobRow)| JobRow { turn: Turn((nth % 2) as i32), ..row.clone() };
    let rows: Vec<JobRow> = rows.iter().enumerate().map(present).collect();
    let claims = rows.iter().zip(1u128..).map(|(row, number)| {
        let store = if number % 3 == 0 { &fixture.store } else { &other };
        claim(store, row, number)
    });
    let answers = futures_util::future::join_all(claims).await;
    let of = |(row, answer): (&JobRow, &Claim)| if is_ours(answer) { row.segments } else { 0 };
    let granted: u32 = rows.iter().zip(&answers).map(of).sum();
    assert_eq!(granted, 100);
    assert_eq!(spent(&fixture).await, 100);
    assert!(answers.iter().all(|answer| is_ours(answer) || *answer == Claim::Held(Hold::Budget(acme()))));
    let sending = fixture.count("SELECT count(*) FROM facteur.jobs WHERE status = 'sending'").await;
    let held = fixture
        .count(
            "SELECT count(*) FROM facteur.jobs WHERE status = 'waiting' AND reason = 'budget_exceeded' \
             AND attempt = 0 AND claim_token IS NULL AND counted_on IS NULL",
        )
        .await;
    assert_eq!(sending + held, 150);
}

#[tokio::test]
async fn a_job_is_counted_once_however_often_it_is_claimed_and_tried() {
    let fixture = Fixture::new().await;
    budget(&fixture, Some(10)).await;
    let job = costing(2);
    for _ in 0..2 {
        assert!(is_ours(&claim(&fixture.store, &job, 1).await), "the same claim again");
    }
    assert!(fixture.store.release(job.id, token(1), ReasonCode::RateLimit, Duration::ZERO).await.unwrap());
    assert!(is_ours(&claim(&fixture.store, &job, 2).await), "after it was given back");
    let failed = (refused(20_404), again_in(Duration::ZERO, true));
    fixture.store.record(record(&job, 2, AttemptNumber(1), failed)).await.unwrap();
    let again = JobRow { turn: Turn(1), ..job };
    assert!(is_ours(&claim(&fixture.store, &again, 3).await), "after a failure");
    assert_eq!(claim(&fixture.store, &again, 4).await, Claim::Busy);
    assert_eq!(spent(&fixture).await, 2);
    fixture.store.record(record(&again, 3, AttemptNumber(2), accepted(1))).await.unwrap();
    assert_eq!(claim(&fixture.store, &again, 5).await, Claim::Final(Status::Sent));
    assert_eq!(spent(&fixture).await, 2);
}

#[tokio::test]
async fn what_ends_or_is_held_at_the_claim_costs_nothing() {
    let fixture = Fixture::new().await;
    budget(&fixture, Some(10)).await;
    let late = JobRow { deadline: in_s(-1), ..costing(1) };
    assert_eq!(claim(&fixture.store, &late, 1).await, Claim::Ended(Status::Expired));
    fixture
        .sql("INSERT INTO facteur.pauses (scope, key, reason, actor) VALUES ('tenant', 'acme', 'x', 'x')")
        .await;
    assert!(matches!(claim(&fixture.store, &costing(1), 2).await, Claim::Held(Hold::Pause(_))));
    assert_eq!(spent(&fixture).await, 0);
}

#[tokio::test]
async fn a_budget_that_was_lifted_lets_everything_leave_and_each_day_has_its_own() {
    let fixture = Fixture::new().await;
    budget(&fixture, Some(1)).await;
    assert!(is_ours(&claim(&fixture.store, &costing(1), 1).await));
    assert!(!is_ours(&claim(&fixture.store, &costing(1), 2).await));
    fixture.sql("UPDATE facteur.tenant_usage SET day = day - 1").await;
    assert!(is_ours(&claim(&fixture.store, &costing(1), 3).await), "yesterday does not count");
    assert_eq!(budgets::usage(&fixture.database, &acme(), 10).await.unwrap().len(), 2);
    budget(&fixture, None).await;
    assert!(is_ours(&claim(&fixture.store, &costing(1), 4).await), "a worker that still thinks of one");
    assert_eq!(budgets::room(&fixture.database, &acme()).await.unwrap(), i64::MAX);
}

#[tokio::test]
async fn a_day_is_the_tenants_day_and_a_zone_that_the_database_does_not_know_is_refused() {
    let fixture = Fixture::new().await;
    let change = TenantChange {
        time_zone: Some("Pacific/Kiritimati".to_owned()),
        segments_per_day: Some(Some(1)),
        ..TenantChange::default()
    };
    tenants::set(&fixture.database, &acme(), &change, "test").await.unwrap();
    assert!(is_ours(&claim(&fixture.store, &costing(1), 1).await));
    let today = "SELECT (clock_timestamp() AT TIME ZONE 'Pacific/Kiritimati')::date::text = day::text \
                 FROM facteur.tenant_usage";
    let client = fixture.client().await;
    assert!(client.query_one(today, &[]).await.unwrap().get::<_, bool>(0));
    let moon = TenantChange { time_zone: Some("Moon/Tycho".to_owned()), ..TenantChange::default() };
    assert!(tenants::set(&fixture.database, &acme(), &moon, "test").await.is_err());
    assert_eq!(tenants::get(&fixture.database, &acme()).await.unwrap().time_zone, "Pacific/Kiritimati");
}

#[tokio::test]
async fn what_is_not_named_in_a_change_stays_and_the_audit_log_has_each_change() {
    let fixture = Fixture::new().await;
    let database = &fixture.database;
    let unset = tenants::get(database, &acme()).await.unwrap();
    assert_eq!((unset.weight, unset.changed_at), (1, None));
    let country = |code| facteur_core::phone::Country::parse(code).unwrap();
    let all = TenantChange {
        weight: Some(3),
        countries_allowed: Some(Some(vec![country("FR"), country("BE"), country("FR")])),
        segments_per_day: Some(Some(10)),
        quiet_hours: Some(true),
        language: Some(Some("fr".to_owned())),
        default_country: Some(Some(country("BE"))),
        time_zone: Some("Europe/Brussels".to_owned()),
    };
    let set = tenants::set(database, &acme(), &all, "ada").await.unwrap();
    assert_eq!(set.countries_allowed, Some(vec!["BE".to_owned(), "FR".to_owned()]));
    let later = TenantChange { language: Some(None), ..TenantChange::default() };
    let after = tenants::set(database, &acme(), &later, "bob").await.unwrap();
    let expected = tenants::TenantSettings {
        language: None,
        changed_by: Some("bob".to_owned()),
        changed_at: after.changed_at,
        ..set
    };
    assert_eq!(after, expected);
    assert_eq!(tenants::list(database).await.unwrap(), [after]);
    let told = "SELECT count(*) FROM facteur.audit_log WHERE tenant = 'acme' AND action = 'tenant_changed' \
                AND (actor = 'ada' AND details ->> 'weight' = '3' OR actor = 'bob' AND details ? 'language')";
    assert_eq!(fixture.count(told).await, 2);
    for bad in [
        TenantChange { weight: Some(0), ..TenantChange::default() },
        TenantChange { segments_per_day: Some(Some(0)), ..TenantChange::default() },
        TenantChange { countries_allowed: Some(Some(Vec::new())), ..TenantChange::default() },
        TenantChange { language: Some(Some("'".to_owned())), ..TenantChange::default() },
    ] {
        assert!(tenants::set(database, &acme(), &bad, "ada").await.is_err(), "{bad:?}");
    }
}

#[tokio::test]
async fn the_directory_tells_what_tenants_set_and_whose_budget_is_spent() {
    let fixture = Fixture::new().await;
    budget(&fixture, Some(1)).await;
    let stopping = CancellationToken::new();
    let directory = Directory::start(fixture.database.clone(), stopping.clone());
    assert_eq!(directory.rules_of(&acme()).await.segments_per_day, Some(1));
    assert_eq!(directory.rules_of(&Tenant::default_tenant()).await.segments_per_day, None);
    let job = costing(1);
    let tenant = acme();
    let subject = Subject { bulk_id: None, sender: None, tenant: &tenant, lane: job.lane, via: None };
    assert_eq!(directory.hold(subject).await, None);
    assert!(is_ours(&claim(&fixture.store, &job, 1).await));
    while directory.hold(subject).await != Some(Hold::Budget(acme())) {
        tokio::task::yield_now().await;
    }
    stopping.cancel();
}

#[tokio::test]
async fn a_window_is_as_old_as_the_latest_message_in_whatever_order_they_come() {
    let fixture = Fixture::new().await;
    let (sender, contact) = (Sender::parse("whatsapp:+14155238886").unwrap(), row().recipient.number);
    let find = async || windows::last_inbound(&fixture.database, &sender, &contact).await.unwrap();
    assert_eq!(find().await, None);
    let at = |seconds: i64| Timestamp::from_second(1_800_000_000 + seconds).unwrap();
    for (heard_at, latest) in [(at(10), at(10)), (at(5), at(10)), (at(20), at(20))] {
        windows::heard(&fixture.database, &sender, &contact, heard_at).await.unwrap();
        assert_eq!(find().await, Some(latest));
    }
}
