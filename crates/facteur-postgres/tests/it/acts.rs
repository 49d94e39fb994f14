use std::time::Duration;

use facteur_core::gcra::Rate;
use facteur_core::hold::Scope;
use facteur_core::ids::{JobId, Tenant};
use facteur_core::lane::Lane;
use facteur_core::sender::Sender;
use facteur_postgres::acts::ACTS;
use facteur_postgres::dead_letters::{RequeueRequest, Selection};
use facteur_postgres::pauses::{self, PauseEnd};
use facteur_postgres::{DeadLetters, cancels, senders};
use uuid::Uuid;

use crate::ground::ground;

const ADA: &str = "cli:ada";

#[tokio::test]
async fn what_is_done_at_the_command_line_is_on_the_record_once_and_what_changed_nothing_is_not() {
    let ground = ground().await;
    let database = &ground.database;
    let (acme, bulk) = (Tenant::parse("acme").unwrap(), Uuid::from_u128(7));
    let sender = Sender::parse("+33700000000").unwrap();
    let (lane, of_acme) = (Scope::Lane(Lane::Bulk), Scope::Tenant(acme.clone()));
    pauses::pause(database, &lane, "a storm", ADA, PauseEnd::After(Duration::from_secs(60))).await.unwrap();
    pauses::pause(database, &of_acme, "unpaid", ADA, PauseEnd::Open).await.unwrap();
    for _ in 0..2 {
        pauses::resume(database, &of_acme, Some("paid"), ADA).await.unwrap();
    }
    senders::set_tenant(database, &sender, Some(&acme)).await.unwrap();
    senders::set_rate(database, &sender, Rate::per_second(2.5).unwrap(), ADA).await.unwrap();
    for _ in 0..2 {
        senders::clear_rate(database, &sender, ADA).await.unwrap();
    }
    senders::set_weight(database, &acme, 3, ADA).await.unwrap();
    for _ in 0..2 {
        cancels::cancel(database, JobId(bulk), &acme, "a mistake", ADA).await.unwrap();
        cancels::cancel_bulk(database, bulk, "a mistake", ADA).await.unwrap();
    }
    let (job, _) = ground.dead_letter("retries_exhausted").await;
    let request = RequeueRequest {
        selection: Selection::Ids(vec![job]),
        actor: ADA.to_owned(),
        reason: "it is open again".to_owned(),
        force: false,
        dry_run: false,
    };
    for dry_run in [true, false, false] {
        let request = RequeueRequest { dry_run, ..request.clone() };
        DeadLetters::new(database.clone()).requeue(&request).await.unwrap();
    }
    let told = ground
        .text("SELECT tenant || ' ' || action || ' ' || coalesce(subject, '-') FROM facteur.audit_log ORDER BY id")
        .await;
    let expected = [
        "* pause_set bulk".to_owned(),
        "acme pause_set acme".to_owned(),
        "acme pause_lifted acme".to_owned(),
        "acme sender_changed +33700000000".to_owned(),
        "acme sender_changed +33700000000".to_owned(),
        "acme tenant_changed acme".to_owned(),
        format!("acme message_canceled {bulk}"),
        format!("* bulk_canceled {bulk}"),
        "acme dead_letters_requeued -".to_owned(),
    ];
    assert_eq!(told, expected.map(|row| format!("(\"{row}\")")).join(";"));
    let odd = "SELECT count(*) FROM facteur.audit_log WHERE actor <> 'cli:ada' OR request_id IS NOT NULL";
    assert_eq!(ground.text(odd).await, "(0)");
    for row in told.split(';') {
        let action = row.split(' ').nth(1).unwrap_or_default();
        assert!(ACTS.iter().any(|(known, _)| *known == action), "{action}");
    }
}
