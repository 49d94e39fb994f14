//! What a template would come to, before anybody sends it.

use std::collections::BTreeMap;

use crate::segments::{self, SegmentCount};
use crate::template::Template;

/// What a template comes to with some values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// The text; placeholders without a value stand in it as they are written.
    pub text: String,
    /// The names of all placeholders, in alphabetical order.
    pub variables: Vec<String>,
    /// Placeholders without a value: such a message would be refused.
    pub missing: Vec<String>,
    /// Values that no placeholder asks for: they would be ignored.
    pub unknown: Vec<String>,
    /// What the text comes to on the air.
    pub size: SegmentCount,
    /// The characters that make it UCS-2, each once; empty if it fits the GSM alphabet.
    pub outside_gsm: Vec<char>,
}

/// Previews a template with these values.
#[must_use]
pub fn preview(template: &Template, values: &BTreeMap<String, String>) -> Preview {
    let names = template.names();
    let missing = names.iter().filter(|name| !values.contains_key(**name));
    let unknown = values.keys().filter(|name| !names.contains(name.as_str()));
    let text = template.render_leaving_gaps(values);
    Preview {
        variables: names.iter().map(|name| (*name).to_owned()).collect(),
        missing: missing.map(|name| (*name).to_owned()).collect(),
        unknown: unknown.cloned().collect(),
        size: segments::count(&text),
        outside_gsm: segments::outside_gsm(&text),
        text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segments::Encoding;

    fn previewed(text: &str, pairs: &[(&str, &str)]) -> Preview {
        let values = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        preview(&Template::parse(text).unwrap(), &values)
    }

    #[test]
    fn what_is_missing_and_what_is_too_much_is_named() {
        let shown = previewed("Bonjour {{ name }}, le {{date}}", &[("name", "{{date}}"), ("x", "1")]);
        assert_eq!(shown.text, "Bonjour {{date}}, le {{date}}");
        assert_eq!(shown.variables, ["date", "name"]);
        assert_eq!((shown.missing, shown.unknown), (vec!["date".to_owned()], vec!["x".to_owned()]));
        assert_eq!(shown.size.encoding, Encoding::Gsm7);
    }

    #[test]
    fn the_characters_that_cost_are_named_once_in_their_order() {
        let shown = previewed("C’est prêt, ça va ê 👩‍👧 e\u{301}", &[]);
        assert_eq!(shown.size.encoding, Encoding::Ucs2);
        assert_eq!(shown.outside_gsm, ['’', 'ê', 'ç', '👩', '\u{200d}', '👧', '\u{301}']);
        // The straight apostrophe, the euro and the letters that French shares with the GSM alphabet cost nothing.
        let shown = previewed("C'est prévu à l'été, où ? 5 €, Ça", &[]);
        assert_eq!((shown.size.encoding, shown.outside_gsm), (Encoding::Gsm7, vec![]));
    }
}
