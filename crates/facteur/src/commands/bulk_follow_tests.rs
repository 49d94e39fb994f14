use super::*;

fn followed(state: &'static str, sent: i64, failed: i64, pending: i64) -> Followed {
    Followed {
        bulk: Uuid::nil(),
        state,
        reason: None,
        total: sent + failed + pending,
        sent,
        failed,
        pending,
        states: BTreeMap::new(),
        segments: 3,
        estimated_cost: None,
        rate: None,
        starts_at: None,
    }
}

#[test]
fn the_exit_says_whether_all_of_it_was_sent_and_whether_it_is_over() {
    for (seen, still, exit) in [
        (followed("completed", 3, 0, 0), true, Exit::Done),
        (followed("completed", 2, 1, 0), true, Exit::Failed),
        (followed("canceled", 2, 1, 0), true, Exit::Failed),
        (followed("canceled", 3, 0, 0), true, Exit::Failed),
        (followed("canceled", 1, 1, 1), false, Exit::StillOpen),
        (followed("failed", 0, 3, 0), true, Exit::Failed),
        (followed("paused", 1, 0, 2), true, Exit::StillOpen),
        (followed("processing", 1, 0, 2), false, Exit::StillOpen),
        (followed("accepting", 0, 0, 2), false, Exit::StillOpen),
    ] {
        assert_eq!((seen.stands_still(), seen.exit()), (still, exit), "{seen:?}");
    }
}

#[test]
fn the_text_adds_up_and_says_where_to_look_and_what_to_do() {
    let id = Uuid::nil();
    let mut seen = followed("completed", 2, 1, 0);
    seen.estimated_cost = Some(Cost { amount: "0.2175".to_owned(), currency: "EUR".to_owned() });
    assert_eq!(
        seen.as_text(),
        format!(
            "{id} is completed: 2 sent, 1 failed, 0 pending of 3; 3 segments, about 0.2175 EUR\n\
             who failed, and why: GET /v1/bulks/{id}/failed.csv"
        )
    );
    let paused = Followed { reason: Some("jean: the text".to_owned()), ..followed("paused", 1, 0, 2) };
    assert!(paused.as_text().ends_with("\npaused: jean: the text"), "{}", paused.as_text());
    assert!(paused.how_to_go_on(false).contains(&format!("`facteur resume bulk {id}`")));
    let running = followed("processing", 1, 0, 2).how_to_go_on(true);
    assert_eq!(running, format!("the bulk goes on; `facteur bulk --follow {id}` follows it again"));
}

#[test]
fn what_is_left_goes_by_the_slower_of_rate_and_pace() {
    let s = Duration::from_secs;
    for (pending, rate, pace, expected) in [
        (100, Some(10.0), (0, s(0)), Some(s(10))),
        (100, Some(10.0), (50, s(10)), Some(s(20))),
        (100, Some(10.0), (500, s(10)), Some(s(10))),
        (100, None, (500, s(10)), Some(s(2))),
        // The first moments say little, and nothing at all says nothing.
        (100, None, (400, s(4)), None),
        (100, None, (0, s(60)), None),
        (0, Some(1.0), (9, s(9)), Some(s(0))),
    ] {
        assert_eq!(left(pending, rate, pace), expected, "{pending} {rate:?} {pace:?}");
    }
}
