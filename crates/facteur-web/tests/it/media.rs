use std::time::Duration;

use serde_json::{Value, json};
use twilio_sim::{FaultPlan, RequestFault, Rule, Scope};

use crate::inbound::inbound;
use crate::lab::{ACCOUNT, Answer, Lab};

/// A message with a medium of that name comes in; returns the path at which its conversation has it.
async fn received(lab: &Lab, name: &str, key: &str) -> String {
    let message = inbound(1, "").set("NumMedia", "1").set("MediaUrl0", &lab.picture(name).await);
    assert_eq!(lab.twilio(&message.set("MediaContentType0", "image/png")).await.status, 200);
    shown(lab, key).await
}

/// The path of the only medium, as both views of its conversation give it.
async fn shown(lab: &Lab, key: &str) -> String {
    let id = lab.text("SELECT id::text FROM facteur.conversations").await.unwrap();
    let page = lab.api("GET", &format!("/v1/conversations/{id}/messages"), key, &Value::Null).await;
    let family = lab.api("GET", &format!("/inbox/conversations/{id}"), key, &Value::Null).await;
    assert!(!page.body.contains("/Media/ME") && !family.body.contains("/Media/ME"), "{page:?} {family:?}");
    let path = page.json()["data"][0]["media"][0]["url"].clone();
    assert_eq!(family.json()["messages"][0]["media_urls"], json!([path]), "{family:?}");
    path.as_str().unwrap().to_owned()
}

async fn get(lab: &Lab, path: &str, key: &str) -> Answer {
    lab.api("GET", path, key, &Value::Null).await
}

#[tokio::test]
async fn what_a_contact_sent_is_passed_on_from_behind_the_redirect_and_can_not_act() {
    let lab = Lab::start().await;
    let key = lab.key("viewer", Some("default")).await;
    let path = received(&lab, "photo.png", &key).await;
    let answer = get(&lab, &path, &key).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "a simulated image/png"), "{answer:?}");
    let id = path.strip_prefix("/v1/media/").unwrap();
    for header in [
        "content-type: image/png".to_owned(),
        format!("content-disposition: inline; filename=\"{id}.png\""),
        "x-content-type-options: nosniff".to_owned(),
        "content-security-policy: default-src 'none'; frame-ancestors 'none'; sandbox".to_owned(),
        "cache-control: private".to_owned(),
        "content-length: 21".to_owned(),
    ] {
        assert!(answer.head.lines().any(|line| line == header), "{header}: {}", answer.head);
    }
    let foreign = lab.key("admin", Some("somebody-else")).await;
    let refused = get(&lab, &path, &foreign).await;
    assert_eq!((refused.status, refused.code().as_str()), (404, "not_found"), "{refused:?}");
    for all in [lab.key("superadmin", None).await, lab.key("sender", Some("default")).await] {
        assert_eq!(get(&lab, &path, &all).await.status, 200);
    }
}

#[tokio::test]
async fn a_document_is_for_keeping_and_what_is_gone_at_twilio_is_gone() {
    let lab = Lab::start().await;
    let key = lab.key("viewer", Some("default")).await;
    let path = received(&lab, "facture.pdf", &key).await;
    let answer = get(&lab, &path, &key).await;
    assert!(answer.head.contains("content-disposition: attachment; filename="), "{answer:?}");
    assert!(answer.head.contains("content-type: application/pdf"), "{answer:?}");
    lab.sql(
        "UPDATE facteur.media SET url = left(url, -1) || CASE right(url, 1) WHEN '0' THEN '1' ELSE '0' END",
    )
    .await;
    let gone = get(&lab, &path, &key).await;
    assert_eq!((gone.status, gone.code().as_str()), (404, "media_gone"), "{gone:?}");
}

#[tokio::test]
async fn an_address_that_is_none_of_the_accounts_media_is_not_called() {
    let lab = Lab::start().await;
    let key = lab.key("viewer", Some("default")).await;
    let path = received(&lab, "photo.png", &key).await;
    let url = lab.picture("photo.png").await;
    let asked = lab.simulator.stats().requests;
    let address = lab.address;
    for forged in [
        format!("http://{address}/metrics"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "file:///etc/passwd".to_owned(),
        url.replace(ACCOUNT, "AC11111111111111111111111111111111"),
        url.replace("/Media/", "/Media/../"),
        format!("{}/2010-04-01/Accounts/{ACCOUNT}.json", lab.simulator.url()),
    ] {
        lab.sql(&format!("UPDATE facteur.media SET url = '{forged}'")).await;
        let answer = get(&lab, &path, &key).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (409, "media_address_refused"),
            "{forged}: {answer:?}"
        );
        assert!(!answer.body.contains("http"), "{answer:?}");
    }
    assert_eq!(lab.simulator.stats().requests, asked);
}

#[tokio::test]
async fn media_are_read_with_the_credentials_of_the_account_that_received_them() {
    let lab = Lab::start().await;
    let key = lab.key("viewer", Some("default")).await;
    let path = received(&lab, "photo.png", &key).await;
    // An account that nobody has credentials for, and one whose credentials Twilio refuses.
    let unknown = "ACc0000000000000000000000000000009";
    lab.sql(&format!(
        "UPDATE facteur.media SET account = '{unknown}', url = replace(url, '{ACCOUNT}', '{unknown}')"
    ))
    .await;
    let answer = get(&lab, &path, &key).await;
    assert_eq!((answer.status, answer.code().as_str()), (409, "media_credentials_missing"), "{answer:?}");
    let admin = lab.key("admin", Some("default")).await;
    let body =
        json!({"name": "x", "integration_type": "sms", "account_sid": unknown, "auth_token": "5ecre7"});
    assert_eq!(lab.api("POST", "/v1/integrations", &admin, &body).await.status, 201);
    let answer = get(&lab, &path, &key).await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "media_unavailable"), "{answer:?}");
}

fn suffering(fault: RequestFault) -> FaultPlan {
    FaultPlan { rules: vec![Rule { on: Scope::All, ..Rule::always(fault) }], ..FaultPlan::default() }
}

#[tokio::test]
async fn a_twilio_that_fails_is_no_failure_of_ours_and_one_that_is_silent_holds_up_so_many_and_no_more() {
    let lab = Lab::start().await;
    let key = lab.key("viewer", Some("default")).await;
    let path = received(&lab, "photo.png", &key).await;
    lab.simulator.suffer(suffering(RequestFault::Error500Before));
    let answer = get(&lab, &path, &key).await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "media_unavailable"), "{answer:?}");
    lab.simulator.suffer(suffering(RequestFault::Hang));
    let asked = lab.simulator.stats().requests;
    {
        let waiting = futures_util::future::join_all((0..16).map(|_| get(&lab, &path, &key)));
        let all_began = async {
            let mut looks = tokio::time::interval(Duration::from_millis(20));
            while lab.simulator.stats().requests < asked + 16 {
                looks.tick().await;
            }
            get(&lab, &path, &key).await
        };
        let one_more = tokio::select! {
            answers = waiting => panic!("these answered: {answers:?}"),
            answer = all_began => answer,
        };
        assert_eq!((one_more.status, one_more.code().as_str()), (503, "media_busy"), "{one_more:?}");
        assert!(one_more.head.contains("retry-after: 2"), "{one_more:?}");
    }
    // Who gave up gives back what they held.
    lab.simulator.suffer(FaultPlan::default());
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    while get(&lab, &path, &key).await.status != 200 {
        looks.tick().await;
    }
}
