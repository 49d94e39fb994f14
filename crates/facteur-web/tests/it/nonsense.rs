//! Whatever is sent, the answer says what is wrong with it: no 5xx, no cut connection, and nothing of a value in it.

use futures_util::StreamExt as _;
use serde_json::{Value, json};

use crate::document::Document;
use crate::lab::{Answer, Lab};

/// Uploads of one tenant at once: more are told to come again.
const UPLOADS_EACH_MAX: usize = 4;

/// What stands where an id, a name or a number is expected.
const ODD: [&str; 22] = [
    "%00",
    "%ff",
    "%ED%A0%80",
    "%F0%9F%92%A9",
    "%E2%80%AE%2B33612345678",
    "..%2f..%2fv1%2fkeys",
    "%2e%2e",
    "%",
    "%zz",
    "a%20b",
    "-1",
    "99999999999999999999",
    "null",
    "SM",
    "SM0000000000000000000000000000000g",
    "sm000000000000000000000000000000aa",
    "MM000000000000000000000000000000aa%00",
    "{0197c1de-0000-7000-8000-00000000fe01}",
    "urn:uuid:0197c1de-0000-7000-8000-00000000fe01",
    "0197c1de0000700080000000000000fe01",
    "%27%20OR%201%3D1--",
    "%7B%7Bname%7D%7D",
];

/// A fault is told in JSON, by its code.
fn is_told(answer: &Answer) -> bool {
    let is_fault = answer.status >= 400;
    let body = answer.json();
    (200..500).contains(&answer.status)
        && (!is_fault || body["code"].is_string() && body["error"].is_string())
        && !answer.body.contains("SQLSTATE")
}

async fn key(lab: &Lab) -> String {
    lab.key("superadmin", None).await
}

#[tokio::test]
async fn odd_paths_are_told_in_json_and_never_break_anything() {
    let lab = Lab::start().await;
    let (document, key) = (Document::read(&lab).await, key(&lab).await);
    let mut wrong = Vec::new();
    for operation in document.operations().iter().filter(|operation| operation.permission.is_some()) {
        if operation.path_examples().is_empty() {
            continue;
        }
        let body = document.body_example(operation);
        for odd in ODD {
            let path = operation.path_with(odd);
            let answer = operation.ask(&lab, &path, Some(&key), body.as_ref()).await;
            if !is_told(&answer) {
                wrong.push(format!("{} {path}: {} {}", operation.method, answer.status, answer.body));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn odd_queries_are_told_in_json_and_never_break_anything() {
    let lab = Lab::start().await;
    let (document, key) = (Document::read(&lab).await, key(&lab).await);
    let extremes = [
        "////////////////////////////////",
        "gAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ];
    // The ends of what an instant can be, as a cursor, and as text.
    let ends = [
        "_-uo3fZA8AD_____________________",
        "A4QtmRP8H___-________________w",
        "-009999-01-02T01:59:59Z",
        "9999-12-30T22:00:00.999999999Z",
        "-004714-11-24T00:00:00Z",
    ];
    let odd: Vec<&str> = ODD.iter().chain(&extremes).chain(&ends).copied().collect();
    let mut wrong = Vec::new();
    for operation in document
        .operations()
        .iter()
        .filter(|operation| operation.method == "GET" && operation.permission.is_some())
    {
        for name in operation.query_names() {
            for odd in &odd {
                let path = format!("{}?{name}={odd}", operation.path_to_nothing());
                let answer = operation.ask(&lab, &path, Some(&key), None).await;
                if !is_told(&answer) {
                    wrong.push(format!("GET {path}: {} {}", answer.status, answer.body));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Values that a field may be given.
fn odd_values() -> Vec<String> {
    let nested = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    let texts = [
        "",
        " ",
        "\u{202e}+33612345678",
        "💩",
        "-009999-01-02T01:59:59Z",
        "9999-12-30T22:00:00Z",
        "{{",
        "{{x}}",
        "\\",
        "'; --",
        "+0",
        "whatsapp:",
        "\u{feff}",
        "\u{7f}",
    ];
    let raw = [
        "null",
        "true",
        "[]",
        "{}",
        "-1",
        "0",
        "1e400",
        "1e300",
        "-0.0",
        "99999999999999999999",
        "0.1",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "\"\\udc00\\ud800\"",
        "\"\\uFFFF\"",
        "[null]",
        "{\"a\":null}",
        "[[[]]]",
        "NaN",
    ];
    let long = ["x".repeat(20_000), "+".to_owned() + &"3".repeat(20_000), "{{a}}".repeat(4_000)];
    let texts = texts.into_iter().map(str::to_owned).chain(long).map(|text| json!(text).to_string());
    texts.chain(raw.map(str::to_owned)).chain([nested]).collect()
}

/// The example, once with each odd value in the place of each of its fields, at every depth.
fn bodies(example: &Value, odd: &[String]) -> Vec<String> {
    const MARK: &str = "\"the odd value\"";
    fn marked(value: &Value) -> Vec<Value> {
        let mark = || Value::from(MARK.trim_matches('"'));
        let inner: Vec<Value> = match value {
            Value::Object(fields) => fields
                .iter()
                .flat_map(|(name, inner)| {
                    marked(inner).into_iter().map(|inner| {
                        let mut fields = fields.clone();
                        fields.insert(name.clone(), inner);
                        Value::Object(fields)
                    })
                })
                .collect(),
            Value::Array(items) => {
                items.first().into_iter().flat_map(marked).map(|item| json!([item])).collect()
            }
            _ => Vec::new(),
        };
        inner.into_iter().chain([mark()]).collect()
    }
    let places = marked(example);
    places.iter().flat_map(|place| odd.iter().map(|odd| place.to_string().replacen(MARK, odd, 1))).collect()
}

#[tokio::test]
async fn odd_bodies_are_told_in_json_and_never_break_anything() {
    let lab = Lab::start().await;
    lab.seed().await;
    let (document, key) = (Document::read(&lab).await, key(&lab).await);
    let odd = odd_values();
    let (mut wrong, mut asked) = (Vec::new(), 0);
    for operation in document.operations().iter().filter(|operation| operation.permission.is_some()) {
        let Some((kind, example)) = document.body_example(operation) else { continue };
        let Ok(example) = serde_json::from_str::<Value>(&example) else { continue };
        let path = operation.example_path();
        let texts = bodies(&example, &odd);
        asked += texts.len();
        let answers = futures_util::stream::iter(texts).map(|text| {
            let (lab, key, path, body) = (&lab, &key, &path, (kind.clone(), text));
            async move { (operation.ask(lab, path, Some(key), Some(&body)).await, body.1) }
        });
        let answers: Vec<_> = answers.buffer_unordered(UPLOADS_EACH_MAX).collect().await;
        for (answer, text) in answers.into_iter().filter(|(answer, _)| !is_told(answer)) {
            let shown: String = text.chars().take(300).collect();
            wrong.push(format!("{operation} {shown}: {} {}", answer.status, answer.body));
        }
    }
    assert!(asked > 3_000, "only {asked} bodies were sent");
    assert!(wrong.is_empty(), "{} of {asked}:\n{}", wrong.len(), wrong.join("\n"));
}
