//! What was measured, for people, and as ratios to the bare legs.

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, Table};
use serde_json::{Map, Value, json};

use super::figures::round;

/// The bare legs that one message passes: what bounds the whole path if each of them has the machine to itself.
const LEGS: [&str; 3] = ["consume", "post", "insert"];

/// The whole path beside the bare legs of the same run; nothing if one of the two was not measured.
pub(super) fn ratios(parts: &Map<String, Value>) -> Value {
    let speed = |path: &[&str]| -> Option<f64> {
        let (first, rest) = path.split_first()?;
        let part = rest.iter().fold(parts.get(*first)?, |value, key| &value[*key]);
        part["messages_per_s"].as_f64()
    };
    let bare: Option<Vec<(&str, f64)>> =
        LEGS.iter().map(|leg| Some((*leg, speed(&["bare", leg])?))).collect();
    let Some(bare) = bare else { return Value::Null };
    // One after the other on the same cores: times add up.
    let bound = 1.0 / bare.iter().map(|(_, speed)| 1.0 / speed).sum::<f64>();
    let mut ratios = Map::new();
    ratios.insert("bare_legs_in_a_row_messages_per_s".to_owned(), json!(round(bound)));
    for latency in ["latency_0_ms", "latency_50_ms"] {
        let Some(whole) = speed(&["throughput", latency]) else { continue };
        let mut of = Map::new();
        of.insert("to_bare_legs_in_a_row".to_owned(), json!(round(whole / bound)));
        for (leg, speed) in &bare {
            of.insert(format!("to_{leg}"), json!(round(whole / speed)));
        }
        ratios.insert(latency.to_owned(), of.into());
    }
    ratios.into()
}

/// Every figure on a line of its own, under the part that it belongs to.
pub(super) fn table(whole: &Value) -> String {
    let mut table = Table::new();
    table.load_preset(UTF8_HORIZONTAL_ONLY).set_header(["part", "figure", "value"]);
    let mut lines = Vec::new();
    flatten("", whole, &mut lines);
    let mut last = String::new();
    for (path, value) in lines {
        let (part, figure) = path.rsplit_once(" / ").unwrap_or(("", &path));
        let shown = if part == last { "" } else { part };
        table.add_row([shown, figure, &value]);
        part.clone_into(&mut last);
    }
    if let Some(column) = table.column_mut(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

fn flatten(path: &str, value: &Value, lines: &mut Vec<(String, String)>) {
    match value {
        Value::Object(entries) => {
            for (name, value) in entries {
                let path = if path.is_empty() { name.clone() } else { format!("{path} / {name}") };
                flatten(&path, value, lines);
            }
        }
        Value::Null => lines.push((path.to_owned(), "not measured".to_owned())),
        Value::String(text) => lines.push((path.to_owned(), text.clone())),
        other => lines.push((path.to_owned(), other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_stand_beside_the_legs_of_the_same_run_and_are_absent_without_them() {
        let speed = |per_s: f64| json!({"messages_per_s": per_s});
        let bare = json!({"consume": speed(300.0), "post": speed(300.0), "insert": speed(300.0)});
        let parts = json!({"bare": bare, "throughput": {"latency_0_ms": speed(50.0)}});
        let found = ratios(parts.as_object().unwrap());
        assert_eq!(found["bare_legs_in_a_row_messages_per_s"], 100.0);
        assert_eq!(found["latency_0_ms"]["to_bare_legs_in_a_row"], 0.5);
        assert_eq!(found["latency_0_ms"]["to_post"], 0.167);
        assert_eq!(ratios(json!({"throughput": {}}).as_object().unwrap()), Value::Null);
    }

    #[test]
    fn the_table_names_each_part_once() {
        let text = table(&json!({"parts": {"idle": {"p50_ms": 1.5, "p99_ms": 2.5}}}));
        assert_eq!(text.matches("parts / idle").count(), 1);
        assert!(text.contains("p50_ms") && text.contains("2.5"));
    }
}
