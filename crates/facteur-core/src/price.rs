//! What messages cost, by the prices that somebody configured. Where no price is known there is no estimate: none is made
//! up.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use crate::job::Channel;
use crate::phone::Country;

/// Millionths of a currency's unit in one unit. Carriers' prices have four decimals.
const MICROS_PER_UNIT: u64 = 1_000_000;
/// Decimals of the smallest amount, and of one that is shown at least.
const DECIMALS: (usize, usize) = (6, 2);
/// Dearest segment or message that is believed, in units of any currency.
const PRICE_UNITS_MAX: u64 = 1_000;

/// An amount of money in whole millionths of its currency's unit, so that sums are exact. Written `0.0725`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Amount(u64);

/// The text is no price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "is no price such as 0.0725: 0 to {PRICE_UNITS_MAX}, with at most six decimals and a point before them"
)]
pub struct PriceError;

impl Amount {
    /// Dearest segment or message that is believed.
    pub const PRICE_MAX: Self = Self(PRICE_UNITS_MAX * MICROS_PER_UNIT);

    /// So many millionths of a unit.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// In millionths of a unit.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// So many times the amount. The dearest price times all segments that a bulk or a preview can have is far below what
    /// the type holds.
    #[must_use]
    pub const fn times(self, count: u64) -> Self {
        Self(self.0.saturating_mul(count))
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl FromStr for Amount {
    type Err = PriceError;

    /// Reads a price: digits, and a point with one to six decimals if need be.
    fn from_str(text: &str) -> Result<Self, PriceError> {
        let (units, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |digits: &str, most| {
            (1..=most).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !is_number(units, 4) || !is_number(decimals, DECIMALS.0) {
            return Err(PriceError);
        }
        let number = |digits: &str| digits.parse::<u64>().map_err(|_| PriceError);
        let width = DECIMALS.0;
        let amount = Self(number(units)? * MICROS_PER_UNIT + number(&format!("{decimals:0<width$}"))?);
        if amount <= Self::PRICE_MAX { Ok(amount) } else { Err(PriceError) }
    }
}

impl fmt::Display for Amount {
    /// At least two decimals, and no zeros behind them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (most, least) = DECIMALS;
        let decimals = format!("{:0most$}", self.0 % MICROS_PER_UNIT);
        let shown = decimals.trim_end_matches('0').len().max(least);
        write!(f, "{}.{}", self.0 / MICROS_PER_UNIT, &decimals[..shown])
    }
}

/// A currency, by its three letters (ISO 4217).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency([u8; 3]);

/// The text is not a currency's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not the three letters of a currency, such as EUR (ISO 4217)")]
pub struct CurrencyError;

impl Currency {
    /// The three letters, in upper case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only letters are taken.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for Currency {
    type Err = CurrencyError;

    fn from_str(text: &str) -> Result<Self, CurrencyError> {
        let letters: [u8; 3] =
            text.trim().to_ascii_uppercase().as_bytes().try_into().map_err(|_| CurrencyError)?;
        if letters.iter().all(u8::is_ascii_uppercase) { Ok(Self(letters)) } else { Err(CurrencyError) }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The prices of one channel. Without any, nothing of it is estimated.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tariff {
    elsewhere: Option<Amount>,
    by_country: BTreeMap<String, Amount>,
}

impl Tariff {
    /// The price for a country; for a number of no country, such as a satellite's, the one of everywhere else.
    #[must_use]
    pub fn price(&self, country: Option<Country>) -> Option<Amount> {
        let own = country.and_then(|country| self.by_country.get(country.as_str()));
        own.copied().or(self.elsewhere)
    }

    /// Whether it holds no price at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.elsewhere.is_none() && self.by_country.is_empty()
    }
}

impl FromStr for Tariff {
    type Err = String;

    /// Reads a price for everywhere, prices for countries, or both: `0.07,FR=0.0725,US=0.0083`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut tariff = Self::default();
        for (index, part) in text.split(',').map(str::trim).enumerate() {
            let Some((code, price)) = part.split_once('=') else {
                // Elsewhere in the text it is mostly the rest of a price with a comma in the point's place.
                if index > 0 {
                    return Err(format!(
                        "holds `{part}` without a country: the price for everywhere else stands first, and a point \
                         before decimals"
                    ));
                }
                let price =
                    part.parse().map_err(|error: PriceError| format!("holds `{part}`, which {error}"))?;
                tariff.elsewhere = Some(price);
                continue;
            };
            let (code, price) = (code.trim(), price.trim());
            let country = Country::parse(code).map_err(|error| format!("holds `{code}`, which {error}"))?;
            let price = price
                .parse()
                .map_err(|error: PriceError| format!("holds `{part}`, of which the price {error}"))?;
            if tariff.by_country.insert(country.to_string(), price).is_some() {
                return Err(format!("holds two prices for {country}"));
            }
        }
        Ok(tariff)
    }
}

/// What messages cost, by channel and country.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Prices {
    /// In which currency all of them are; without one there is no estimate.
    pub currency: Option<Currency>,
    /// For each segment.
    pub sms: Tariff,
    /// For each message.
    pub mms: Tariff,
    /// For each message.
    pub whatsapp: Tariff,
}

impl Prices {
    /// What one message costs: of an SMS each segment counts. `None` where no price is configured.
    #[must_use]
    pub fn estimate(&self, channel: Channel, country: Option<Country>, segments: u32) -> Option<Amount> {
        let price = self.currency.and_then(|_| self.tariff(channel).price(country))?;
        Some(match channel {
            Channel::Sms => price.times(segments.into()),
            Channel::Mms | Channel::Whatsapp => price,
        })
    }

    /// The prices of a channel.
    #[must_use]
    pub const fn tariff(&self, channel: Channel) -> &Tariff {
        match channel {
            Channel::Sms => &self.sms,
            Channel::Mms => &self.mms,
            Channel::Whatsapp => &self.whatsapp,
        }
    }
}

/// What many messages cost together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sum {
    amount: Amount,
    /// Where messages go for which there is no price: `??` for a number of no country.
    unpriced: BTreeSet<String>,
}

impl Sum {
    /// Adds a message with its estimate.
    pub fn add(&mut self, country: Option<Country>, estimate: Option<Amount>) {
        match estimate {
            Some(amount) => self.amount = self.amount.plus(amount),
            None => {
                let country = country.map_or_else(|| "??".to_owned(), |country| country.to_string());
                self.unpriced.insert(country);
            }
        }
    }

    /// What all of them cost; `None` if the price of one is not known, for a part is no estimate of the whole.
    #[must_use]
    pub fn total(&self) -> Option<Amount> {
        self.unpriced.is_empty().then_some(self.amount)
    }

    /// The countries without a price, in alphabetical order.
    #[must_use]
    pub const fn unpriced(&self) -> &BTreeSet<String> {
        &self.unpriced
    }
}

#[cfg(test)]
#[path = "price_tests.rs"]
mod tests;
