use std::fmt::Write as _;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::lab::{Answer, Lab};

/// A bulk as JSON with so many recipients, all of them different.
fn body_of(recipients: u32) -> String {
    let mut body =
        r#"{"name":"June","body":"Bonjour {{name}}","category":"marketing","recipients":["#.to_owned();
    for number in 0..recipients {
        let comma = if number == 0 { "" } else { "," };
        write!(body, r#"{comma}{{"to":"+336{:08}","name":"Jean {number}"}}"#, 10_000_000 + number).unwrap();
    }
    body.push_str("]}");
    body
}

fn head(key: &str, kind: &str, idempotency_key: Option<&str>, length: usize, query: &str) -> String {
    let idempotency_key =
        idempotency_key.map(|key| format!("Idempotency-Key: {key}\r\n")).unwrap_or_default();
    format!(
        "POST /v1/bulks{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: {kind}\r\n{idempotency_key}Content-Length: {length}\r\n\r\n"
    )
}

async fn post(lab: &Lab, key: &str, idempotency_key: Option<&str>, body: &str) -> Answer {
    lab.raw(&format!("{}{body}", head(key, "application/json", idempotency_key, body.len(), ""))).await
}

async fn count(lab: &Lab, query: &str) -> i64 {
    lab.text(&format!("SELECT ({query})::text")).await.unwrap().parse().unwrap()
}

fn id(answer: &Answer) -> String {
    answer.json()["id"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}

#[tokio::test]
async fn a_bad_line_is_refused_with_its_reason_and_never_stops_the_others() {
    let lab = Lab::start().await;
    let key = lab.key("sender", Some("acme")).await;
    let body = json!({
        "name": "Invitations", "body": "Bonjour {{nom}}, le {{date}} \u{2764}", "category": "marketing", "rate": 20.0,
        "recipients": [
            {"to": "06 12 34 56 78", "variables": {"nom": "Zoé", "date": 15}},
            {"to": "0612", "variables": {"nom": "Zoé", "date": "x"}},
            {"to": "+33612345679", "variables": {"nom": "'; DROP TABLE facteur.jobs; --"}},
            {"to": "+33612345678", "variables": {"nom": "Zoé", "date": "x"}},
            {"to": "+33612345680", "variables": {"nom": "{{date}}", "date": "x"}},
            {"to": "+33612345681", "variables": {"nom": "\u{0}", "date": "x"}},
        ]
    });
    let answer = lab.api("POST", "/v1/bulks", &key, &body).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    let view = answer.json();
    assert_eq!(
        (&view["state"], &view["total"], &view["tenant"]),
        (&json!("processing"), &json!(6), &json!("acme"))
    );
    assert_eq!(view["progress"]["states"], json!({"pending": 2, "refused": 4}));
    assert_eq!((&view["progress"]["pending"], &view["progress"]["failed"]), (&json!(2), &json!(4)));
    let path = format!("/v1/bulks/{}", id(&answer));
    let page = lab.api("GET", &format!("{path}/recipients?limit=4"), &key, &Value::Null).await.json();
    let code = |row: &Value| (row["line"].as_i64(), row["code"].as_str().unwrap_or("").to_owned());
    let codes: Vec<_> = page["data"].as_array().unwrap().iter().map(code).collect();
    let expected = [(1, ""), (2, "number_invalid"), (3, "variable_missing"), (4, "duplicate_recipient")];
    assert_eq!(codes, expected.map(|(line, code)| (Some(line), code.to_owned())));
    assert_eq!(page["data"][2]["reason"], "no value for date");
    let next = format!("{path}/recipients?cursor={}", page["next_cursor"].as_str().unwrap());
    let next = lab.api("GET", &next, &key, &Value::Null).await.json();
    assert_eq!(
        (next["data"][0]["line"].as_i64(), next["data"][1]["code"].as_str()),
        (Some(5), Some("nul_byte"))
    );
    assert_eq!(next["next_cursor"], Value::Null);
    let refused =
        lab.api("GET", &format!("{path}/recipients?state=refused"), &key, &Value::Null).await.json();
    assert_eq!(refused["data"].as_array().unwrap().len(), 4);
    let wrong = lab.api("GET", &format!("{path}/recipients?state=lost"), &key, &Value::Null).await;
    assert_eq!((wrong.status, wrong.code().as_str()), (422, "invalid_field"));
    // What is sent was rendered when it was accepted; a value is never a template.
    let text = lab.text("SELECT text FROM facteur.bulk_recipients WHERE line = 5").await;
    assert_eq!(text.as_deref(), Some("Bonjour {{date}}, le x \u{2764}"));
    let foreign = lab.key("admin", Some("other")).await;
    for path in
        [path.clone(), format!("{path}/recipients"), format!("{path}/failed.csv"), format!("{path}/events")]
    {
        assert_eq!(lab.api("GET", &path, &foreign, &Value::Null).await.status, 404, "{path}");
    }
    assert_eq!(lab.api("POST", &format!("{path}/cancel"), &foreign, &Value::Null).await.status, 404);
    assert_eq!(lab.api("GET", "/v1/bulks", &foreign, &Value::Null).await.json()["data"], json!([]));
    let list = lab.api("GET", "/v1/bulks", &key, &Value::Null).await.json();
    assert_eq!(list["data"][0]["name"], "Invitations");
    assert_eq!(lab.api("GET", "/v1/bulks/x", &key, &Value::Null).await.status, 404);
    let audited = lab.text("SELECT action || ' ' || (details ->> 'recipients') FROM facteur.audit_log WHERE action LIKE 'send%'").await;
    assert_eq!(audited.as_deref(), Some("send_bulk_sms 6"));
}

#[tokio::test]
async fn what_is_wrong_for_all_is_refused_at_once_and_leaves_nothing() {
    let lab = Lab::start().await;
    let key = lab.key("sender", Some("acme")).await;
    let to = json!([{"to": "+33612345678"}]);
    for (body, status, code, field) in [
        (json!({"body": "x", "recipients": []}), 422, "recipients_missing", "recipients"),
        (json!({"body": "x"}), 422, "field_missing", "recipients"),
        (json!({"recipients": to}), 422, "content_missing", "body"),
        (json!({"body": "x", "template": "y", "recipients": to}), 422, "content_ambiguous", "body"),
        (json!({"template": "nowhere", "recipients": to}), 422, "template_unknown", "template"),
        (json!({"body": "x {{", "recipients": to}), 422, "invalid_field", "body"),
        (json!({"body": "x", "from": "!", "recipients": to}), 422, "invalid_field", "from"),
        (json!({"body": "x", "channel": "whatsapp", "recipients": to}), 422, "sender_missing", "from"),
        (json!({"body": "x", "rate": 0, "recipients": to}), 422, "invalid_field", "rate"),
        (
            json!({"body": "x", "error_ratio_max": 1, "recipients": to}),
            422,
            "invalid_field",
            "error_ratio_max",
        ),
        (json!({"body": "x", "colour": 1, "recipients": to}), 422, "unknown_field", "colour"),
        (json!({"body": "x", "recipients": [{"to": 5}]}), 422, "invalid_field", "recipients[0].to"),
        (
            json!({"body": "x", "recipients": [{"to": "1"}, {"nom": "x"}]}),
            422,
            "unknown_field",
            "recipients[1].nom",
        ),
        (json!({"body": "x", "tenant": "other", "recipients": to}), 403, "tenant_foreign", "tenant"),
        (json!({"body": "x\u{0}", "recipients": to}), 422, "nul_byte", ""),
        (json!([]), 422, "invalid_field", ""),
    ] {
        let answer = lab.api("POST", "/v1/bulks", &key, &body).await;
        let got = (answer.status, answer.code(), answer.json()["field"].as_str().unwrap_or("").to_owned());
        assert_eq!(got, (status, code.to_owned(), field.to_owned()), "{body} {}", answer.body);
    }
    let twice = r#"{"body":"x","body":"y","recipients":[{"to":"+33612345678"}]}"#;
    assert_eq!(post(&lab, &key, None, twice).await.code(), "invalid_field");
    for broken in ["", "{", r#"{"body":"x","recipients":[{"to":"+33612345678"}"#, "{}x"] {
        let answer = post(&lab, &key, None, broken).await;
        assert!(matches!(answer.status, 400 | 422), "{broken} {answer:?}");
    }
    let plain = lab.raw(&format!("{}x", head(&key, "text/plain", None, 1, ""))).await;
    assert_eq!((plain.status, plain.code().as_str()), (415, "content_type_unsupported"));
    assert_eq!(count(&lab, "SELECT count(*) FROM facteur.bulks WHERE state NOT IN ('failed')").await, 0);
    // Recipients may come first all the same, as long as there are few.
    let first = r#"{"recipients":[{"to":"+33612345678"}],"name":"n","body":"x"}"#;
    assert_eq!(post(&lab, &key, None, first).await.status, 202);
    let viewer = lab.key("viewer", Some("acme")).await;
    assert_eq!(post(&lab, &viewer, None, first).await.status, 403);
}

#[expect(clippy::print_stdout, reason = "a figure to look at, with --no-capture")]
fn say(line: &str) {
    println!("{line}");
}

#[tokio::test]
async fn a_hundred_thousand_recipients_are_accepted_in_one_request_and_one_more_is_too_many() {
    let lab = Lab::start().await;
    let key = lab.key("sender", Some("default")).await;
    let began = tokio::time::Instant::now();
    let answer = post(&lab, &key, None, &body_of(100_000)).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    say(&format!("100,000 recipients were accepted in {:?}", began.elapsed()));
    let progress = answer.json()["progress"].clone();
    assert_eq!(progress["states"], json!({"pending": 100_000}));
    let staged = "SELECT count(*) FROM facteur.bulk_recipients";
    assert_eq!(count(&lab, staged).await, 100_000);
    let answer = post(&lab, &key, Some("big"), &body_of(100_001)).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "too_many_recipients"));
    assert_eq!(count(&lab, "SELECT count(*) FROM facteur.bulks WHERE state = 'processing'").await, 1);
    assert_eq!(count(&lab, "SELECT count(*) FROM facteur.bulks WHERE state = 'failed'").await, 1);
    // Nothing was processed, and the key is free for what is right.
    assert_eq!(post(&lab, &key, Some("big"), &body_of(2)).await.status, 202);
}

