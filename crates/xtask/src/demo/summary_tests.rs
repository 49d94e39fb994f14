use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::Summary;
use crate::demo::progress::Counts;

fn counts(statuses: &[(&str, u64)], without_job: u64) -> Counts {
    let statuses = statuses.iter().map(|(status, count)| ((*status).to_owned(), *count));
    Counts { statuses: statuses.collect::<BTreeMap<_, _>>(), without_job }
}

fn stats(accepted: u64, doubled: u64) -> Value {
    json!({"accepted": accepted, "duplicates_by_recipient_and_text": doubled, "duplicates_by_message_id": 0})
}

fn summary(published: usize, counts: &Counts, stats: &Value) -> Summary {
    Summary::new(published, counts, stats, Duration::from_secs(2)).unwrap()
}

#[test]
fn a_run_in_which_everything_is_accounted_for_draws_no_complaint() {
    let counts = counts(&[("read", 5), ("delivered", 1), ("failed", 2), ("dead", 1), ("suppressed", 1)], 2);
    let summary = summary(12, &counts, &stats(6, 0));
    assert_eq!(summary.complaints(), Vec::<String>::new());
    assert_eq!((summary.sent, summary.delivered, summary.lost), (0, 6, 0));
    assert!((summary.messages_per_second - 6.0).abs() < 0.001);
}

#[test]
fn a_lost_job_a_doubled_text_and_an_unfinished_one_are_complaints() {
    let lost = summary(3, &counts(&[("delivered", 2)], 0), &stats(2, 0));
    assert_eq!(lost.lost, 1);
    assert_eq!(lost.complaints().len(), 2, "lost, and the sum is wrong");
    let doubled = summary(2, &counts(&[("delivered", 2)], 0), &stats(3, 1));
    assert_eq!(doubled.complaints(), ["doubled is 1"]);
    let unfinished = summary(2, &counts(&[("delivered", 1), ("waiting", 1)], 0), &stats(1, 0));
    assert_eq!(unfinished.complaints(), ["1 jobs are not at their end"]);
}

#[test]
fn more_than_was_published_is_a_complaint_too() {
    let summary = summary(1, &counts(&[("delivered", 2)], 0), &stats(2, 0));
    assert_eq!(summary.lost, -1);
    assert!(!summary.complaints().is_empty());
}

#[test]
fn a_message_marked_sent_that_nobody_took_is_a_complaint() {
    let summary = summary(2, &counts(&[("delivered", 2)], 0), &stats(1, 0));
    assert_eq!(summary.complaints(), ["2 are marked sent, but only 1 were taken"]);
}

#[test]
fn a_message_whose_end_no_callback_told_is_a_complaint() {
    let summary = summary(1, &counts(&[("sent", 1)], 0), &stats(1, 0));
    assert_eq!(summary.complaints(), ["of 1 that Twilio took, no callback said how they ended"]);
}

#[test]
fn statistics_that_lack_a_counter_are_an_error() {
    let missing = Summary::new(0, &Counts::default(), &json!({"accepted": 0}), Duration::ZERO);
    assert!(missing.unwrap_err().to_string().contains("duplicates_by_recipient_and_text"));
}
