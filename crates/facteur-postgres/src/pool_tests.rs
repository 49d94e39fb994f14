use super::*;

fn config(url: &str) -> PostgresConfig {
    PostgresConfig {
        url: url.to_owned(),
        pool_size: 2,
        application_name: "test".to_owned(),
        publishes_events: false,
    }
}

#[test]
fn passwords_never_show() {
    let secret = "hunter2secret";
    for url in [
        format!("postgres://anna:{secret}@db.example:5433/facteur"),
        format!("host=db.example user=anna password={secret} port=5433 dbname=facteur"),
        // Unescaped characters that make the rest of the password look like something else.
        format!("postgres://anna:{secret}@x@db.example:{secret}/facteur"),
        format!("postgres://anna:p?{secret}=1@db.example/facteur"),
        format!("host=db.example password=x {secret}=y"),
    ] {
        let config = config(&url);
        assert!(!format!("{config:?}").contains(secret), "{config:?}");
        match Database::open(&config) {
            Ok(database) => assert!(!format!("{database:?}").contains(secret)),
            Err(error) => assert!(!format!("{error} {error:?}").contains(secret), "{error}"),
        }
    }
}

#[test]
fn a_url_that_makes_no_sense_is_refused_with_an_example() {
    for url in [
        "",
        "facteur",
        "mysql://x",
        "postgres:///facteur",
        "postgres://h/d?sslmode=verify-ca",
        "postgres://h/d?colour=red",
    ] {
        let error = Database::open(&config(url)).unwrap_err();
        assert!(
            error.is_lasting() && error.to_string().contains("postgres://user:password@host"),
            "{url}: {error}"
        );
    }
}

#[tokio::test]
async fn limits_stand_beside_the_urls_own_options() {
    let (postgres, target) =
        parse(&config("postgres://anna@a,b:6000/x?options=-c%20search_path%3Dy&sslmode=verify-full"))
            .unwrap();
    let options = postgres.get_options().unwrap();
    assert!(
        options.contains("statement_timeout=30000") && options.ends_with("-c search_path=y"),
        "{options}"
    );
    assert_eq!(postgres.get_ssl_mode(), tokio_postgres::config::SslMode::Require);
    assert_eq!((target.server.as_str(), target.user.as_str()), ("a:5432, b:6000", "anna"));
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_named() {
    let [port] = facteur_testkit::free_ports().unwrap();
    let error = connect(&config(&format!("postgres://anna:pw@127.0.0.1:{port}/x"))).await.unwrap_err();
    assert_eq!(error, ConnectError::Refused { server: format!("127.0.0.1:{port}") });
    assert!(error.to_string().contains("start it, or correct host and port"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let error = connect(&config(&format!("postgres://anna:pw@127.0.0.1:{port}/x"))).await.unwrap_err();
    assert!(matches!(error, ConnectError::Timeout { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_a_database_outlasts_any_outage() {
    let [port] = facteur_testkit::free_ports().unwrap();
    let url = format!("postgres://anna:pw@127.0.0.1:{port}/x");
    let began = tokio::time::Instant::now();
    let mut failures = 0;
    let mut heard = |error: &ConnectError, _: Duration| {
        // The refusal comes from outside of the paused clock, which may be over before it.
        let is_away = matches!(error, ConnectError::Refused { .. } | ConnectError::Timeout { .. });
        assert!(is_away, "{error}");
        failures += 1;
    };
    let waited = timeout(Duration::from_secs(3_600), wait_until_reachable(&config(&url), &mut heard)).await;
    assert!(waited.is_err() && began.elapsed() >= Duration::from_secs(3_600));
    assert!(failures > 200, "{failures}");
}

#[tokio::test]
async fn a_url_that_makes_no_sense_is_not_waited_for() {
    let error = wait_until_reachable(&config("nonsense"), |_, _| unreachable!()).await.unwrap_err();
    assert!(error.is_lasting());
}
