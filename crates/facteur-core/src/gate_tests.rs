use std::collections::BTreeMap;

use super::*;
use crate::hold::Scope;
use crate::ids::{JobId, Tenant};
use crate::job::{Category, Channel, Recipient};
use crate::lane::Lane;
use crate::phone::{Country, PhoneNumber};
use std::time::Duration;
use uuid::Uuid;

const SMS_SENDER: &str = "+15005550006";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn job(content: Content) -> Job {
    let number = PhoneNumber::parse("+33612345678", Country::FRANCE).unwrap();
    Job {
        id: JobId(Uuid::nil()),
        tenant: Tenant::default_tenant(),
        recipient: Recipient { channel: Channel::Sms, number },
        sender: None,
        content,
        category: Category::Transactional,
        send_at: None,
        expires_at: None,
        bulk_id: None,
    }
}

fn text(text: &str) -> Content {
    Content::Message { text: text.to_owned(), media_urls: Vec::new() }
}

fn template(variables: &[(&str, &str)]) -> Content {
    let variables =
        variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>();
    Content::Template { name: "hello".to_owned(), language: None, variables, media_urls: Vec::new() }
}

fn facts() -> Facts {
    Facts {
        sender: Sender::parse(SMS_SENDER).ok(),
        sender_owner: None,
        via: Some(Via { account: "AC1".to_owned(), integration: None }),
        template: None,
        stored_text: None,
        hold: None,
        is_canceled: false,
        rules: Arc::default(),
        last_inbound_at: None,
    }
}

