//! What a tenant sets for what may leave: countries, budget, quiet hours.

use facteur_core::Timestamp;
use facteur_core::ids::{JobId, Tenant};
use facteur_core::job::{Category, Channel, Content, Job, Recipient};
use facteur_core::phone::{Country, PhoneNumber};
use facteur_core::rules::{Quiet, TenantRules};
use uuid::Uuid;

use crate::system::System;

async fn done(system: &System, line: &str) -> String {
    let (code, printed) = system.command(&line.split(' ').collect::<Vec<_>>()).await;
    assert_eq!(code, 0, "{line}: {printed}");
    printed
}

fn to(number: &str, text: &str) -> String {
    format!(r#"{{"tenant": "acme", "to": "{number}", "body": "{text}"}}"#)
}

#[tokio::test]
async fn a_tenant_that_writes_to_france_alone_refuses_america_with_the_code() {
    let system = System::new().await;
    done(&system, "tenants set acme --countries FR,BE --country BE").await;
    let worker = system.worker().await;
    let abroad = system.publish("send.normal", to("+12125550123", "x")).await;
    let at_home = system.publish("send.normal", to("+33612345678", "x")).await;
    let national = system.publish("send.normal", to("0470123456", "x")).await;
    let other = system.publish("send.normal", r#"{"to": "+12125550124", "body": "x"}"#).await;
    system.wait_until_final(4).await;
    let reason = |id: Uuid| format!("SELECT status || ' ' || reason FROM facteur.jobs WHERE id = '{id}'");
    assert_eq!(system.text(&reason(abroad)).await.as_deref(), Some("dead country_not_allowed"));
    for sent in [at_home, national, other] {
        assert_eq!(system.text(&reason(sent)).await.as_deref(), Some("sent accepted"));
    }
    let number = format!("SELECT recipient FROM facteur.messages WHERE id = '{national}'");
    assert_eq!(system.text(&number).await.as_deref(), Some("+32470123456"));
    assert_eq!(system.simulator.stats().accepted, 3, "the refusal cost no call");
    let story = done(&system, &format!("status {abroad}")).await;
    assert!(story.contains("country_not_allowed") && story.contains("of US"), "{story}");
    let listed = done(&system, "tenants list").await;
    assert!(listed.contains("acme") && listed.contains("BE, FR"), "{listed}");
    assert!(worker.lines().iter().all(|line| !line.contains("2125550123")));
}

#[tokio::test]
async fn two_workers_keep_a_budget_to_the_segment_and_a_raised_one_lets_out_what_waits() {
    let system = System::new().await;
    done(&system, "tenants set acme --budget 30 --time-zone Europe/Paris").await;
    let _workers = (system.worker().await, system.worker().await);
    for number in 0..50 {
        system.publish("send.normal", to(&format!("+336130000{number:02}"), "x")).await;
    }
    let line = "SELECT count(*) FROM facteur.jobs WHERE waits_for = 'budget:acme'";
    system.wait_until(line, 20).await;
    system.wait_until("SELECT count(*) FROM facteur.jobs WHERE status = 'sent'", 30).await;
    let held = system.text("SELECT id::text FROM facteur.jobs WHERE waits_for IS NOT NULL LIMIT 1").await;
    let story = done(&system, &format!("status {}", held.unwrap())).await;
    assert!(story.contains("budget_exceeded") && story.contains("midnight"), "{story}");
    done(&system, "tenants set acme --budget 45").await;
    system.wait_until("SELECT count(*) FROM facteur.jobs WHERE status = 'sent'", 45).await;
    done(&system, "tenants set acme --budget none").await;
    system.wait_until_final(50).await;
    assert_eq!(system.jobs("status = 'sent' AND attempt = 1 AND failures = 0").await, 50);
    system.assert_nothing_doubled();
}

/// A number where marketing has to wait for at least an hour now, and until when.
#[expect(clippy::disallowed_methods, reason = "the worker's clock is this machine's")]
fn at_night() -> (String, Timestamp) {
    let rules = TenantRules { has_quiet_hours: true, ..TenantRules::default() };
    let job = |number: &str| Job {
        id: JobId(Uuid::nil()),
        tenant: Tenant::default_tenant(),
        recipient: Recipient {
            channel: Channel::Sms,
            number: PhoneNumber::parse(number, Country::FRANCE).unwrap(),
        },
        sender: None,
        content: Content::Message { text: "x".to_owned(), media_urls: Vec::new() },
        category: Category::Marketing,
        send_at: None,
        expires_at: None,
        bulk_id: None,
    };
    let now = Timestamp::now();
    // Half a world apart, and one that is open for two hours of the day.
    let numbers = ["+33612345678", "+6421345678", "+79161234567"];
    let waits = numbers.into_iter().filter_map(|number| match rules.quiet(&job(number), now) {
        Quiet::Until(until) => Some((number.to_owned(), until)),
        Quiet::Open { .. } | Quiet::Always => None,
    });
    waits.max_by_key(|(_, until)| *until).unwrap()
}

#[tokio::test]
async fn marketing_waits_for_the_day_of_its_recipient_and_a_password_does_not() {
    let system = System::new().await;
    done(&system, "tenants set acme --quiet-hours on").await;
    let _worker = system.worker().await;
    let (number, until) = at_night();
    let body = |category: &str| {
        format!(r#"{{"tenant": "acme", "to": "{number}", "body": "x", "category": "{category}"}}"#)
    };
    let advertising = system.publish("send.bulk", body("marketing")).await;
    let password = system.publish("send.urgent", body("otp")).await;
    system
        .wait_until(
            &format!("SELECT count(*) FROM facteur.jobs WHERE id = '{password}' AND status = 'sent'"),
            1,
        )
        .await;
    let waits = format!(
        "SELECT count(*) FROM facteur.jobs WHERE id = '{advertising}' AND status = 'waiting' \
         AND reason = 'quiet_hours' AND attempt = 0 \
         AND abs(extract(epoch FROM not_before - timestamptz '{until}')) < 2"
    );
    system.wait_until(&waits, 1).await;
    let story = done(&system, &format!("status {advertising}")).await;
    assert!(story.contains("quiet_hours") && story.contains(&format!("{until:.0}")), "{story}");
    assert_eq!(system.simulator.stats().accepted, 1);
}
