//! Fetching, listing, redacting, cancelling, deleting.

use serde_json::json;
use twilio_sim::{ACCOUNT_SID, Latency, Progress, SimConfig};

use crate::lab::{FROM, Lab, SERVICE, TO, immediate, sids};

#[tokio::test]
async fn a_message_is_fetched_as_it_stands() {
    let lab = Lab::start(immediate()).await;
    let sid = lab.send("x").await.sid();
    let message = lab.get(&Lab::message_path(&sid)).await.json();
    assert_eq!(message["status"], "delivered");
    assert!(message["date_sent"].is_string());
    let unknown = format!("SM{}", "0".repeat(32));
    assert_eq!(lab.get(&Lab::message_path(&unknown)).await.error(), (404, 20404));
}

#[tokio::test]
async fn a_failed_message_tells_its_code() {
    let progress = Progress { failed_per_mille: 1_000, ..Progress::immediate() };
    let lab = Lab::start(SimConfig { progress, ..SimConfig::default() }).await;
    let sid = lab.send("x").await.sid();
    let message = lab.get(&Lab::message_path(&sid)).await.json();
    assert_eq!((&message["status"], &message["error_code"]), (&json!("failed"), &json!(30007)));
    assert_eq!(
        (&message["error_message"], &message["date_sent"]),
        (&json!("Message filtered"), &json!(null))
    );
}

#[tokio::test]
async fn the_list_is_newest_first_and_pages_are_stable_while_messages_arrive() {
    let lab = Lab::start(immediate()).await;
    let mut all = Vec::new();
    for n in 0..5 {
        all.insert(0, lab.send(&n.to_string()).await.sid());
    }
    let mut page = lab.get(&format!("{}?PageSize=2&To=%2B33612345678", lab.messages_path())).await.json();
    assert_eq!(page["previous_page_uri"], json!(null));
    assert_eq!((&page["page"], &page["page_size"]), (&json!(0), &json!(2)));
    let first = page.clone();
    lab.send("in between").await;
    let mut seen = sids(&page);
    let mut last = page.clone();
    while let Some(next) = page["next_page_uri"].as_str() {
        assert!(next.starts_with(&lab.messages_path()), "relative to the host: {next}");
        page = lab.get(next).await.json();
        seen.extend(sids(&page));
        last = page.clone();
    }
    assert_eq!(seen, all);
    let previous = lab.get(last["previous_page_uri"].as_str().unwrap()).await.json();
    let previous = lab.get(previous["previous_page_uri"].as_str().unwrap()).await.json();
    assert_eq!(sids(&previous), sids(&first));
}