fn refused(verdict: Verdict) -> (Status, Code) {
    match verdict {
        Verdict::Refuse(status, reason) => (status, reason.code),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_held_back_stands_in_its_line_but_is_still_refused_or_scheduled_first() {
    let hold = Hold::Pause(Scope::Lane(Lane::Normal));
    let held = || Facts { hold: Some(hold.clone()), ..facts() };
    assert!(
        matches!(admit(&job(text("x")), held(), at(60), at(0)), Verdict::Hold(found, _) if found == hold)
    );
    assert!(matches!(
        admit(&Job { send_at: Some(at(30)), ..job(text("x")) }, held(), at(60), at(0)),
        Verdict::Later(..)
    ));
    assert!(matches!(admit(&job(text("x")), held(), at(0), at(0)), Verdict::Refuse(Status::Expired, _)));
    let canceled = Facts { is_canceled: true, sender: None, ..held() };
    assert_eq!(refused(admit(&job(text("x")), canceled, at(60), at(0))), (Status::Canceled, Code::Canceled));
    let nameless = Facts { sender: None, ..held() };
    assert!(matches!(admit(&job(text("x")), nameless, at(60), at(0)), Verdict::Refuse(Status::Dead, _)));
}

#[test]
fn a_job_that_may_leave_is_rendered_and_priced() {
    let long = "é".repeat(161);
    let Verdict::Pass(ready) = admit(&job(text(&long)), facts(), at(60), at(0)) else {
        panic!("it may leave")
    };
    assert_eq!((ready.segments, ready.text()), (2, Some(long.as_str())));
    let facts = Facts { template: Some("Bonjour {{nom}}".to_owned()), ..facts() };
    let Verdict::Pass(ready) = admit(&job(template(&[("nom", "Zoé")])), facts, at(60), at(0)) else {
        panic!("it may leave")
    };
    assert_eq!(ready.text(), Some("Bonjour Zoé"));
}

#[test]
fn each_refusal_has_its_code() {
    let hello = || Some("Bonjour {{nom}}".to_owned());
    let whatsapp = Sender::parse("whatsapp:+14155238886").ok();
    let other = Some("other".to_owned());
    let dead = Status::Dead;
    let rows = [
        (text("x"), Facts { sender: None, ..facts() }, (dead, Code::SenderMissing)),
        (text("x"), Facts { sender: None, via: None, ..facts() }, (dead, Code::IntegrationMissing)),
        (text("x"), Facts { sender: whatsapp, ..facts() }, (dead, Code::SenderChannel)),
        (text("x"), Facts { sender_owner: other, ..facts() }, (dead, Code::SenderForeign)),
        (template(&[]), facts(), (dead, Code::TemplateUnknown)),
        (template(&[]), Facts { template: hello(), ..facts() }, (dead, Code::VariableMissing)),
        (
            template(&[("nom", " ")]),
            Facts { template: Some("{{nom}}".into()), ..facts() },
            (dead, Code::ContentMissing),
        ),
        (
            template(&[("nom", &"x".repeat(1_600))]),
            Facts { template: hello(), ..facts() },
            (dead, Code::TextTooLong),
        ),
    ];
    for (content, facts, expected) in rows {
        assert_eq!(refused(admit(&job(content), facts, at(60), at(0))), expected);
    }
}

#[test]
fn what_is_worthless_expires_before_anything_else_is_looked_at() {
    let verdict = admit(&job(template(&[])), facts(), at(0), at(0));
    assert_eq!(refused(verdict), (Status::Expired, Code::Expired));
}

#[test]
fn a_future_send_at_waits_and_a_past_one_means_now() {
    let scheduled = |seconds| Job { send_at: Some(at(seconds)), ..job(text("x")) };
    assert!(
        matches!(admit(&scheduled(30), facts(), at(60), at(0)), Verdict::Later(then, _) if then == at(30))
    );
    assert!(matches!(admit(&scheduled(-30), facts(), at(60), at(0)), Verdict::Pass(_)));
}

#[test]
fn a_scheduled_job_that_can_not_be_sent_is_refused_at_once() {
    let scheduled = Job { send_at: Some(at(30)), ..job(template(&[])) };
    assert_eq!(refused(admit(&scheduled, facts(), at(60), at(0))), (Status::Dead, Code::TemplateUnknown));
}

#[test]
fn the_deadline_is_the_producers_or_the_lanes_age_limit() {
    let schedule = RetrySchedule::of(Lane::Urgent);
    let age_s = i64::try_from(schedule.age_max.as_secs()).unwrap();
    let plain = job(text("x"));
    let expiring = Job { expires_at: Some(at(5)), ..plain.clone() };
    let scheduled = Job { send_at: Some(at(100)), ..plain.clone() };
    let rows = [
        (&plain, None, age_s),
        (&plain, Some(-60), age_s - 60),
        // A producer's clock that runs ahead makes no job younger than now.
        (&plain, Some(3_600), age_s),
        (&expiring, None, 5),
        (&scheduled, Some(-60), 100 + age_s),
    ];
    for (job, enqueued_in_s, expected_in_s) in rows {
        let found = deadline(job, enqueued_in_s.map(at), &schedule, at(0));
        assert_eq!(found, at(expected_in_s), "{enqueued_in_s:?}");
    }
    assert!(schedule.age_max > Duration::ZERO);
}

#[test]
fn what_an_earlier_turn_settled_is_what_is_sent() {
    let sender = Sender::parse("+15005550001").ok();
    let earlier = Facts { sender: sender.clone(), stored_text: Some("Bonjour hier".to_owned()), ..facts() };
    let Verdict::Pass(ready) = admit(&job(template(&[])), earlier, at(60), at(0)) else {
        panic!("the template may be gone by now")
    };
    assert_eq!((ready.text(), Some(&ready.sender)), (Some("Bonjour hier"), sender.as_ref()));
}

/// 2027-01-15 is a Friday; the epoch of these tests is its morning at eight, by UTC.
fn quiet_facts() -> Facts {
    let rules = TenantRules { has_quiet_hours: true, ..TenantRules::default() };
    Facts { rules: Arc::new(rules), ..facts() }
}

fn marketing() -> Job {
    Job { category: Category::Marketing, ..job(text("x")) }
}

#[test]
fn marketing_waits_for_the_day_if_it_lives_that_long_and_is_told_when_the_night_begins() {
    let (hour, day) = (3_600, 86_400);
    let Verdict::Pass(ready) = admit(&marketing(), quiet_facts(), at(day), at(0)) else {
        panic!("it is day")
    };
    // Twenty in Paris.
    assert_eq!(ready.quiet_from, Some(at(11 * hour)));
    let Verdict::Wait(until, reason, _) = admit(&marketing(), quiet_facts(), at(3 * day), at(11 * hour))
    else {
        panic!("it is night")
    };
    assert_eq!((until, reason.code), (at(23 * hour), Code::QuietHours));
    let ends_first = admit(&marketing(), quiet_facts(), at(23 * hour), at(11 * hour));
    assert_eq!(refused(ends_first), (Status::Expired, Code::Expired));
    let other = admit(&job(text("x")), quiet_facts(), at(day), at(11 * hour));
    assert!(matches!(other, Verdict::Pass(Ready { quiet_from: None, .. })), "{other:?}");
}

#[test]
fn a_pause_holds_by_day_and_the_night_comes_before_it() {
    let hold = Hold::Pause(Scope::Lane(Lane::Bulk));
    let paused = || Facts { hold: Some(hold.clone()), ..quiet_facts() };
    assert!(matches!(admit(&marketing(), paused(), at(86_400), at(0)), Verdict::Hold(..)));
    assert!(matches!(admit(&marketing(), paused(), at(200_000), at(12 * 3_600)), Verdict::Wait(..)));
}

#[test]
fn the_tenants_rules_refuse_before_any_wait_and_the_window_is_judged_when_its_hour_has_come() {
    let rules = TenantRules { countries_allowed: Some(Vec::new()), ..TenantRules::default() };
    let nowhere = || Facts { rules: Arc::new(rules.clone()), ..facts() };
    let later = Job { send_at: Some(at(30)), ..job(text("x")) };
    assert_eq!(refused(admit(&later, nowhere(), at(60), at(0))), (Status::Dead, Code::CountryNotAllowed));
    let whatsapp = |send_at| {
        let mut job = Job { send_at, ..job(text("x")) };
        job.recipient.channel = Channel::Whatsapp;
        job
    };
    let silent = || Facts {
        sender: Sender::parse("whatsapp:+14155238886").ok(),
        last_inbound_at: Some(at(-86_400)),
        ..facts()
    };
    assert_eq!(
        refused(admit(&whatsapp(None), silent(), at(60), at(0))),
        (Status::Failed, Code::WindowClosed)
    );
    assert!(matches!(admit(&whatsapp(Some(at(30))), silent(), at(60), at(0)), Verdict::Later(..)));
}

#[test]
fn a_tenant_with_a_budget_is_told_to_the_claim() {
    let rules = TenantRules { segments_per_day: Some(1), ..TenantRules::default() };
    let budgeted = || Facts { rules: Arc::new(rules.clone()), ..facts() };
    let verdict = admit(&job(text("x")), budgeted(), at(60), at(0));
    assert!(matches!(verdict, Verdict::Pass(Ready { is_budgeted: true, .. })));
    let long = admit(&job(text(&"x".repeat(161))), budgeted(), at(60), at(0));
    assert_eq!(refused(long), (Status::Dead, Code::BudgetExceeded));
}
