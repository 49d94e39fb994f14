//! Script → outcome.

use std::time::Duration;

use facteur_core::outcome::Outcome;
use facteur_twilio::{TwilioClient, TwilioConfig};
use tokio::net::TcpSocket;

use crate::fixtures::{assert_discreet, call, client, config};
use crate::server::{Act, Server, http};

const CREATED: &str = r#"{"sid":"SM0123456789abcdef0123456789abcdef","status":"queued","error_code":null}"#;
const REQUEST_ID: &str = "Twilio-Request-Id: RQ0123456789abcdef0123456789abcdef";

/// What an outcome says, in one line; causes are for people, and left out.
fn said(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Accepted { sid, twilio_status } => {
            format!("accepted {} {}", sid.as_str(), twilio_status.as_str())
        }
        Outcome::Refused { code, http_status, message } => {
            format!("refused {http_status} {code:?} {message}")
        }
        Outcome::Throttled { code, retry_after } => format!("throttled {code:?} {retry_after:?}"),
        Outcome::Unreachable { .. } => "unreachable".to_owned(),
        Outcome::Uncertain { http_status, .. } => format!("uncertain {http_status:?}"),
    }
}

fn reply(status: &str, headers: &[&str], body: &str) -> Act {
    Act::Reply(http(status, headers, body))
}

