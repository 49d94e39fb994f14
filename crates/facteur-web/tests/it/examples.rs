//! Every example of the document is executed, and every route asked by everybody.
//!
//! Objects that examples name are made by the files of `seeds/`, in the order of their names: a family of routes adds a
//! file of its own, with ids of its own.

use crate::document::{Document, Operation};
use crate::lab::Lab;

/// Examples that can't be executed here, and why.
const NOT_EXECUTED: &[(&str, &str, &str)] = &[(
    "POST",
    "/twilio/send-whatsapp",
    "no WhatsApp sender is configured here; docs/examples/family1.sh sends one",
)];

const ROLES: [&str; 4] = ["viewer", "sender", "admin", "superadmin"];

/// The weakest role that may.
fn least_role(operation: &Operation) -> Option<usize> {
    Some(match operation.permission.as_deref()? {
        "any" | "read" => 0,
        "send" => 1,
        "admin" => 2,
        "superadmin" => 3,
        other => panic!("{operation} takes {other}"),
    })
}

#[tokio::test]
async fn the_example_of_every_route_does_what_the_document_says() {
    let lab = Lab::start().await;
    lab.seed().await;
    let document = Document::read(&lab).await;
    // What a tenant may send changes a second after its rules do: they are changed last.
    let mut operations = document.operations();
    operations.sort_by_key(|operation| operation.path.starts_with("/v1/tenants/"));
    let mut wrong = Vec::new();
    for operation in operations {
        let is_left = NOT_EXECUTED.iter().any(|(m, p, _)| *m == operation.method && *p == operation.path);
        let Some(least) = least_role(&operation).filter(|_| !is_left) else { continue };
        let key = lab.key(ROLES[least], Some("default")).await;
        let body = document.body_example(&operation);
        let answer = operation.ask(&lab, &operation.example_path(), Some(&key), body.as_ref()).await;
        if !operation.successes().contains(&answer.status) {
            let expected = operation.successes();
            wrong.push(format!("{operation}: {} {}, expected {expected:?}", answer.status, answer.body));
        }
    }
    assert!(
        wrong.is_empty(),
        "these examples fail; if they need an object, add it to a file in tests/it/seeds:\n{}",
        wrong.join("\n")
    );
}

#[tokio::test]
async fn every_route_lets_in_who_may_and_nobody_else() {
    let lab = Lab::start().await;
    let document = Document::read(&lab).await;
    let mut keys = Vec::new();
    for role in ROLES {
        keys.push(lab.key(role, (role != "superadmin").then_some("default")).await);
    }
    let empty = ("application/json".to_owned(), "{}".to_owned());
    let mut wrong = Vec::new();
    for operation in document.operations() {
        let Some(least) = least_role(&operation) else { continue };
        let path = operation.path_to_nothing();
        let body = (operation.method != "GET").then_some(&empty);
        let stranger = operation.ask(&lab, &path, None, body).await;
        if (stranger.status, stranger.code().as_str()) != (401, "unauthenticated") {
            wrong.push(format!("{operation}: a stranger gets {} {}", stranger.status, stranger.body));
        }
        for (rank, key) in keys.iter().enumerate() {
            let answer = operation.ask(&lab, &path, Some(key), body).await;
            let is_right = match answer.status {
                401 => false,
                403 => rank < least && answer.code() == "forbidden",
                _ => rank >= least && answer.status < 500,
            };
            if !is_right {
                let (role, takes) = (ROLES[rank], ROLES[least]);
                wrong.push(format!(
                    "{operation} takes {takes}: {role} gets {} {}",
                    answer.status, answer.body
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn nobody_reaches_what_is_another_tenants() {
    let lab = Lab::start().await;
    lab.seed().await;
    let document = Document::read(&lab).await;
    let foreign = lab.key("admin", Some("somebody-else")).await;
    let operations = document.operations();
    let is_id = |text: &String| text.len() >= 20;
    let ids: Vec<String> = operations.iter().flat_map(Operation::path_examples).filter(is_id).collect();
    let mut wrong = Vec::new();
    for operation in
        operations.iter().filter(|operation| least_role(operation).is_some_and(|least| least < 3))
    {
        let names_one = operation.path_examples().iter().any(is_id);
        let body = document.body_example(operation);
        let answer = operation.ask(&lab, &operation.example_path(), Some(&foreign), body.as_ref()).await;
        let told = ids.iter().any(|id| answer.body.contains(id.as_str()));
        let is_refused = (400..500).contains(&answer.status);
        if (names_one && !is_refused) || (operation.method == "GET" && told && !is_refused) {
            wrong.push(format!("{operation}: {} {}", answer.status, answer.body));
        }
    }
    assert!(wrong.is_empty(), "another tenant's admin reaches:\n{}", wrong.join("\n"));
}
