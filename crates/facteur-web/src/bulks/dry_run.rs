//! A dry run: what a bulk would be. Its lines are judged and counted, and nothing is stored.

use std::collections::{BTreeMap, HashMap};

use facteur_core::job::Channel;
use facteur_core::phone::PhoneNumber;
use facteur_core::price::{Prices, Sum};
use facteur_core::reason::Reason;
use facteur_postgres::bulks::NewLine;
use serde::Serialize;
use utoipa::ToSchema;

use crate::cost::Cost;

/// Refused lines that are shown.
const SHOWN_LINES_MAX: usize = 100;

/// What a bulk would be: nothing was stored.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct Preview {
    /// Always true: nothing was stored and nothing will be sent.
    pub dry_run: bool,
    /// All lines.
    pub total: u32,
    /// Lines that would be sent.
    pub accepted: u32,
    /// Lines that would not.
    pub refused: u32,
    /// Segments of all messages.
    pub segments: u64,
    /// What all messages would cost, by the configured prices; null if no price is configured for one of them.
    pub estimated_cost: Option<Cost>,
    /// The countries for which no price is configured, while others have one; `??` for numbers of no country.
    pub unpriced_countries: Vec<String>,
    /// Refused lines by their reason.
    pub refused_by_code: BTreeMap<String, u32>,
    /// The first 100 refused lines.
    pub refused_lines: Vec<RefusedLine>,
}

/// A line that is not sent.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RefusedLine {
    /// Its number, from 1.
    pub line: u32,
    /// Why: a stable code.
    pub code: String,
    /// The field at fault.
    pub field: Option<String>,
    /// Why, for a person.
    pub error: String,
}

/// Counts lines.
#[derive(Default)]
pub(super) struct DryRun {
    preview: Preview,
    /// On which line each number stands.
    seen: HashMap<String, u32>,
    costs: Sum,
}

impl DryRun {
    pub(super) fn add(&mut self, line: NewLine) {
        self.preview.total += 1;
        let ready = match line.judged {
            Ok(ready) => ready,
            Err(Reason { code, field, sentence }) => {
                return self.preview.refuse(line.line, code.as_str(), field, sentence);
            }
        };
        if let Some(earlier) = self.seen.get(&line.recipient) {
            let sentence = format!("stands on line {earlier} already");
            return self.preview.refuse(line.line, "duplicate_recipient", Some("to".to_owned()), sentence);
        }
        self.preview.accepted += 1;
        self.preview.segments += u64::from(ready.segments);
        let country = || PhoneNumber::from_e164(&line.recipient).ok().and_then(|number| number.country());
        // Numbers are looked up only where the price is missing.
        self.costs.add(if ready.cost.is_none() { country() } else { None }, ready.cost);
        self.seen.insert(line.recipient, line.line);
    }

    /// What was counted.
    pub(super) fn preview(mut self, prices: &Prices, channel: Channel) -> Preview {
        self.preview.dry_run = true;
        if !prices.tariff(channel).is_empty() {
            self.preview.estimated_cost = Cost::of(self.costs.total(), prices);
            self.preview.unpriced_countries = self.costs.unpriced().iter().cloned().collect();
        }
        self.preview
    }
}

impl Preview {
    fn refuse(&mut self, line: u32, code: &str, field: Option<String>, error: String) {
        self.refused += 1;
        *self.refused_by_code.entry(code.to_owned()).or_default() += 1;
        if self.refused_lines.len() < SHOWN_LINES_MAX {
            self.refused_lines.push(RefusedLine { line, code: code.to_owned(), field, error });
        }
    }
}
