//! Money, as it is shown.

use facteur_core::price::{Amount, Prices};
use serde::Serialize;
use utoipa::ToSchema;

/// An estimate by the configured prices; nothing is billed by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Cost {
    /// A decimal number as a text, exactly.
    #[schema(example = "21.75")]
    pub amount: String,
    /// Three letters (ISO 4217).
    #[schema(example = "EUR")]
    pub currency: String,
}

impl Cost {
    /// An amount in the configured currency.
    #[must_use]
    pub fn of(amount: Option<Amount>, prices: &Prices) -> Option<Self> {
        Some(Self::in_currency(amount?, prices.currency?.as_str()))
    }

    /// An amount in this currency.
    #[must_use]
    pub fn in_currency(amount: Amount, currency: &str) -> Self {
        Self { amount: amount.to_string(), currency: currency.to_owned() }
    }
}
