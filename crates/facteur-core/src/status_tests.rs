use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[test]
fn every_status_has_one_row_of_transitions_in_the_order_of_all() {
    let rows: Vec<Status> = TRANSITIONS.iter().map(|(from, _)| *from).collect();
    assert_eq!(rows, Status::ALL);
    for (from, nexts) in TRANSITIONS {
        let distinct: BTreeSet<_> = nexts.iter().collect();
        assert_eq!(distinct.len(), nexts.len(), "{from} names a state twice");
    }
}

#[test]
fn names_are_distinct_and_lead_back() {
    for status in Status::ALL {
        assert_eq!(Status::from_name(status.as_str()), Some(status));
    }
    for status in TwilioStatus::ALL {
        assert_eq!(TwilioStatus::parse(status.as_str()), Some(status));
    }
    assert_eq!(Status::from_name("Sent"), None);
    assert_eq!(TwilioStatus::parse("teleported"), None);
}

#[test]
fn may_become_and_allowed_from_read_the_same_table() {
    for next in Status::ALL {
        let from = Status::allowed_from(next);
        for status in Status::ALL {
            assert_eq!(status.may_become(next), from.contains(&status), "{status} to {next}");
        }
    }
}

#[test]
fn a_final_state_is_left_only_by_evidence_or_a_late_record_or_the_requeue_of_a_dead_letter() {
    use Status::{Dead, Delivered, Expired, Failed, Read, Retrying, Sent, Undelivered, Waiting};
    for (from, nexts) in TRANSITIONS.iter().filter(|(from, _)| from.is_final()) {
        for next in *nexts {
            let is_evidence = [Sent, Delivered, Read, Undelivered, Failed].contains(next);
            let is_of_the_dead = *from == Dead && [Waiting, Retrying, Expired].contains(next);
            assert!(is_evidence || is_of_the_dead, "{from} to {next}");
        }
    }
}

#[test]
fn the_first_end_that_twilio_names_stays() {
    use Status::{Delivered, Failed, Read, Sent, Undelivered};
    let allowed = [(Sent, vec![Delivered, Read, Undelivered, Failed]), (Delivered, vec![Read])];
    for (from, expected) in
        allowed.into_iter().chain([Read, Undelivered, Failed].map(|end| (end, Vec::new())))
    {
        let nexts: Vec<_> = Status::ALL.into_iter().filter(|next| from.may_become(*next)).collect();
        assert_eq!(nexts, expected, "{from}");
    }
}

#[test]
fn only_what_waits_can_be_claimed_or_cancelled() {
    use Status::{Canceled, Retrying, Scheduled, Sending, Waiting};
    assert_eq!(Status::allowed_from(Sending), [Scheduled, Waiting, Retrying]);
    assert_eq!(Status::allowed_from(Canceled), [Scheduled, Waiting, Retrying]);
}

#[test]
fn a_message_that_twilio_has_is_never_sent_again() {
    use Status::{Delivered, Failed, Read, Sent, Undelivered};
    for status in [Sent, Delivered, Read, Undelivered, Failed] {
        let mut reached = BTreeSet::from([status]);
        while let Some(next) = Status::ALL
            .into_iter()
            .find(|next| !reached.contains(next) && reached.iter().any(|from| from.may_become(*next)))
        {
            reached.insert(next);
        }
        assert!(reached.iter().all(|status| status.is_final()), "{status} leads to {reached:?}");
    }
}

#[test]
fn what_is_not_final_is_pending_and_the_rest_is_not() {
    for status in Status::ALL {
        assert_eq!(status.public_word() == "pending", !status.is_final(), "{status}");
    }
    assert_eq!(Status::Read.public_word(), "delivered");
    assert_eq!(Status::Dead.public_word(), "failed");
}

#[test]
fn the_drawing_holds_every_transition() {
    let drawing = mermaid();
    assert!(drawing.starts_with("stateDiagram-v2\n"));
    for (from, nexts) in TRANSITIONS {
        for next in *nexts {
            assert!(drawing.contains(&format!("    {from} --> {next}\n")), "{from} to {next}");
        }
    }
}

#[test]
fn twilio_statuses_merge_by_this_table() {
    use TwilioStatus::{Accepted, Delivered, Failed, Queued, Read, Scheduled, Sending, Sent, Undelivered};
    let rows = [
        (None, Queued, Queued),
        (Some(Scheduled), Accepted, Accepted),
        (Some(Accepted), Queued, Queued),
        (Some(Queued), Accepted, Queued),
        (Some(Sent), Sending, Sent),
        (Some(Sent), Delivered, Delivered),
        (Some(Sent), Read, Read),
        (Some(Delivered), Sent, Delivered),
        (Some(Delivered), Read, Read),
        (Some(Read), Delivered, Read),
        (Some(Delivered), Undelivered, Delivered),
        (Some(Undelivered), Delivered, Undelivered),
        (Some(Failed), Read, Failed),
        (Some(Undelivered), Read, Undelivered),
        (Some(Queued), Failed, Failed),
    ];
    for (old, new, expected) in rows {
        assert_eq!(TwilioStatus::merge(old, new), expected, "{old:?} then {new}");
    }
}

fn any_status() -> impl Strategy<Value = TwilioStatus> {
    proptest::sample::select(TwilioStatus::ALL.to_vec())
}

/// The way of a message on which all orders of arrival must end alike.
fn happy_status() -> impl Strategy<Value = TwilioStatus> {
    use TwilioStatus::{Accepted, Delivered, Queued, Read, Sending, Sent};
    proptest::sample::select(vec![Accepted, Queued, Sending, Sent, Delivered, Read])
}

fn merge_all(statuses: &[TwilioStatus]) -> Option<TwilioStatus> {
    statuses.iter().fold(None, |old, new| Some(TwilioStatus::merge(old, *new)))
}

proptest! {
    #[test]
    fn a_merge_never_moves_down_and_twice_is_once(old in any_status(), new in any_status()) {
        let once = TwilioStatus::merge(Some(old), new);
        prop_assert!(once.rank() >= old.rank());
        prop_assert!(once == old || once == new);
        prop_assert_eq!(TwilioStatus::merge(Some(once), new), once);
        prop_assert_eq!(TwilioStatus::merge(Some(old), old), old);
    }

    #[test]
    fn the_order_of_receipts_does_not_matter_on_the_way_to_the_reader(
        (heard, shuffled) in proptest::collection::vec(happy_status(), 1..8)
            .prop_flat_map(|heard| (Just(heard.clone()), Just(heard).prop_shuffle()))
    ) {
        prop_assert_eq!(merge_all(&heard), merge_all(&shuffled));
    }

    #[test]
    fn what_merges_at_twilio_is_a_transition_of_ours(heard in proptest::collection::vec(any_status(), 1..8)) {
        let mut ours = Status::Sending;
        let mut theirs = None;
        for new in heard {
            let merged = TwilioStatus::merge(theirs, new);
            let next = status_of(merged);
            prop_assert!(next == ours || ours.may_become(next), "{} to {}", ours, next);
            (ours, theirs) = (next, Some(merged));
        }
    }
}
