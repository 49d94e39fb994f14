//! Answer → what a look at the account told.

use std::time::Duration;

use facteur_twilio::{AccountCheck, Auth, TwilioClient, TwilioConfig};

use crate::fixtures::{ACCOUNT, assert_discreet, client, config};
use crate::server::{Act, Server, http};

const ACTIVE: &str = r#"{"sid":"AC0","friendly_name":"Mairie","status":"active","type":"Full"}"#;

#[tokio::test]
async fn every_answer_for_the_account_is_told_apart() {
    let other = |http_status| AccountCheck::Other { http_status };
    let mairie = AccountCheck::Ok {
        friendly_name: "Mairie".to_owned(),
        status: "active".to_owned(),
        account_type: "Full".to_owned(),
    };
    let answers = [
        (http("200 OK", &[], ACTIVE), mairie),
        (http("200 OK", &[], "<html>"), other(200)),
        (http("200 OK", &[], "{}"), other(200)),
        (http("301 Moved", &["Location: /"], ""), other(301)),
        (http("401 Unauthorized", &[], r#"{"code":20003}"#), AccountCheck::BadCredentials),
        (http("403 Forbidden", &[], r#"{"code":20008}"#), other(403)),
        (http("404 Not Found", &[], ""), other(404)),
        (http("500 Oops", &[], ""), other(500)),
    ];
    for (bytes, expected) in answers {
        let server = Server::start(vec![Act::Reply(bytes)]).await;
        assert_eq!(client(&server.url).check_account().await, expected);
        let [request] = &server.requests()[..] else { panic!("one request") };
        assert!(request.head.starts_with(&format!("GET /2010-04-01/Accounts/{ACCOUNT}.json HTTP/1.1\r\n")));
        assert!(request.body.is_empty());
    }
}

#[tokio::test]
async fn an_api_key_that_may_not_read_the_account_is_tried_on_messages() {
    let answers = [
        ("200 OK", AccountCheck::MessagesOnly),
        ("401 Unauthorized", AccountCheck::BadCredentials),
        ("403 Forbidden", AccountCheck::Other { http_status: 403 }),
    ];
    for (status, expected) in answers {
        let script = vec![Act::Reply(http("401 Unauthorized", &[], "")), Act::Reply(http(status, &[], "{}"))];
        let server = Server::start(script).await;
        let key = Auth::ApiKey { sid: format!("SK{}", "0".repeat(32)), secret: "s3cr3t-key".into() };
        let client = TwilioClient::new(TwilioConfig { auth: key, ..config(&server.url) }).unwrap();
        assert_eq!(client.check_account().await, expected);
        let path = format!("GET /2010-04-01/Accounts/{ACCOUNT}/Messages.json?PageSize=1 HTTP/1.1\r\n");
        assert!(server.requests()[1].head.starts_with(&path));
    }
}

#[tokio::test]
async fn no_answer_is_unreachable_however_it_came_about() {
    let reset = Server::start(vec![Act::ResetAfterRequest]).await;
    let silent = Server::start(vec![Act::ReplyAndHang(Vec::new())]).await;
    let impatient = |url: &str| TwilioConfig {
        call_timeout: Duration::from_millis(200),
        connect_timeout: Duration::from_millis(100),
        ..config(url)
    };
    for config in [config(&reset.url), impatient(&silent.url)] {
        let checked = TwilioClient::new(config).unwrap().check_account().await;
        assert!(matches!(checked, AccountCheck::Unreachable { .. }), "{checked:?}");
        assert_discreet(&format!("{checked:?}"));
    }
}