#[tokio::test]
async fn a_cut_upload_is_resumed_under_its_key_and_every_line_stands_there_once() {
    let lab = Lab::start().await;
    let key = lab.key("sender", Some("default")).await;
    let body = body_of(50_000);
    let mut stream = TcpStream::connect(lab.address).await.unwrap();
    let request = format!("{}{body}", head(&key, "application/json", Some("k1"), body.len(), ""));
    stream.write_all(&request.as_bytes()[..request.len() / 4 * 3]).await.unwrap();
    lab.until("SELECT (total >= 20000)::text FROM facteur.bulks", "true").await;
    drop(stream);
    let differing = body.replacen("Jean 7\"", "Jeanne\"", 1);
    let answer = post(&lab, &key, Some("k1"), &differing).await;
    let got = (answer.status, answer.code(), answer.json()["field"].clone());
    assert_eq!(got, (409, "idempotency_key_reused".to_owned(), json!("recipients[7]")));
    let other_head = body.replacen("June", "July", 1);
    assert_eq!(post(&lab, &key, Some("k1"), &other_head).await.code(), "idempotency_key_reused");
    assert_eq!(lab.text("SELECT state FROM facteur.bulks").await.as_deref(), Some("accepting"));
    let answer = post(&lab, &key, Some("k1"), &body).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert_eq!(answer.json()["progress"]["states"], json!({"pending": 50_000}));
    let again = post(&lab, &key, Some("k1"), &body).await;
    assert_eq!((again.status, id(&again)), (202, id(&answer)));
    assert_eq!(post(&lab, &key, Some("k1"), &differing).await.code(), "idempotency_key_reused");
    assert_eq!(post(&lab, &key, Some("k1"), &body_of(49_999)).await.code(), "idempotency_key_reused");
    assert_eq!(count(&lab, "SELECT count(*) FROM facteur.bulks").await, 1);
    assert_eq!(count(&lab, "SELECT count(*) FROM facteur.audit_log WHERE action LIKE 'send%'").await, 1);
}

