use super::*;
use tokio::time::advance;

/// The server's clock is `ahead_s` seconds ahead of the epoch at our start.
fn reading(anchor: &Anchor, at: Instant, ahead: f64, server: i64) -> ClockReading {
    let ahead_ns = (ahead * 1e9) as i128;
    let now = Timestamp::from_nanosecond(ahead_ns + (at - anchor.origin).as_nanos() as i128).unwrap();
    ClockReading { now, server_started_at: Timestamp::from_second(server).unwrap() }
}

/// A question that travels `there` and whose answer travels `back`.
async fn ask(anchor: &Anchor, there_ms: u64, back_ms: u64, ahead: f64, server: i64) -> Trust {
    let asked_at = Instant::now();
    advance(Duration::from_millis(there_ms)).await;
    let reading = reading(anchor, Instant::now(), ahead, server);
    advance(Duration::from_millis(back_ms)).await;
    anchor.observe(asked_at, Instant::now(), reading)
}

#[tokio::test(start_paused = true)]
async fn an_instant_is_never_early_and_the_quickest_answer_of_the_last_minute_says_when_it_is() {
    let anchor = Anchor::new();
    let place = Timestamp::from_second(1_010).unwrap();
    assert_eq!(anchor.instant(place), None);
    for (back_ms, late_ms) in [(40, 40), (3, 3), (500, 3)] {
        assert_eq!(ask(&anchor, 5, back_ms, 1_000.0, 1).await, Trust::Sound);
        let due = anchor.origin + Duration::from_secs(10);
        assert_eq!(anchor.instant(place), Some(due + Duration::from_millis(late_ms)));
    }
}

#[tokio::test(start_paused = true)]
async fn drift_is_followed() {
    let anchor = Anchor::new();
    for second in 0..600 {
        let ahead = 1_000.0 - f64::from(second) * 50e-6;
        assert_eq!(ask(&anchor, 2, 2, ahead, 1).await, Trust::Sound);
        advance(Duration::from_secs(1)).await;
    }
    assert_eq!(anchor.not_before(), None);
    // By now the server is 30 ms behind its first reading; what is older than a minute has no say.
    let due = anchor.instant(Timestamp::from_second(2_000).unwrap()).unwrap() - anchor.origin;
    assert!((Duration::from_millis(1_000_020)..Duration::from_millis(1_000_040)).contains(&due), "{due:?}");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_either_way_is_noticed_and_nothing_is_taken_for_a_second() {
    for jump in [-3_600.0, 3_600.0, -0.05, 0.05] {
        let anchor = Anchor::new();
        assert_eq!(ask(&anchor, 2, 2, 10_000.0, 1).await, Trust::Sound);
        assert_eq!(ask(&anchor, 2, 2, 10_000.0 + jump, 1).await, Trust::Broken, "{jump}");
        let now = reading(&anchor, Instant::now(), 10_000.0 + jump, 1).now;
        let distrusted = anchor.not_before().unwrap().duration_since(now);
        assert!(distrusted.as_millis() > 900, "{distrusted}");
        assert_eq!(ask(&anchor, 2, 2, 10_000.0 + jump, 1).await, Trust::Sound, "{jump}");
        let soon = anchor.instant(now).unwrap();
        assert!(soon <= Instant::now(), "the new clock counts");
    }
}

#[tokio::test(start_paused = true)]
async fn another_server_may_have_forgotten_what_it_gave() {
    let anchor = Anchor::new();
    assert_eq!(ask(&anchor, 2, 2, 1_000.0, 1).await, Trust::Sound);
    assert_eq!(ask(&anchor, 2, 2, 1_000.0, 2).await, Trust::Broken);
    assert!(anchor.not_before().is_some());
    assert_eq!(ask(&anchor, 2, 2, 1_000.0, 2).await, Trust::Sound);
}
