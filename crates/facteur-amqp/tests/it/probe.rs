use facteur_amqp::{AmqpConfig, ConnectError, ProbeError, check, queue_depth};

use crate::bench::{Bench, uri};

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_broker_says_who_it_is() {
    let bench = Bench::new().await;
    let found = check(&bench.config()).await.unwrap();
    assert_eq!(found.vhost, bench.broker.vhost);
    let version = found.server_version.unwrap();
    assert!(version.starts_with(|first: char| first.is_ascii_digit()), "{version}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_to_fail_has_its_own_sentence_and_none_shows_the_password() {
    let bench = Bench::new().await;
    let [free] = facteur_testkit::free_ports().unwrap();
    let good = uri(&bench.broker.url);
    let password = good.authority.userinfo.password.clone();
    let with = |change: &dyn Fn(&mut lapin::uri::AMQPUri)| {
        let mut uri = good.clone();
        change(&mut uri);
        AmqpConfig::new(uri.to_string())
    };
    let refused = check(&with(&|uri| uri.authority.port = free)).await.unwrap_err();
    assert!(matches!(refused, ConnectError::Refused { .. }), "{refused}");
    let wrong = check(&with(&|uri| uri.authority.userinfo.password = "wrong".into())).await.unwrap_err();
    assert!(matches!(wrong, ConnectError::Credentials { .. }), "{wrong}");
    let vhost = check(&with(&|uri| uri.vhost = "no-such-vhost".into())).await.unwrap_err();
    assert!(matches!(vhost, ConnectError::Vhost { .. }), "{vhost}");
    let plain = check(&with(&|uri| uri.scheme = lapin::uri::AMQPScheme::AMQPS)).await.unwrap_err();
    assert!(matches!(plain, ConnectError::Other { .. }), "{plain}");
    for error in [refused, wrong, vhost, plain] {
        assert!(!error.to_string().contains(&password), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_depth_of_a_missing_queue_is_an_error() {
    let bench = Bench::new().await;
    let missing = queue_depth(&bench.config(), "no-such-queue").await;
    assert!(matches!(missing, Err(ProbeError::QueueMissing { .. })));
}