#[tokio::test]
async fn the_list_can_be_filtered() {
    let lab = Lab::start(immediate()).await;
    let one = lab.send("one").await.sid();
    let other = [("To", "+33612345679"), ("From", "+33700000001"), ("Body", "two")];
    let two = lab.create(&other).await.sid();
    assert_eq!(lab.listed("To=%2B33612345678").await, std::slice::from_ref(&one));
    assert_eq!(lab.listed("From=%2B33700000001").await, std::slice::from_ref(&two));
    assert_eq!(lab.listed("To=%2B33612345678&From=%2B33700000001").await, [""; 0]);
    let all = [two, one];
    let none: [String; 0] = [];
    for (query, expected) in [
        ("DateSent%3E=2020-01-01", &all[..]),
        ("DateSent%3C=2020-01-01", &none),
        ("DateSent%3E=2100-01-01", &none),
        ("DateSent%3C=2100-01-01T00:00:00Z", &all),
        ("DateSent=2020-01-01", &none),
        ("DateSent%3E=2020-01-01&DateSent%3C=2100-01-01", &all),
    ] {
        assert_eq!(lab.listed(query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn a_message_that_was_not_sent_has_no_date_to_filter_by() {
    let progress = Progress { sending: Latency::FixedMs(200_000), ..Progress::immediate() };
    let lab = Lab::start(SimConfig { progress, ..SimConfig::default() }).await;
    let sid = lab.send("x").await.sid();
    assert_eq!(lab.listed("DateSent%3E=2020-01-01").await, [""; 0]);
    assert_eq!(lab.listed("").await, [sid]);
}

#[tokio::test]
async fn bad_list_parameters_are_refused() {
    let lab = Lab::start(immediate()).await;
    for (query, code) in [
        ("PageSize=1001", 20007),
        ("PageSize=many", 20001),
        ("Page=-1", 20001),
        ("PageToken=PASM0", 20001),
        ("PageToken=é", 20001),
        ("DateSent=yesterday", 20001),
        ("DateSent=%3E2020-01-01", 20001),
    ] {
        let answer = lab.get(&format!("{}?{query}", lab.messages_path())).await;
        assert_eq!(answer.error(), (400, code), "{query}");
    }
    assert_eq!(lab.listed("PageSize=1000&Page=18446744073709551615").await, [""; 0]);
}

#[tokio::test]
async fn redacting_empties_the_body_and_only_that_is_possible() {
    let lab = Lab::start(immediate()).await;
    let sid = lab.send("secret").await.sid();
    let path = Lab::message_path(&sid);
    assert_eq!(lab.post(&path, &[("Body", "other")]).await.error(), (400, 20001));
    assert_eq!(lab.post(&path, &[("Status", "sent")]).await.error(), (400, 20001));
    assert_eq!(lab.post(&path, &[("Body", "")]).await.json()["body"], "");
    assert_eq!(lab.get(&path).await.json()["body"], "");
}

#[tokio::test]
async fn a_scheduled_message_can_be_cancelled_once_and_a_sent_one_never() {
    let lab = Lab::start(immediate()).await;
    let sent = Lab::message_path(&lab.send("x").await.sid());
    assert_eq!(lab.post(&sent, &[("Status", "canceled")]).await.error(), (400, 30409));
    let created = lab.get(&sent).await.json()["date_created"].as_str().unwrap().to_owned();
    let now = jiff::fmt::rfc2822::parse(&created).unwrap().timestamp();
    let send_at = (now + jiff::SignedDuration::from_hours(1)).to_string();
    let form = [
        ("To", TO),
        ("MessagingServiceSid", SERVICE),
        ("Body", "x"),
        ("ScheduleType", "fixed"),
        ("SendAt", &send_at),
    ];
    let created = lab.create(&form).await;
    assert_eq!(created.json()["status"], "scheduled");
    let scheduled = Lab::message_path(&created.sid());
    assert_eq!(lab.post(&scheduled, &[("Status", "canceled")]).await.json()["status"], "canceled");
    assert_eq!(lab.post(&scheduled, &[("Status", "canceled")]).await.error(), (400, 30409));
}

#[tokio::test]
async fn a_message_is_deleted_only_after_it_is_final() {
    let progress = Progress { delivered: Latency::FixedMs(200_000), ..Progress::immediate() };
    let lab = Lab::start(SimConfig { progress, ..SimConfig::default() }).await;
    let path = Lab::message_path(&lab.send("x").await.sid());
    assert_eq!(lab.delete(&path).await.error(), (409, 20009));
    let lab = Lab::start(immediate()).await;
    let path = Lab::message_path(&lab.send("x").await.sid());
    assert_eq!(lab.delete(&path).await.status, 204);
    assert_eq!(lab.delete(&path).await.error(), (404, 20404));
    assert_eq!(lab.listed("").await, [""; 0]);
}

#[tokio::test]
async fn media_are_listed() {
    let lab = Lab::start(immediate()).await;
    let mms = [("To", TO), ("From", FROM), ("MediaUrl", "https://example.com/a.png?x=1")];
    let message = lab.create(&mms).await.json();
    let path = message["subresource_uris"]["media"].as_str().unwrap();
    let list = lab.get(path).await.json();
    let media = &list["media_list"][0];
    assert_eq!((&media["content_type"], &media["parent_sid"]), (&json!("image/png"), &message["sid"]));
    assert!(media["sid"].as_str().unwrap().starts_with("ME"));
}

#[tokio::test]
async fn a_medium_is_behind_a_redirect_that_opens_without_credentials_and_with_none() {
    let lab = Lab::start(immediate()).await;
    let mms = [("To", TO), ("From", FROM), ("MediaUrl", "https://example.com/a.png")];
    let message = lab.create(&mms).await.json();
    let list = lab.get(message["subresource_uris"]["media"].as_str().unwrap()).await.json();
    let path = list["media_list"][0]["uri"].as_str().unwrap().strip_suffix(".json").unwrap();
    let stranger = lab.http.get(format!("{}{path}", lab.sim.url())).send().await.unwrap();
    assert_eq!(stranger.status(), 401);
    let redirect = lab.request("GET", path).send().await.unwrap();
    assert_eq!(redirect.status(), 307);
    let store = redirect.headers()["location"].to_str().unwrap();
    let opened = lab.http.get(store).send().await.unwrap();
    assert_eq!(
        (opened.status().as_u16(), &opened.headers()["content-type"]),
        (200, &"image/png".parse().unwrap())
    );
    assert_eq!(opened.text().await.unwrap(), "a simulated image/png");
    let shown = lab.http.get(store).basic_auth(ACCOUNT_SID, Some("x")).send().await.unwrap();
    assert_eq!(shown.status(), 400);
    let unknown = path.replace("/Media/ME", "/Media/MX");
    assert_eq!(lab.get(&unknown).await.error(), (404, 20404));
}

#[tokio::test]
async fn the_account_can_be_fetched() {
    let lab = Lab::start(immediate()).await;
    let account = lab.get(&format!("/2010-04-01/Accounts/{ACCOUNT_SID}.json")).await.json();
    assert_eq!((&account["sid"], &account["status"]), (&json!(ACCOUNT_SID), &json!("active")));
}

#[tokio::test]
async fn only_so_many_messages_are_kept() {
    let lab = Lab::start(SimConfig { messages_kept_max: 32, ..immediate() }).await;
    let mut latest = Vec::new();
    for n in 0..100 {
        latest.insert(0, lab.send(&n.to_string()).await.sid());
    }
    assert_eq!(lab.listed("PageSize=1000").await, latest[..32]);
    assert_eq!(lab.sim.stats().accepted, 100);
}
