//! Every route that changes or sends something is on the record.

use std::collections::BTreeSet;

use facteur_postgres::acts::ACTS;

use crate::document::Document;
use crate::lab::Lab;

/// Routes that leave no record though their method is not GET, and why.
const NO_RECORD: &[(&str, &str, &str)] = &[
    ("POST", "/v1/templates/preview", "changes nothing"),
    ("POST", "/v1/templates/{id}/preview", "changes nothing"),
    ("POST", "/api/v1/admin/notification-templates/{id}/preview", "changes nothing"),
    ("POST", "/api/sms/format-phone", "changes nothing"),
    ("POST", "/twilio/send-whatsapp", "its example is not executed here: see examples.rs"),
];
/// A GET that sends.
const SENDING_GET: (&str, &str) = ("GET", "/api/sms/test");

#[tokio::test]
async fn every_route_that_sends_or_changes_something_leaves_one_record_that_says_who_and_by_which_request() {
    let lab = Lab::start().await;
    lab.seed().await;
    let document = Document::read(&lab).await;
    let known: BTreeSet<_> = ACTS.iter().map(|(act, _)| *act).collect();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for operation in document.operations() {
        let is = |route: (&str, &str)| route.0 == operation.method && route.1 == operation.path;
        let Some(permission) = operation.permission.as_deref() else { continue };
        let is_silent = NO_RECORD.iter().any(|(method, path, _)| is((method, path)));
        let role = if permission == "superadmin" { "superadmin" } else { "admin" };
        let key = lab.key(role, Some("default")).await;
        // Two families have a route that deactivates the seeded integration.
        lab.sql(
            "UPDATE facteur.pauses SET ended_at = now() WHERE scope = 'integration' AND ended_at IS NULL",
        )
        .await;
        lab.sql("DELETE FROM facteur.audit_log").await;
        count += 1;
        let request_id = format!("walk-{count}");
        let body = document.body_example(&operation);
        let path = operation.example_path();
        let answer = operation.ask_as(&lab, (&path, &request_id), Some(&key), body.as_ref()).await;
        let row =
            "SELECT concat_ws(' ', actor, coalesce(request_id, '-'), tenant, action) FROM facteur.audit_log";
        let records =
            lab.text(&format!("SELECT string_agg(row, '; ') FROM ({row} ORDER BY id) AS r(row)")).await;
        let is_mutating = operation.method != "GET" || is(SENDING_GET);
        let tenant = if role == "superadmin" { "acme" } else { "default" };
        let is_right = match records.as_deref().map(|record| record.split_once(&format!(" {tenant} "))) {
            None => !is_mutating || is_silent,
            Some(Some((who, action))) => {
                who == format!("key:{} {request_id}", &key[..11]) && known.contains(action) && !is_silent
            }
            Some(None) => false,
        };
        if !is_right {
            wrong.push(format!("{operation}: {} {}: {records:?}", answer.status, answer.body));
        }
    }
    assert!(
        wrong.is_empty(),
        "each of these must leave one record of actor, request, tenant and an act of facteur_postgres::acts::ACTS:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn the_page_of_the_api_names_every_act_in_their_order() {
    let page = include_str!("../../../../docs/api.md");
    let table = ACTS.iter().map(|(act, meaning)| format!("| `{act}` | {meaning} |\n")).collect::<String>();
    let is_sorted = ACTS.windows(2).all(|pair| pair[0].0 < pair[1].0);
    assert!(is_sorted, "the acts stand in the order of their words");
    assert!(page.contains(&table), "docs/api.md must have this table:\n{table}");
}
