//! Form bodies and query strings, read leniently: whatever is in them counts for the signature.

/// Most parameters of a form; Twilio sends about thirty.
const PARAMETERS_MAX: usize = 200;

/// Parameters in the order in which they came.
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// Decodes; `None` if there are too many parameters.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let pairs = form_urlencoded::parse(bytes)
            .take(PARAMETERS_MAX + 1)
            .map(|(name, value)| (name.into_owned(), value.into_owned()));
        let pairs: Vec<_> = pairs.collect();
        (pairs.len() <= PARAMETERS_MAX).then_some(Self(pairs))
    }

    /// The first value of that name that is not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, value)| known == name && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    }

    /// The pairs, as the signature covers them.
    pub(crate) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_parameters_are_kept_and_too_many_are_refused() {
        let form = Form::parse(b"A=1&B=%C3%A9+x&A=2&Empty=&Empty=3").unwrap();
        assert_eq!((form.get("A"), form.get("B"), form.get("C")), (Some("1"), Some("é x"), None));
        assert_eq!((form.get("Empty"), form.pairs().len()), (Some("3"), 5));
        assert!(Form::parse("a=b&".repeat(200).as_bytes()).is_some());
        assert!(Form::parse("a=b&".repeat(201).as_bytes()).is_none());
    }
}