#[tokio::test]
async fn of_uploads_of_one_key_at_once_one_bulk_comes_out() {
    let lab = Lab::start().await;
    let key = lab.key("sender", Some("default")).await;
    let body = body_of(40_000);
    let one = || post(&lab, &key, Some("same"), &body);
    let (a, b, c) = tokio::join!(one(), one(), one());
    let answers = [a, b, c];
    assert!(answers.iter().any(|answer| answer.status == 202), "{answers:?}");
    let fine = |answer: &Answer| answer.status == 202 || answer.code() == "upload_superseded";
    assert!(answers.iter().all(fine), "{answers:?}");
    assert_eq!(count(&lab, "SELECT count(*) FROM facteur.bulks").await, 1);
    assert_eq!(count(&lab, "SELECT count(DISTINCT line) FROM facteur.bulk_recipients").await, 40_000);
}

#[tokio::test]
async fn a_file_is_taken_as_it_is_and_a_dry_run_tells_what_it_would_be() {
    let lab = Lab::start().await;
    let key = lab.key("sender", Some("default")).await;
    let file = "\u{feff}T\u{e9}l\u{e9}phone;Nom;date\r\n06 12 34 56 78;\"Zo\u{e9}; dite Z\";15 juin\r\n0612;Jean;x\r\n\
                +33612345678;Double;x\r\n+33612345679;Jean;\r\n";
    let query = "?body=Bonjour+%7B%7BNom%7D%7D%2C+le+%7B%7Bdate%7D%7D&category=marketing&name=fichier";
    let send = async |query: &str| {
        lab.raw(&format!("{}{file}", head(&key, "text/csv; charset=utf-8", None, file.len(), query))).await
    };
    let dry = send(&format!("{query}&dry_run=true")).await;
    assert_eq!(dry.status, 200, "{}", dry.body);
    let seen = dry.json();
    assert_eq!((&seen["total"], &seen["accepted"], &seen["refused"]), (&json!(4), &json!(1), &json!(3)));
    assert_eq!((&seen["segments"], &seen["dry_run"]), (&json!(1), &json!(true)));
    let codes = json!({"number_invalid": 1, "duplicate_recipient": 1, "variable_missing": 1});
    assert_eq!(seen["refused_by_code"], codes);
    assert_eq!(count(&lab, "SELECT count(*) FROM facteur.bulks").await, 0);
    let answer = send(query).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    let text = lab.text("SELECT text FROM facteur.bulk_recipients WHERE state = 'pending'").await;
    assert_eq!(text.as_deref(), Some("Bonjour Zo\u{e9}; dite Z, le 15 juin"));
    let csv = lab.api("GET", &format!("/v1/bulks/{}/failed.csv", id(&answer)), &key, &Value::Null).await;
    assert!(csv.body.contains("2,0612,Jean,refused,number_invalid,"), "{}", csv.body);
    assert!(csv.head.contains("text/csv"), "{}", csv.head);
    let wrong = send("?colour=red").await;
    assert_eq!((wrong.status, wrong.code().as_str()), (400, "unknown_field"));
}