fn answers() -> Vec<(Act, &'static str)> {
    let accepted = "accepted SM0123456789abcdef0123456789abcdef queued";
    let chunked = format!(
        "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{CREATED}\r\n0\r\n\r\n",
        CREATED.len()
    );
    let late = [b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(), http("201 Created", &[], CREATED)].concat();
    let number = r#"{"code":21211,"message":"The 'To' number +33612345678 is not valid.","status":400}"#;
    let busy = r#"{"code":20429,"message":"Too Many Requests","status":429}"#;
    let full = r#"{"code":21611,"message":"SMS queue is full."}"#;
    let dates = ["Date: Fri, 20 Nov 2026 10:00:00 GMT", "Retry-After: Fri, 20 Nov 2026 10:00:30 GMT"];
    vec![
        (reply("201 Created", &[REQUEST_ID], CREATED), accepted),
        (Act::Reply(chunked.into_bytes()), accepted),
        (Act::Reply(late), accepted),
        (reply("201 Created", &[], "<html>thanks</html>"), "uncertain Some(201)"),
        (reply("204 No Content", &[], ""), "uncertain Some(204)"),
        (
            reply("400 Bad Request", &[REQUEST_ID], number),
            "refused 400 Some(21211) The 'To' number +*** is not valid.",
        ),
        (
            reply("401 Unauthorized", &[], r#"{"code":20003,"message":"Authenticate"}"#),
            "refused 401 Some(20003) Authenticate",
        ),
        (reply("404 Not Found", &[], "<html>"), "refused 404 None HTTP 404 without an explanation"),
        (reply("429 Too Many Requests", &["Retry-After: 7"], busy), "throttled Some(20429) Some(7s)"),
        (reply("429 Too Many Requests", &dates, full), "throttled Some(21611) Some(30s)"),
        (reply("429 Too Many Requests", &[], "slow down"), "throttled None None"),
        (reply("408 Request Timeout", &[], ""), "uncertain Some(408)"),
        (reply("500 Internal Server Error", &[], r#"{"code":20500,"message":"m"}"#), "uncertain Some(500)"),
        (reply("503 Service Unavailable", &[], "<html>+33612345678</html>"), "uncertain Some(503)"),
        (reply("301 Moved Permanently", &["Location: /elsewhere"], ""), "uncertain Some(301)"),
        (reply("307 Temporary Redirect", &["Location: /elsewhere"], ""), "uncertain Some(307)"),
    ]
}

fn broken_answers() -> Vec<(Act, &'static str)> {
    // Fine answers but for their length.
    let padding = " ".repeat(2 * 1024 * 1024);
    let long = "x".repeat(2 * 1024 * 1024);
    let cut = |status: &str| http(status, &[], CREATED)[..80].to_vec();
    vec![
        (
            Act::ReplyAndClose(http("201 Created", &[], &(CREATED.to_owned() + &padding))),
            "uncertain Some(201)",
        ),
        (
            Act::ReplyAndClose(http("403 Forbidden", &[], &(r#"{"code":20403}"#.to_owned() + &padding))),
            "refused 403 None HTTP 403 without an explanation",
        ),
        (Act::ReplyAndClose(http("201 Created", &[&format!("X: {long}")], CREATED)), "uncertain None"),
        (Act::ReplyAndClose(cut("201 Created")), "uncertain Some(201)"),
        (Act::ReplyAndClose(cut("400 Bad Request")), "uncertain Some(400)"),
        (Act::ReplyAndClose(cut("429 Too Many Requests")), "throttled None None"),
        (Act::ReplyAndClose(b"HTTP/1.1 201 Crea".to_vec()), "uncertain None"),
        (Act::ReplyAndClose(b"+33612345678 is not HTTP\r\n\r\n".to_vec()), "uncertain None"),
        (Act::ReplyAndClose(Vec::new()), "uncertain None"),
        (Act::ResetAfterRequest, "uncertain None"),
        (Act::ResetWithinRequest, "uncertain None"),
    ]
}

#[tokio::test]
async fn every_answer_has_its_outcome_after_one_single_request() {
    for (at, (act, expected)) in answers().into_iter().chain(broken_answers()).enumerate() {
        let server = Server::start(vec![act]).await;
        let outcome = client(&server.url).send(&call()).await;
        assert_eq!(said(&outcome), expected, "script {at}: {outcome:?}");
        assert_discreet(&format!("{outcome:?}"));
        assert!(server.requests().len() <= 1 && server.connections() == 1, "script {at} was repeated");
    }
}

#[tokio::test]
async fn an_uncertain_answer_carries_twilios_request_id() {
    let server = Server::start(vec![reply("502 Bad Gateway", &[REQUEST_ID], "")]).await;
    let Outcome::Uncertain { cause, .. } = client(&server.url).send(&call()).await else {
        panic!("not uncertain")
    };
    assert!(cause.contains("RQ0123456789abcdef0123456789abcdef"), "{cause}");
}

#[tokio::test]
async fn silence_after_the_request_is_uncertain() {
    let half = http("201 Created", &[], CREATED)[..80].to_vec();
    let hangs = [(Vec::new(), "uncertain None"), (half, "uncertain Some(201)")];
    let calls = hangs.map(|(bytes, expected)| {
        tokio::spawn(async move {
            let server = Server::start(vec![Act::ReplyAndHang(bytes)]).await;
            let impatient = TwilioConfig {
                call_timeout: Duration::from_secs(5),
                connect_timeout: Duration::from_millis(4_900),
                ..config(&server.url)
            };
            let outcome = TwilioClient::new(impatient).unwrap().send(&call()).await;
            assert_eq!(said(&outcome), expected, "{outcome:?}");
            assert_discreet(&format!("{outcome:?}"));
            assert_eq!(server.requests().len(), 1);
        })
    });
    for call in calls {
        call.await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_reset_at_once_is_never_taken_for_an_answer() {
    let server = Server::start(vec![Act::ResetAtOnce]).await;
    let outcome = client(&server.url).send(&call()).await;
    // The reset races with the request's first byte, so either is true.
    assert!(matches!(outcome, Outcome::Unreachable { .. } | Outcome::Uncertain { http_status: None, .. }));
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_refused_connection_is_unreachable() {
    // Bound, so that nobody else takes the port, but not listening.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let outcome = client(&format!("http://{}", socket.local_addr().unwrap())).send(&call()).await;
    let Outcome::Unreachable { cause } = &outcome else { panic!("{outcome:?}") };
    assert!(cause.contains("refused"), "{cause}");
    assert_discreet(cause);
}

#[tokio::test]
async fn a_failed_tls_handshake_is_unreachable() {
    let server = Server::start(vec![Act::Blurt(b"HTTP/1.1 400 Bad Request\r\n\r\n")]).await;
    let outcome = client(&server.url.replace("http:", "https:")).send(&call()).await;
    assert_eq!(said(&outcome), "unreachable", "{outcome:?}");
    assert_discreet(&format!("{outcome:?}"));
}

#[tokio::test]
async fn a_connection_that_is_not_ready_in_time_is_unreachable() {
    // Accepted by the system, never answered: the TLS handshake gets no reply.
    let server = Server::start(vec![]).await;
    let hasty = TwilioConfig {
        connect_timeout: Duration::from_millis(100),
        ..config(&server.url.replace("http:", "https:"))
    };
    let outcome = TwilioClient::new(hasty).unwrap().send(&call()).await;
    assert_eq!(said(&outcome), "unreachable", "{outcome:?}");
}

#[tokio::test]
async fn a_connection_closed_while_idle_costs_nothing() {
    let created = || http("201 Created", &[], CREATED);
    let script = vec![Act::Reply(created()), Act::ReplyAndClose(created()), Act::Reply(created())];
    let mut server = Server::start(script).await;
    let client = client(&server.url);
    for _ in 0..2 {
        assert!(matches!(client.send(&call()).await, Outcome::Accepted { .. }));
    }
    assert_eq!(server.connections(), 1, "a connection is used again");
    server.client_noticed_the_end().await;
    assert!(matches!(client.send(&call()).await, Outcome::Accepted { .. }));
    assert_eq!((server.requests().len(), server.connections()), (3, 2));
}

#[tokio::test]
async fn a_request_lost_on_a_used_connection_is_not_repeated() {
    for act in [Act::ResetAfterRequest, Act::ResetWithinRequest, Act::ReplyAndClose(Vec::new())] {
        let server = Server::start(vec![reply("201 Created", &[], CREATED), act]).await;
        let client = client(&server.url);
        assert!(matches!(client.send(&call()).await, Outcome::Accepted { .. }));
        let outcome = client.send(&call()).await;
        assert_eq!(said(&outcome), "uncertain None", "{outcome:?}");
        assert_eq!(server.connections(), 1);
    }
}
