//! Answer → what was learnt about one message.

use std::time::Duration;

use facteur_core::ids::MessageSid;
use facteur_core::status::TwilioStatus;
use facteur_twilio::{FetchError, MessageState, TwilioClient, TwilioConfig};
use tokio::net::TcpListener;
use twilio_sim::{Sim, SimConfig};

use crate::fixtures::{ACCOUNT, TOKEN, assert_discreet, call, client, config};
use crate::server::{Act, Server, http};

const SID: &str = "SM0123456789abcdef0123456789abcdef";

fn sid() -> MessageSid {
    MessageSid::parse(SID).unwrap()
}

fn message(fields: &str) -> String {
    format!(r#"{{"sid":"{SID}","to":"+33612345678","body":"Bonjour Jean",{fields}}}"#)
}

#[tokio::test]
async fn every_answer_about_a_message_is_told_apart() {
    let state = |status, code| Ok(MessageState { status, code });
    let unanswered = |why: &str| Err(FetchError::Unanswered(why.to_owned()));
    let wait =
        |seconds: Option<u64>| Err(FetchError::Throttled { retry_after: seconds.map(Duration::from_secs) });
    let ok = |fields: &str| http("200 OK", &[], &message(fields));
    let answers = [
        (ok(r#""status":"delivered","error_code":null"#), state(Some(TwilioStatus::Delivered), None)),
        (
            ok(r#""status":"undelivered","error_code":30003"#),
            state(Some(TwilioStatus::Undelivered), Some(30_003)),
        ),
        (ok(r#""status":"teleported""#), state(None, None)),
        (ok(r#""status":null"#), unanswered("the answer names no status")),
        (
            http("200 OK", &[], r#"{"sid":"SM0","status":"sent"}"#),
            unanswered("the answer is about another message"),
        ),
        (http("200 OK", &[], "<html>"), unanswered("the answer is not JSON")),
        (http("404 Not Found", &[], r#"{"code":20404,"status":404}"#), Err(FetchError::Gone)),
        (http("404 Not Found", &[], "<html>"), unanswered("Twilio answered HTTP 404")),
        (http("404 Not Found", &[], r#"{"code":1}"#), unanswered("Twilio answered HTTP 404")),
        (http("429 Too Many", &["Retry-After: 7"], "{}"), wait(Some(7))),
        (http("429 Too Many", &[], r#"{"code":20429}"#), wait(None)),
        (http("401 Unauthorized", &[], r#"{"code":20003}"#), unanswered("Twilio answered HTTP 401")),
        (http("503 Oops", &["Retry-After: 7"], ""), unanswered("Twilio answered HTTP 503")),
        (http("301 Moved", &["Location: /"], ""), unanswered("Twilio answered HTTP 301")),
    ];
    for (bytes, expected) in answers {
        let server = Server::start(vec![Act::Reply(bytes)]).await;
        let fetched = client(&server.url).fetch_message(&sid()).await;
        assert_eq!(fetched, expected);
        assert_discreet(&format!("{fetched:?}"));
        let [request] = &server.requests()[..] else { panic!("one request") };
        let line = format!("GET /2010-04-01/Accounts/{ACCOUNT}/Messages/{SID}.json HTTP/1.1\r\n");
        assert!(request.head.starts_with(&line), "{}", request.head);
        assert!(request.body.is_empty());
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_or_never_comes_says_nothing() {
    let broken =
        Server::start(vec![Act::ReplyAndClose(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{".to_vec())])
            .await;
    let reset = Server::start(vec![Act::ResetAfterRequest]).await;
    for server in [&broken, &reset] {
        let fetched = client(&server.url).fetch_message(&sid()).await;
        assert!(matches!(fetched, Err(FetchError::Unanswered(_))), "{fetched:?}");
        assert_discreet(&format!("{fetched:?}"));
    }
}

#[tokio::test]
async fn the_simulator_is_asked_for_a_message_that_it_has_and_for_one_that_it_has_not() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let account = twilio_sim::Account {
        sid: ACCOUNT.to_owned(),
        auth_token: TOKEN.to_owned(),
        ..twilio_sim::Account::main()
    };
    let progress = twilio_sim::Progress::immediate();
    let simulator =
        Sim::start(SimConfig { accounts: vec![account], progress, ..SimConfig::default() }, listener);
    let client = TwilioClient::new(TwilioConfig { ..config(simulator.url()) }).unwrap();
    let facteur_core::outcome::Outcome::Accepted { sid: accepted, .. } = client.send(&call()).await else {
        panic!("the simulator accepts it")
    };
    let delivered = MessageState { status: Some(TwilioStatus::Delivered), code: None };
    assert_eq!(client.fetch_message(&accepted).await, Ok(delivered));
    assert_eq!(client.fetch_message(&sid()).await, Err(FetchError::Gone));
    simulator.stop().await;
}