#[tokio::test]
async fn a_bulk_is_paused_resumed_slowed_tried_anew_and_cancelled() {
    let lab = Lab::start().await;
    let key = lab.key("sender", Some("default")).await;
    let bulk = id(&post(&lab, &key, None, &body_of(3)).await);
    let path = |act: &str| format!("/v1/bulks/{bulk}{act}");
    let act = async |act: &str, body: Value| lab.api("POST", &path(act), &key, &body).await;
    let paused = act("/pause", json!({"reason": "the text is checked"})).await.json();
    assert_eq!((&paused["state"], &paused["reason"]), (&json!("paused"), &json!("the text is checked")));
    let list = lab.api("GET", "/v1/bulks", &key, &Value::Null).await.json();
    assert_eq!(list["data"][0]["state"], "paused");
    assert_eq!(act("/resume", Value::Null).await.json()["state"], "processing");
    assert_eq!(act("/resume", Value::Null).await.code(), "not_paused");
    assert_eq!(act("/pause", json!({"until": "soon"})).await.code(), "invalid_field");
    let slow = lab.api("PATCH", &path(""), &key, &json!({"rate": 0.5})).await.json();
    assert_eq!(slow["rate"], json!(0.5));
    let fast = lab.api("PATCH", &path(""), &key, &json!({"rate": null})).await.json();
    assert_eq!(fast["rate"], Value::Null);
    for wrong in [json!({"rate": -1}), json!({}), json!({"rate": "fast"})] {
        assert_eq!(lab.api("PATCH", &path(""), &key, &wrong).await.status, 422, "{wrong}");
    }
    assert_eq!(act("/retry", Value::Null).await.json()["recipients"], json!(0));
    let canceled = act("/cancel", json!({"reason": "wrong text"})).await.json();
    assert_eq!((&canceled["recipients"], &canceled["bulk"]["state"]), (&json!(3), &json!("canceled")));
    assert_eq!(canceled["bulk"]["progress"]["states"], json!({"canceled": 3}));
    for act_again in ["/cancel", "/pause", "/retry"] {
        let answer = act(act_again, Value::Null).await;
        assert_eq!((answer.status, answer.code().as_str()), (409, "bulk_state"), "{act_again}");
    }
}

