//! The odd inputs of operations: workers that are set up differently, a newer schema, a clock that is wrong.

use std::time::Duration;

use crate::system::{System, assert_discreet};

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn two_workers_with_different_settings_are_told_with_both_values() {
    let system = System::new().await;
    let _first = system.worker_with(&[("FACTEUR_SENDER_RATE", "10")]).await;
    system.wait_until("SELECT count(*) FROM facteur.workers", 1).await;
    let second = system.worker_with(&[("FACTEUR_SENDER_RATE", "20")]).await;
    let line = second.wait_for_line("has other settings", PATIENCE).await;
    assert!(line.contains("worker.sender_rate: 20 a second here, 10 a second elsewhere"), "{line}");
    assert!(!line.contains(';'), "nothing else differs: {line}");
    // The doctor's own configuration sets no rate.
    let (code, printed) = system.command(&["doctor"]).await;
    assert_eq!(code, 0, "{printed}");
    assert!(printed.contains("worker.sender_rate: unset here"), "{printed}");
}

#[tokio::test]
async fn a_web_process_is_told_too_and_takes_itself_off_the_list() {
    let system = System::new().await;
    let _worker = system.worker().await;
    system.wait_until("SELECT count(*) FROM facteur.workers", 1).await;
    let mut web = system.process("web", &[("FACTEUR_UNCERTAIN_POLICY", "otp=resend")]);
    let line = web.wait_for_line("has other settings", PATIENCE).await;
    let differs = "worker.uncertain_policy: otp=resend,transactional=hold,marketing=hold here, \
                   otp=hold,transactional=hold,marketing=hold elsewhere";
    assert!(line.contains(differs), "{line}");
    system.wait_until("SELECT count(*) FROM facteur.workers WHERE role = 'web'", 1).await;
    assert_eq!(web.terminate(PATIENCE).await.code(), Some(0), "{}", web.lines().join("\n"));
    assert_eq!(system.count("SELECT count(*) FROM facteur.workers WHERE role = 'web'").await, 0);
}

#[tokio::test]
async fn a_worker_that_stops_takes_itself_off_the_list() {
    let system = System::new().await;
    let mut worker = system.worker().await;
    system.wait_until("SELECT count(*) FROM facteur.workers WHERE role = 'worker'", 1).await;
    assert_eq!(worker.terminate(PATIENCE).await.code(), Some(0));
    assert_eq!(system.count("SELECT count(*) FROM facteur.workers").await, 0);
}

#[tokio::test]
async fn an_older_worker_on_a_newer_schema_says_so_and_works() {
    let system = System::new().await;
    system
        .sql(
            "INSERT INTO facteur.schema_migrations (version, name, checksum) \
             VALUES (9998, '9998_of_tomorrow', 'x'), (9999, '9999_of_next_week', 'y')",
        )
        .await;
    let worker = system.worker().await;
    let line = worker.wait_for_line("does not know", PATIENCE).await;
    assert!(line.contains("has 2 migration(s)") && line.contains("up to 9999_of_next_week"), "{line}");
    system.publish_many("send.normal", 3).await;
    system.wait_until("SELECT count(*) FROM facteur.jobs WHERE status = 'sent'", 3).await;
    let (code, printed) = system.command(&["doctor"]).await;
    assert_eq!(code, 0, "{printed}");
    assert!(printed.contains("newer than this release"), "{printed}");
}

#[tokio::test]
async fn deadlines_follow_the_databases_clock_where_this_machines_is_an_hour_ahead() {
    let system = System::new().await;
    // For whoever looks functions up here first, it is an hour ago.
    system
        .sql(
            "CREATE SCHEMA hour_ago; CREATE FUNCTION hour_ago.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS \
             'SELECT pg_catalog.clock_timestamp() - interval ''1 hour'''",
        )
        .await;
    let environment = system.environment();
    let (_, url) = environment.iter().find(|(name, _)| *name == "DATABASE_URL").unwrap();
    let mut url = url::Url::parse(url).unwrap();
    url.query_pairs_mut().append_pair("options", "-csearch_path=hour_ago,pg_catalog");
    let worker = system.worker_with(&[("DATABASE_URL", url.as_str())]).await;
    let line = worker.wait_for_line("s ahead of the database's", PATIENCE).await;
    // An answer that took long makes the difference a little less certain.
    let ahead_s = line.split("this machine's clock is ").nth(1).and_then(|rest| rest.split(' ').next());
    assert!((3_590..=3_610).contains(&ahead_s.unwrap().parse::<i64>().unwrap()), "{line}");
    let half_an_hour_ago = "SELECT to_char(clock_timestamp() AT TIME ZONE 'utc' - interval '30 minutes', \
                            'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')";
    let expires_at = system.text(half_an_hour_ago).await.unwrap();
    let body = format!(r#"{{"to": "+33612000001", "body": "SECRET", "expires_at": "{expires_at}"}}"#);
    system.publish("send.normal", body).await;
    system.wait_until_final(1).await;
    assert_eq!(system.jobs("status = 'sent'").await, 1, "by the database's clock it had half an hour left");
    assert_discreet(&worker);
}
