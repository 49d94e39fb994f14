use std::collections::BTreeSet;

use serde_json::Value;

use super::document;
use crate::access::rules::RULES;

/// Every operation: method, path, and what is said of it.
fn described() -> Vec<(String, String, Value)> {
    let document = serde_json::to_value(document()).unwrap();
    let paths = document["paths"].as_object().unwrap().clone();
    let rows = |(path, item): (String, Value)| {
        let item = item.as_object().unwrap().clone();
        item.into_iter().map(move |(method, operation)| (method.to_uppercase(), path.clone(), operation))
    };
    paths.into_iter().flat_map(rows).collect()
}

#[test]
fn the_table_of_rights_and_the_document_name_the_same_routes() {
    let documented: BTreeSet<(String, String)> = described()
        .into_iter()
        .filter(|(.., operation)| operation["security"].is_null())
        .map(|(method, path, _)| (method, path))
        .collect();
    let ruled: BTreeSet<_> = RULES.iter().map(|(m, p, _)| ((*m).to_owned(), (*p).to_owned())).collect();
    assert_eq!(ruled.len(), RULES.len(), "a route stands twice in RULES (src/access/rules.rs)");
    let missing: Vec<_> = documented.difference(&ruled).collect();
    assert!(
        missing.is_empty(),
        "add to RULES (src/access/rules.rs) what these routes take, or give them `security(())` if they are open to \
         strangers, as webhooks are: {missing:?}"
    );
    let gone: Vec<_> = ruled.difference(&documented).collect();
    assert!(gone.is_empty(), "RULES has routes that the document has not: {gone:?}");
}

#[test]
fn every_route_says_what_it_does_and_shows_an_example() {
    let mut wrong = Vec::new();
    let mut names = BTreeSet::new();
    for (method, path, operation) in described() {
        let mut say = |what: &str| wrong.push(format!("{method} {path}: {what}"));
        if operation["summary"].as_str().is_none_or(str::is_empty) {
            say("no summary: give its handler a docstring");
        }
        if operation["tags"].as_array().is_none_or(|tags| tags.len() != 1 || tags[0] == "crate") {
            say("no tag: add `tag = \"…\"`");
        }
        if !names.insert(operation["operationId"].to_string()) {
            say("its operationId is another one's");
        }
        let responses = operation["responses"].as_object().unwrap();
        if !responses.keys().any(|status| status.starts_with('2')) {
            say("no 2xx response is documented");
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let is_needed = parameter["required"] == true;
            if is_needed && parameter.get("example").is_none() && parameter["schema"].get("example").is_none()
            {
                say(&format!("parameter {} has no `example = …`", parameter["name"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Two types of one name would be one schema in the document, and one of them a lie.
#[test]
fn no_two_schemas_share_a_name() {
    let mut names = std::collections::BTreeMap::<String, Vec<String>>::new();
    let mut folders = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let mut is_schema = false;
            for line in text.lines() {
                is_schema |= line.starts_with("#[derive(") && line.contains("ToSchema");
                let named =
                    line.strip_prefix("pub(crate) struct ").or_else(|| line.strip_prefix("pub(crate) enum "));
                if let Some(rest) = named {
                    let name = rest.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
                    if std::mem::take(&mut is_schema) {
                        names.entry(name.to_owned()).or_default().push(path.display().to_string());
                    }
                }
            }
        }
    }
    names.retain(|_, files| files.len() > 1);
    assert!(names.is_empty(), "{names:#?}");
}
