use proptest::prelude::*;

use super::*;

fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn placeholders_are_replaced_by_this_table() {
    let given = values(&[
        ("name", "Jean"),
        ("prénom", "Zoé"),
        ("имя", "Иван"),
        ("_1", "un"),
        ("tricky", "{{name}}"),
        ("empty", ""),
    ]);
    let rows = [
        ("", ""),
        ("Bonjour", "Bonjour"),
        ("Bonjour {{name}}", "Bonjour Jean"),
        ("{{ name }}{{name}}{{\tname\n}}", "JeanJeanJean"),
        ("{{prénom}} {{имя}} {{_1}}", "Zoé Иван un"),
        // A value is never read again.
        ("{{tricky}}", "{{name}}"),
        ("[{{empty}}]", "[]"),
        // Lone braces are text.
        ("{name} }} { } a}b{c", "{name} }} { } a}b{c"),
        ("{{name}}}}", "Jean}}"),
    ];
    for (text, expected) in rows {
        assert_eq!(Template::parse(text).unwrap().render(&given).unwrap(), expected, "{text}");
    }
}

#[test]
fn faults_of_a_template_are_found_when_it_is_parsed() {
    let long_name = "n".repeat(65);
    let rows = [
        ("é {{name", TemplateError::Unclosed { at: 3 }),
        ("{{", TemplateError::Unclosed { at: 1 }),
        ("{{a}} {{b}", TemplateError::Unclosed { at: 7 }),
        ("{{}}", TemplateError::BadName { at: 1 }),
        ("ab{{  }}", TemplateError::BadName { at: 3 }),
        ("{{a.b}}", TemplateError::BadName { at: 1 }),
        ("{{a b}}", TemplateError::BadName { at: 1 }),
        ("{{{name}}}", TemplateError::BadName { at: 1 }),
        ("{{#each x}}", TemplateError::BadName { at: 1 }),
        ("{{a {{b}}", TemplateError::BadName { at: 1 }),
        (&*format!("{{{{{long_name}}}}}"), TemplateError::BadName { at: 1 }),
        (&*"x".repeat(3_201), TemplateError::TooLong { chars: 3_201 }),
        (
            &*(0..65).map(|n| format!("{{{{v{n}}}}}")).collect::<String>(),
            TemplateError::TooManyNames { count: 65 },
        ),
    ];
    for (text, expected) in rows {
        assert_eq!(Template::parse(text), Err(expected), "{text:.40}");
    }
}

#[test]
fn every_missing_variable_is_named_at_once() {
    let template = Template::parse("{{b}} {{a}} {{c}} {{a}}").unwrap();
    assert_eq!(template.names().into_iter().collect::<Vec<_>>(), ["a", "b", "c"]);
    let error = template.render(&values(&[("c", "3"), ("unused", "x")])).unwrap_err();
    assert_eq!(error, TemplateError::Missing { names: vec!["a".to_owned(), "b".to_owned()] });
    assert_eq!(error.to_string(), "no value for a, b");
}

#[test]
fn the_sentences_show_braces_as_they_are_written() {
    let error = Template::parse("{{").unwrap_err();
    assert_eq!(error.to_string(), "the placeholder that opens at character 1 is never closed with }}");
}

/// Texts in which braces and names meet often.
fn braces() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        proptest::sample::select("{{}}{}ab _é.\u{0}".chars().collect::<Vec<_>>()),
        0..60,
    )
    .prop_map(|chars| chars.into_iter().collect())
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused_and_renders_with_its_names(text in prop_oneof![braces(), any::<String>()]) {
        if let Ok(template) = Template::parse(&text) {
            let given = template.names().into_iter().map(|name| (name.to_owned(), "{{x".to_owned())).collect();
            let rendered = template.render(&given).unwrap();
            prop_assert_eq!(template.names().is_empty(), rendered == text);
        }
    }

    #[test]
    fn a_value_stands_in_the_text_as_it_was_given(before in "[^{}]{0,20}", value in ".{0,20}", after in "[^{}]{0,20}") {
        let template = Template::parse(&format!("{before}{{{{ name }}}}{after}")).unwrap();
        let rendered = template.render(&values(&[("name", &value)])).unwrap();
        prop_assert_eq!(rendered, format!("{before}{value}{after}"));
    }
}
