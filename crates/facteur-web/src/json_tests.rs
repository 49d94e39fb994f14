use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Inner {
    count: u8,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Body {
    to: String,
    #[serde(default)]
    inner: Vec<Inner>,
    #[serde(default)]
    values: BTreeMap<String, String>,
}

fn error(text: &str) -> (u16, &'static str, String, String) {
    let error = parse::<Body>(text.as_bytes()).unwrap_err();
    (
        error.status.as_u16(),
        error.code,
        error.field.unwrap_or_default().into_owned(),
        error.sentence.into_owned(),
    )
}

#[test]
fn an_error_names_the_field_and_never_its_value() {
    let cases = [
        (r#"{"to": 33612345678}"#, (422, "invalid_field", "to")),
        (
            r#"{"to": "a", "inner": [{"count": 1}, {"count": "+33612345678"}]}"#,
            (422, "invalid_field", "inner[1].count"),
        ),
        (r#"{"to": "a", "too": "+33612345678"}"#, (422, "unknown_field", "too")),
        (r#"{"inner": []}"#, (422, "field_missing", "to")),
        (r#"{"to": "a", "inner": [{}]}"#, (422, "field_missing", "inner[0].count")),
        (r#"{"to": "a", "to": "+33612345678"}"#, (422, "invalid_field", "to")),
        (r#"["+33612345678"]"#, (422, "invalid_field", "")),
        (r#"{"to": "+33612345678""#, (400, "malformed_json", "")),
        (r#"{"to": "a"} {"to": "+33612345678"}"#, (400, "malformed_json", "")),
        ("{\"to\": \"a\\u0000b\"}", (400, "nul_byte", "")),
        ("", (400, "malformed_json", "")),
    ];
    for (text, expected) in cases {
        let (status, code, field, sentence) = error(text);
        assert_eq!((status, code, field.as_str()), expected, "{text}");
        assert!(!sentence.contains("336"), "{sentence}");
    }
}

#[test]
fn a_body_that_is_nested_very_deeply_is_no_json_of_ours() {
    let deep = format!("{{\"to\": {}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let (status, ..) = error(&deep);
    assert!((400..500).contains(&status));
}
