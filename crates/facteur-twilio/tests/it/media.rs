use facteur_twilio::{MEDIUM_BYTES_MAX, Medium, MediumError};

use crate::fixtures::{ACCOUNT, assert_discreet, client};
use crate::server::{Act, Server, http};

/// As a webhook names it, wherever the API is.
fn url() -> String {
    let sid = |kind: &str| format!("{kind}0123456789abcdef0123456789abcdef");
    format!("https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Messages/{}/Media/{}", sid("MM"), sid("ME"))
}

async fn open(server: &Server) -> Result<Medium, MediumError> {
    client(&server.url).open_medium(&url()).await
}

async fn whole(mut medium: Medium) -> Result<Vec<u8>, MediumError> {
    let mut bytes = Vec::new();
    while let Some(piece) = medium.chunk().await? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

fn to(location: &str) -> Vec<u8> {
    http("307 Temporary Redirect", &[&format!("Location: {location}")], "")
}

#[tokio::test]
async fn credentials_are_shown_to_the_api_and_not_where_it_redirects_to() {
    let found = http("200 OK", &["Content-Type: image/png"], "png");
    let server =
        Server::start(vec![Act::Reply(to("/media.twiliocdn.com/x?Signature=y")), Act::Reply(found)]).await;
    let medium = open(&server).await.unwrap();
    assert_eq!((medium.content_type(), medium.bytes()), (Some("image/png"), Some(3)));
    assert_eq!(whole(medium).await.unwrap(), b"png");
    let asked = server.requests();
    let shows = |index: usize| asked[index].head.to_lowercase().contains("authorization: basic");
    assert!(shows(0) && !shows(1), "{asked:?}");
    assert!(asked[1].head.starts_with("GET /media.twiliocdn.com/x?Signature=y "), "{asked:?}");
}

#[tokio::test]
async fn a_redirect_to_another_host_is_not_followed() {
    let other = Server::start(vec![]).await;
    for location in
        [other.url.as_str(), "http://169.254.169.254/latest/meta-data", "//evil.example/x", "nonsense:"]
    {
        let server = Server::start(vec![Act::Reply(to(location))]).await;
        assert_eq!(open(&server).await.unwrap_err(), MediumError::Elsewhere, "{location}");
    }
    assert_eq!(other.connections(), 0);
    let server = Server::start(vec![Act::Reply(http("302 Found", &[], ""))]).await;
    assert_eq!(open(&server).await.unwrap_err(), MediumError::Elsewhere);
    let server = Server::start((0..4).map(|_| Act::Reply(to("/again"))).collect()).await;
    let tired = open(&server).await.unwrap_err();
    assert_eq!(tired, MediumError::Unanswered("Twilio redirected more than 3 times".to_owned()));
    assert_eq!(server.requests().len(), 4);
}

#[tokio::test]
async fn a_medium_is_no_larger_than_it_may_be_whether_it_says_so_or_not() {
    let announced = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", MEDIUM_BYTES_MAX + 1);
    let server = Server::start(vec![Act::ReplyAndHang(announced.into_bytes())]).await;
    assert_eq!(open(&server).await.unwrap_err(), MediumError::TooLarge);
    let most = usize::try_from(MEDIUM_BYTES_MAX).unwrap();
    for (bytes, fits) in [(most, true), (most + 1, false)] {
        let mut endless = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
        endless.resize(endless.len() + bytes, b'x');
        let server = Server::start(vec![Act::ReplyAndClose(endless)]).await;
        let medium = open(&server).await.unwrap();
        assert_eq!(medium.bytes(), None);
        match whole(medium).await {
            Ok(read) => assert!(fits && read.len() == bytes),
            Err(why) => assert!(!fits && why == MediumError::TooLarge, "{why}"),
        }
    }
}

#[tokio::test]
async fn what_is_gone_is_told_from_what_fails() {
    for (status, expected) in
        [("404 Not Found", true), ("410 Gone", true), ("401 Unauthorized", false), ("500 X", false)]
    {
        let server = Server::start(vec![Act::Reply(http(status, &[], ""))]).await;
        let why = open(&server).await.unwrap_err();
        assert_eq!(why == MediumError::Gone, expected, "{status}: {why}");
    }
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc".to_vec();
    let server = Server::start(vec![Act::ReplyAndClose(cut)]).await;
    let why = whole(open(&server).await.unwrap()).await.unwrap_err();
    assert!(matches!(why, MediumError::Unanswered(_)), "{why}");
    assert_discreet(&why.to_string());
    let nobody = client("http://127.0.0.1:9").open_medium(&url()).await.unwrap_err();
    assert_discreet(&nobody.to_string());
}
