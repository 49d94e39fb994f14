//! The document that producers read is the one that the code follows.

#[test]
fn the_checked_in_schema_is_the_one_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/job.v1.schema.json");
    let expected =
        format!("{}\n", serde_json::to_string_pretty(&facteur_core::document::json_schema()).unwrap());
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(found == expected, "docs/job.v1.schema.json should be:\n{expected}");
}
