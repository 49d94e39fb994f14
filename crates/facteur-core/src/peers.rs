//! Processes that work together: what they must agree about, and where they don't.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The settings that all processes of one system must share, by name; no secrets.
pub type SharedSettings = BTreeMap<String, String>;

/// A setting in which another process differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its name.
    pub setting: String,
    /// What it is here.
    pub ours: String,
    /// What it is elsewhere, each value once.
    pub theirs: BTreeSet<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let theirs = self.theirs.iter().map(String::as_str).collect::<Vec<_>>().join(" and ");
        write!(f, "{}: {} here, {theirs} elsewhere", self.setting, self.ours)
    }
}

/// Where others differ from us, by setting. A setting that only one side knows is none: during a rolling update the
/// releases may share more or less.
#[must_use]
pub fn differences<'a>(
    ours: &SharedSettings,
    others: impl IntoIterator<Item = &'a SharedSettings>,
) -> Vec<Difference> {
    let mut found: BTreeMap<&String, Difference> = BTreeMap::new();
    for (setting, theirs) in others.into_iter().flatten() {
        if let Some(ours) = ours.get(setting).filter(|ours| *ours != theirs) {
            let difference =
                || Difference { setting: setting.clone(), ours: ours.clone(), theirs: BTreeSet::new() };
            found.entry(setting).or_insert_with(difference).theirs.insert(theirs.clone());
        }
    }
    found.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> SharedSettings {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn each_differing_setting_is_told_once_with_all_values() {
        let ours = settings(&[("rate", "10"), ("prefix", "facteur"), ("new", "1")]);
        let others = [
            settings(&[("rate", "20"), ("prefix", "facteur"), ("old", "2")]),
            settings(&[("rate", "30"), ("prefix", "facteur")]),
            settings(&[("rate", "20"), ("prefix", "facteur")]),
            ours.clone(),
        ];
        let told: Vec<_> = differences(&ours, &others).iter().map(ToString::to_string).collect();
        assert_eq!(told, ["rate: 10 here, 20 and 30 elsewhere"]);
        assert!(differences(&ours, [&ours]).is_empty());
        assert!(differences(&ours, []).is_empty());
    }
}
