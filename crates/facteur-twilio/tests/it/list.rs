//! Pages → the account's list, or why it proves nothing.

use std::time::Duration;

use facteur_core::Timestamp;
use facteur_core::reconcile::ListedMessage;
use facteur_core::status::TwilioStatus;
use facteur_twilio::ListFault;

use crate::fixtures::{ACCOUNT, NUMBER, TEXT, assert_discreet, call, client};
use crate::server::{Act, Server, http};

/// As Twilio shows a message (without what is not read).
fn message(number: u32, second: u32) -> String {
    format!(
        r#"{{"sid":"SM{number:032x}","to":"+{NUMBER}","from":null,"body":"{TEXT}","direction":"outbound-api",
            "status":"sent","error_code":null,"date_sent":null,
            "date_created":"Thu, 24 Aug 2023 05:01:{second:02} +0000"}}"#
    )
}

fn page(messages: &[String], next: Option<&str>) -> Vec<u8> {
    let next = next.map_or_else(|| "null".to_owned(), |next| format!("\"{next}\""));
    http("200 OK", &[], &format!(r#"{{"messages":[{}],"next_page_uri":{next}}}"#, messages.join(",")))
}

/// A path on the server, as Twilio gives it.
fn path(query: &str) -> String {
    format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json?{query}")
}

fn at(second: u32) -> Timestamp {
    format!("2023-08-24T05:01:{second:02}Z").parse().unwrap()
}

async fn list(
    script: Vec<Vec<u8>>,
    since: Timestamp,
) -> (Result<Vec<ListedMessage>, ListFault>, Vec<String>) {
    let server = Server::start(script.into_iter().map(Act::Reply).collect()).await;
    let listed = client(&server.url).messages_to(&call().to, since).await;
    let first_line = |head: &str| head.lines().next().unwrap_or_default().to_owned();
    (listed, server.requests().iter().map(|request| first_line(&request.head)).collect())
}

#[tokio::test]
async fn pages_are_followed_as_they_are_given_until_they_are_older_than_what_is_looked_for() {
    let script = vec![
        page(&[message(5, 50), message(4, 40)], Some(&path("To=x&PageToken=a"))),
        page(&[message(3, 20), message(2, 10)], Some(&path("To=x&PageToken=b"))),
        page(&[message(1, 0)], Some(&path("To=x&PageToken=c"))),
    ];
    let (listed, requests) = list(script, at(15)).await;
    let listed = listed.unwrap();
    assert_eq!(listed.len(), 5);
    assert_eq!(listed[0].created_at, at(50));
    assert_eq!((listed[0].twilio_status, listed[0].is_outbound), (TwilioStatus::Sent, true));
    assert_eq!((listed[0].to.as_str(), listed[0].body.as_str()), ("+33612345678", TEXT));
    assert_discreet(&format!("{listed:?}"));
    let expected = ["To=%2B33612345678&PageSize=50", "To=x&PageToken=a", "To=x&PageToken=b"];
    assert_eq!(requests, expected.map(|query| format!("GET {} HTTP/1.1", path(query))));
}

#[tokio::test]
async fn an_empty_list_is_readable() {
    assert_eq!(list(vec![page(&[], None)], at(0)).await.0, Ok(Vec::new()));
}

#[tokio::test]
async fn a_page_that_fails_in_the_middle_makes_the_whole_list_unreadable() {
    let bad_date = message(1, 0).replace("Aug", "Foo");
    let bad_sid = message(1, 0).replace("SM000", "XX000");
    for second in [
        http("500 Oops", &[], ""),
        http("200 OK", &[], "<html>"),
        http("200 OK", &[], "{}"),
        http("401 Unauthorized", &[], "{}"),
        page(&[bad_date], None),
        page(&[bad_sid], None),
    ] {
        let script = vec![page(&[message(2, 50)], Some(&path("PageToken=a"))), second];
        let (listed, requests) = list(script, at(0)).await;
        let Err(ListFault::NotReadable { cause }) = listed else { panic!("{listed:?}") };
        assert_discreet(&cause);
        assert_eq!(requests.len(), 2);
    }
}

#[tokio::test]
async fn a_connection_that_breaks_off_makes_the_list_unreadable() {
    let server = Server::start(vec![Act::ResetAfterRequest]).await;
    let listed = client(&server.url).messages_to(&call().to, at(0)).await;
    assert!(matches!(listed, Err(ListFault::NotReadable { .. })), "{listed:?}");
}

#[tokio::test]
async fn credentials_follow_no_page_to_another_place() {
    for uri in [
        "http://attacker.example/2010-04-01/Accounts/AC/Messages.json",
        "//attacker.example/2010-04-01",
        "/2010-04-01/Accounts/AC00000000000000000000000000000000/Messages.json?PageToken=a",
        "/_sim/stats",
        "nonsense",
    ] {
        let (listed, requests) = list(vec![page(&[message(2, 50)], Some(uri))], at(0)).await;
        assert!(matches!(listed, Err(ListFault::NotReadable { .. })), "{uri}: {listed:?}");
        assert_eq!(requests.len(), 1, "{uri}");
    }
}

#[tokio::test]
async fn a_throttle_says_how_long_to_wait() {
    let (listed, _) = list(vec![http("429 Slow down", &["Retry-After: 7"], "{}")], at(0)).await;
    assert_eq!(listed, Err(ListFault::Throttled { retry_after: Some(Duration::from_secs(7)) }));
}

#[tokio::test]
async fn a_list_without_an_end_is_given_up() {
    let endless = || page(&[message(2, 50)], Some(&path("PageToken=a")));
    let (listed, requests) = list((0..30).map(|_| endless()).collect(), at(0)).await;
    assert!(matches!(listed, Err(ListFault::NotReadable { .. })), "{listed:?}");
    assert_eq!(requests.len(), 20);
}

#[tokio::test]
async fn the_latest_messages_are_one_page_of_the_whole_account() {
    let server = Server::start(vec![Act::Reply(page(&[message(2, 50)], Some(&path("PageToken=a"))))]).await;
    assert_eq!(client(&server.url).latest_messages().await.unwrap().len(), 1);
    let head = &server.requests()[0].head;
    assert!(head.starts_with(&format!("GET {} HTTP/1.1\r\n", path("PageSize=50"))), "{head}");
}
