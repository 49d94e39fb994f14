use serde_json::{Value, json};

use crate::lab::Lab;

#[tokio::test]
async fn a_bearer_learns_who_it_is_and_nobody_else_is_let_in() {
    let lab = Lab::start().await;
    let key = lab.key("sender", Some("acme")).await;
    for path in ["/v1/whoami", "/v1/whoami/", "/v1/whoami?x=1"] {
        let answer = lab.api("GET", path, &key, &Value::Null).await;
        let expected = json!({"actor": format!("key:{}", &key[..11]), "role": "sender", "tenant": "acme"});
        assert_eq!((answer.status, answer.json()), (200, expected), "{path}");
    }
    for wrong in ["", "fk_", "fk_00000000", "' OR 1=1 --"] {
        let answer = lab.api("GET", "/v1/whoami", wrong, &Value::Null).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "unauthenticated"), "{wrong}");
    }
    assert_eq!(lab.api("GET", "/v1/nothing", &key, &Value::Null).await.status, 404);
    assert_eq!(lab.api("POST", "/v1/whoami", &key, &Value::Null).await.status, 405);
}

#[tokio::test]
async fn the_document_and_its_page_are_open_and_need_no_network() {
    let lab = Lab::start().await;
    let document = lab.api("GET", "/v1/openapi.json", "", &Value::Null).await;
    assert_eq!(document.status, 200);
    assert!(document.json()["paths"]["/v1/whoami"]["get"].is_object(), "{}", document.body);
    let page = lab.api("GET", "/docs/", "", &Value::Null).await;
    assert_eq!(page.status, 200);
    assert!(!page.body.contains("https://"), "{}", page.body);
}
