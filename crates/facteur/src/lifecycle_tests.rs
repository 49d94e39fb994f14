use super::*;

const DRAIN: Duration = Duration::from_secs(30);

fn until_stopped(stop: &CancellationToken) -> impl Future<Output = anyhow::Result<()>> + use<> {
    let stop = stop.clone();
    async move {
        stop.cancelled().await;
        Ok(())
    }
}

#[tokio::test]
async fn a_stop_that_was_asked_for_is_no_failure() {
    let stop = CancellationToken::new();
    let mut parts = Parts::new(stop.clone());
    parts.spawn("worker", until_stopped(&stop));
    parts.spawn("http", until_stopped(&stop));
    stop.cancel();
    assert!(parts.run(DRAIN).await.is_ok());
}

#[tokio::test]
async fn a_part_that_ends_by_itself_stops_the_others_and_is_the_failure() {
    let stop = CancellationToken::new();
    let mut parts = Parts::new(stop.clone());
    parts.spawn("worker", until_stopped(&stop));
    parts.spawn("relay", async { Ok(()) });
    let error = parts.run(DRAIN).await.unwrap_err();
    assert_eq!(error.to_string(), "relay ended by itself");
    assert!(stop.is_cancelled());
}

#[tokio::test]
async fn a_part_that_fails_or_panics_is_named_with_its_cause() {
    let mut parts = Parts::new(CancellationToken::new());
    parts.spawn("relay", async { Err(anyhow!("no route")) });
    assert_eq!(format!("{:#}", parts.run(DRAIN).await.unwrap_err()), "relay ended by itself: no route");

    let mut parts = Parts::new(CancellationToken::new());
    parts.spawn("sweeper", async { panic!("a bug") });
    let error = format!("{:#}", parts.run(DRAIN).await.unwrap_err());
    assert!(error.starts_with("sweeper ended by itself: task") && error.contains("panicked"), "{error}");
}

#[tokio::test]
async fn a_failure_while_stopping_is_told() {
    let stop = CancellationToken::new();
    let mut parts = Parts::new(stop.clone());
    let part = until_stopped(&stop);
    parts.spawn("worker", async {
        part.await?;
        Err(anyhow!("a record was not written"))
    });
    stop.cancel();
    let error = format!("{:#}", parts.run(DRAIN).await.unwrap_err());
    assert_eq!(error, "worker failed while stopping: a record was not written");
}

#[tokio::test(start_paused = true)]
async fn a_part_that_does_not_stop_is_cut_off_by_name() {
    let stop = CancellationToken::new();
    let mut parts = Parts::new(stop.clone());
    parts.spawn("worker", std::future::pending());
    parts.spawn("http", until_stopped(&stop));
    stop.cancel();
    let error = parts.run(DRAIN).await.unwrap_err().to_string();
    assert_eq!(error, "cut off: worker still ran 30 s after the stop");
}
