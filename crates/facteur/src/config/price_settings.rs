//! Settings of what messages cost.

use facteur_core::price::Prices;

use super::sections::Config;
use super::settings::{Form, Secrecy, Setting};

pub(super) const CURRENCY: Setting = Setting {
    key: "prices.currency",
    env: "FACTEUR_PRICE_CURRENCY",
    default: None,
    form: Form::Text,
    secrecy: Secrecy::Public,
    doc: "The currency of all prices: three letters (ISO 4217), such as EUR. It must be set if a price is.",
    store: |config, text| {
        config.prices.currency = Some(text.parse().map_err(|why| format!("{why}"))?);
        Ok(())
    },
};

pub(super) const SMS: Setting = Setting {
    key: "prices.sms",
    env: "FACTEUR_PRICE_SMS",
    default: None,
    form: Form::Text,
    secrecy: Secrecy::Public,
    doc: "What a segment of an SMS costs, by the country of the recipient's number: 0.07,FR=0.0725,US=0.0083. The first \
          one, without a country, is for all others, and may be left out. 0 to 1000, with at most six decimals. Where no \
          price is set, no cost is estimated.",
    store: |config, text| tariff(text).map(|tariff| config.prices.sms = tariff),
};

pub(super) const MMS: Setting = Setting {
    key: "prices.mms",
    env: "FACTEUR_PRICE_MMS",
    default: None,
    form: Form::Text,
    secrecy: Secrecy::Public,
    doc: "What an MMS costs, by country in the same way.",
    store: |config, text| tariff(text).map(|tariff| config.prices.mms = tariff),
};

pub(super) const WHATSAPP: Setting = Setting {
    key: "prices.whatsapp",
    env: "FACTEUR_PRICE_WHATSAPP",
    default: None,
    form: Form::Text,
    secrecy: Secrecy::Public,
    doc: "What a WhatsApp message costs, by country in the same way.",
    store: |config, text| tariff(text).map(|tariff| config.prices.whatsapp = tariff),
};

fn tariff(text: &str) -> Result<facteur_core::price::Tariff, String> {
    super::parse::line(text)?.parse()
}

/// A price says nothing without its currency.
pub(super) fn without_currency(config: &Config) -> Option<String> {
    let Prices { currency, sms, mms, whatsapp } = &config.prices;
    let has_price = [sms, mms, whatsapp].into_iter().any(|tariff| !tariff.is_empty());
    (has_price && currency.is_none()).then(|| {
        "FACTEUR_PRICE_CURRENCY (prices.currency) is not set, but a price is: name the currency, such as EUR".to_owned()
    })
}
