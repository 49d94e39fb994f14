//! Templates of ours: a text with `{{name}}` placeholders.

use std::collections::{BTreeMap, BTreeSet};

use crate::limits::{TEXT_CHARS_MAX, VARIABLE_NAME_CHARS_MAX, VARIABLES_COUNT_MAX};

/// Longest template, in characters: a text of full length with room for the placeholders' names.
const TEMPLATE_CHARS_MAX: usize = 2 * TEXT_CHARS_MAX;

/// A template, parsed: text and placeholders in turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Placeholder(String),
}

/// Why a text is not a template, or why a template can't be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Over 3,200 characters.
    #[error("the template has {chars} characters; at most {TEMPLATE_CHARS_MAX}")]
    TooLong {
        /// Its length.
        chars: usize,
    },
    /// `{{` without `}}`.
    #[error("the placeholder that opens at character {at} is never closed with }}}}")]
    Unclosed {
        /// Where it opens, counted in characters from 1.
        at: usize,
    },
    /// `{{}}`, or a name with other characters than letters, digits and `_`.
    #[error(
        "the placeholder at character {at} has no name of up to {VARIABLE_NAME_CHARS_MAX} letters, digits and _"
    )]
    BadName {
        /// Where it opens, counted in characters from 1.
        at: usize,
    },
    /// More distinct names than a job may carry.
    #[error("the template has {count} different placeholders; at most {VARIABLES_COUNT_MAX}")]
    TooManyNames {
        /// How many.
        count: usize,
    },
    /// Values that were not given.
    #[error("no value for {}", names.join(", "))]
    Missing {
        /// Their names, in alphabetical order.
        names: Vec<String>,
    },
}

impl Template {
    /// Parses a template. A placeholder is `{{name}}`, with or without spaces around the name; names are letters
    /// and digits of any script and `_`. Braces that stand alone are text.
    ///
    /// # Errors
    /// [`TemplateError`] but `Missing`.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let chars = text.chars().count();
        if chars > TEMPLATE_CHARS_MAX {
            return Err(TemplateError::TooLong { chars });
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, opened)) = rest.split_once("{{") {
            let at = || text.chars().count() - opened.chars().count() - 1;
            let (inner, after) =
                opened.split_once("}}").ok_or_else(|| TemplateError::Unclosed { at: at() })?;
            let name = name(inner).ok_or_else(|| TemplateError::BadName { at: at() })?;
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Placeholder(name.to_owned()));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        let template = Self(parts);
        let count = template.names().len();
        if count > VARIABLES_COUNT_MAX {
            return Err(TemplateError::TooManyNames { count });
        }
        Ok(template)
    }

    /// The names of its placeholders.
    #[must_use]
    pub fn names(&self) -> BTreeSet<&str> {
        self.0
            .iter()
            .filter_map(|part| match part {
                Part::Placeholder(name) => Some(name.as_str()),
                Part::Text(_) => None,
            })
            .collect()
    }

    /// Puts the values in. They are inserted as they are: braces in a value are text. Values that no placeholder
    /// names are ignored, so that one set of variables serves templates in several languages. How long the text
    /// may be is the channel's business, not the template's.
    ///
    /// # Errors
    /// [`TemplateError::Missing`] with every name that has no value.
    pub fn render(&self, values: &BTreeMap<String, String>) -> Result<String, TemplateError> {
        let missing = self.names().into_iter().filter(|name| !values.contains_key(*name));
        let names: Vec<String> = missing.map(str::to_owned).collect();
        if !names.is_empty() {
            return Err(TemplateError::Missing { names });
        }
        Ok(self.render_leaving_gaps(values))
    }

    /// As [`Template::render`], for a person to look at: placeholders without a value stay as they are.
    #[must_use]
    pub fn render_leaving_gaps(&self, values: &BTreeMap<String, String>) -> String {
        let piece = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Placeholder(name) => values.get(name).cloned().unwrap_or_else(|| format!("{{{{{name}}}}}")),
        };
        self.0.iter().map(piece).collect()
    }
}

fn name(inner: &str) -> Option<&str> {
    let name = inner.trim();
    let is_fine = (1..=VARIABLE_NAME_CHARS_MAX).contains(&name.chars().count())
        && name.chars().all(|char| char.is_alphanumeric() || char == '_');
    is_fine.then_some(name)
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