#[tokio::test]
async fn listeners_see_progress_as_it_happens_until_the_bulk_is_over() {
    let lab = Lab::start().await;
    let key = lab.key("viewer", Some("default")).await;
    let sender = lab.key("sender", Some("default")).await;
    let bulk = id(&post(&lab, &sender, None, &body_of(3)).await);
    let mut stream = TcpStream::connect(lab.address).await.unwrap();
    let request =
        format!("GET /v1/bulks/{bulk}/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut lines = BufReader::new(stream).lines();
    let mut next_data = async || loop {
        let line = lines.next_line().await.unwrap().unwrap();
        if let Some(data) = line.strip_prefix("data: ") {
            return serde_json::from_str::<Value>(data).unwrap();
        }
    };
    assert_eq!(next_data().await["progress"]["states"], json!({"pending": 3}));
    lab.sql("UPDATE facteur.bulk_recipients SET state = 'canceled' WHERE line = 1").await;
    assert_eq!(next_data().await["progress"]["states"], json!({"pending": 2, "canceled": 1}));
    lab.sql("UPDATE facteur.bulks SET state = 'completed'").await;
    assert_eq!(next_data().await["state"], "completed");
    let mut rest = String::new();
    lines.into_inner().read_to_string(&mut rest).await.ok();
    assert!(!rest.contains("data:"), "{rest}");
}

#[tokio::test]
async fn a_bulk_tells_what_it_is_estimated_to_cost_and_makes_no_price_up() {
    let lab = Lab::start().await;
    let key = lab.key("sender", Some("default")).await;
    let bulk = |numbers: &[&str]| {
        let recipients: Vec<Value> = numbers.iter().map(|number| json!({"to": number})).collect();
        json!({"body": "\u{e9}".repeat(161), "category": "marketing", "recipients": recipients})
    };
    let dry = async |body: &Value| lab.api("POST", "/v1/bulks?dry_run=true", &key, body).await.json();
    let french = bulk(&["+33612345678", "+33612345679", "+33612345678", "0612"]);
    let cost = json!({"amount": "0.29", "currency": "EUR"});
    let seen = dry(&french).await;
    assert_eq!(
        (&seen["segments"], &seen["estimated_cost"]),
        (&json!(4), &cost),
        "refused lines cost nothing"
    );
    assert_eq!(seen["refused_lines"][0]["error"], "stands on line 1 already");
    let abroad = bulk(&["+33612345678", "+221771234567", "+221771234568"]);
    let seen = dry(&abroad).await;
    assert_eq!((&seen["estimated_cost"], &seen["unpriced_countries"]), (&Value::Null, &json!(["SN"])));
    let accepted = lab.api("POST", "/v1/bulks", &key, &french).await;
    assert_eq!(accepted.json()["progress"]["estimated_cost"], cost, "{}", accepted.body);
    let read = lab.api("GET", &format!("/v1/bulks/{}", id(&accepted)), &key, &Value::Null).await.json();
    assert_eq!((&read["progress"]["segments"], &read["progress"]["estimated_cost"]), (&json!(4), &cost));
    let accepted = lab.api("POST", "/v1/bulks", &key, &abroad).await.json();
    assert_eq!(
        (&accepted["progress"]["segments"], &accepted["progress"]["estimated_cost"]),
        (&json!(6), &Value::Null)
    );
}
