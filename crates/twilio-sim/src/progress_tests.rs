use super::*;
use crate::dice::dice;
use crate::faults::Latency;

fn at(ms: u64) -> Moment {
    Moment::at(jiff::Timestamp::UNIX_EPOCH).plus(Duration::from_millis(ms))
}

fn facts() -> Circumstances {
    Circumstances {
        accepted_at: at(0),
        channel: Channel::Sms,
        by_service: false,
        send_at: None,
        slot: at(0),
        validity: None,
        doomed: None,
    }
}

fn steady() -> Progress {
    let ms = Latency::FixedMs;
    let progress = Progress { queued: ms(1), sending: ms(10), sent: ms(100), ..Progress::default() };
    Progress { delivered: ms(1_000), read: ms(10_000), ..progress }
}

fn told(facts: &Circumstances, progress: &Progress) -> Vec<(u64, &'static str, Option<u32>)> {
    let timeline = timeline(facts, progress, &mut dice(1, "fate", 0));
    let ms = |moment: Moment| u64::try_from(moment.since(at(0)).as_millis()).unwrap();
    let steps = std::iter::once(&timeline.first).chain(timeline.changes());
    steps.map(|step| (ms(step.at), step.status.as_str(), step.error)).collect()
}

#[test]
fn a_message_goes_from_queued_to_delivered() {
    let expected =
        [(0, "queued", None), (10, "sending", None), (110, "sent", None), (1_110, "delivered", None)];
    assert_eq!(told(&facts(), &steady()), expected);
}

#[test]
fn a_service_accepts_first_and_queues_later() {
    let story = told(&Circumstances { by_service: true, ..facts() }, &steady());
    assert_eq!(story[..3], [(0, "accepted", None), (1, "queued", None), (11, "sending", None)]);
}

#[test]
fn a_scheduled_message_starts_at_its_time() {
    let scheduled = Circumstances { by_service: true, send_at: Some(at(60_000)), ..facts() };
    assert_eq!(told(&scheduled, &steady())[..2], [(0, "scheduled", None), (60_001, "queued", None)]);
}

#[test]
fn a_message_that_waits_longer_than_it_is_worth_fails() {
    let late = Circumstances { slot: at(6_000), validity: Some(Duration::from_secs(5)), ..facts() };
    assert_eq!(told(&late, &steady()), [(0, "queued", None), (5_000, "failed", Some(30036))]);
}

#[test]
fn a_doomed_message_of_a_service_fails_with_its_code() {
    let doomed = Circumstances { by_service: true, doomed: Some(21610), ..facts() };
    assert_eq!(told(&doomed, &steady()), [(0, "accepted", None), (1, "failed", Some(21610))]);
}

#[test]
fn misfortunes_happen_as_often_as_configured() {
    let always = Progress { undelivered_per_mille: 1_000, undelivered_codes: vec![30005], ..steady() };
    assert_eq!(told(&facts(), &always).last(), Some(&(1_110, "undelivered", Some(30005))));
    let always = Progress { failed_per_mille: 1_000, failed_codes: vec![30007], ..steady() };
    assert_eq!(told(&facts(), &always), [(0, "queued", None), (10, "failed", Some(30007))]);
}

#[test]
fn only_whatsapp_messages_are_read() {
    let progress = Progress { whatsapp_read_per_mille: 1_000, ..steady() };
    assert_eq!(told(&facts(), &progress).last().unwrap().1, "delivered");
    let whatsapp = Circumstances { channel: Channel::Whatsapp, ..facts() };
    assert_eq!(told(&whatsapp, &progress).last(), Some(&(11_110, "read", None)));
}

#[test]
fn the_status_is_the_last_step_that_has_come() {
    let timeline = timeline(&facts(), &steady(), &mut dice(1, "fate", 0));
    for (ms, status, sent) in [(0, "queued", false), (109, "sending", false), (110, "sent", true)] {
        assert_eq!(timeline.at(at(ms)).status.as_str(), status);
        assert_eq!(timeline.sent_at(at(ms)).is_some(), sent);
    }
}

#[test]
fn only_a_scheduled_message_can_be_cancelled() {
    let scheduled = Circumstances { send_at: Some(at(60_000)), ..facts() };
    let mut timeline = timeline(&scheduled, &steady(), &mut dice(1, "fate", 0));
    assert!(timeline.clone().cancel(at(60_001)).is_none());
    assert!(timeline.cancel(at(1)).is_some());
    assert_eq!(timeline.at(at(70_000)).status, Status::Canceled);
    assert!(timeline.cancel(at(2)).is_none());
}
