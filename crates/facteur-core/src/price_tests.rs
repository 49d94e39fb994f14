use proptest::prelude::*;

use super::*;

fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

fn country(code: &str) -> Option<Country> {
    Some(Country::parse(code).unwrap())
}

#[test]
fn prices_are_read_exactly_and_written_as_short_as_they_may_be() {
    for (text, micros, shown) in [
        ("0", 0, "0.00"),
        ("0.07", 70_000, "0.07"),
        ("0.0725", 72_500, "0.0725"),
        ("0.000001", 1, "0.000001"),
        ("12", 12_000_000, "12.00"),
        ("1000.0", 1_000_000_000, "1000.00"),
    ] {
        assert_eq!((amount(text).as_micros(), amount(text).to_string().as_str()), (micros, shown), "{text}");
    }
    for bad in
        ["", ".", "1.", ".5", "0,07", "-1", "+1", "1e3", "0.0000001", "1000.01", "99999", "0.07 ", "٧", "NaN"]
    {
        assert_eq!(bad.parse::<Amount>(), Err(PriceError), "{bad:?}");
    }
}

#[test]
fn a_tariff_names_countries_and_everywhere_else_once_each() {
    let tariff: Tariff = "0.07, FR = 0.0725 ,us=0.0083".parse().unwrap();
    assert_eq!(tariff.price(country("FR")), Some(amount("0.0725")));
    assert_eq!(tariff.price(country("US")), Some(amount("0.0083")));
    assert_eq!(tariff.price(country("SN")), Some(amount("0.07")));
    assert_eq!(tariff.price(None), Some(amount("0.07")));
    let only: Tariff = "FR=0.0725".parse().unwrap();
    assert_eq!([only.price(country("SN")), only.price(None)], [None, None], "no price is made up");
    for (bad, part) in [
        ("0.07,0.08", "`0.08` without a country"),
        ("0,07", "`07` without a country"),
        ("FR=1,25", "`25` without a country"),
        ("FR=1,fr=2", "two prices for FR"),
        ("FR=x", "`FR=x`, of which the price is no price"),
        ("XX=1", "`XX`, which is not a country"),
        ("", "``, which is no price"),
        ("FR:1", "`FR:1`, which is no price"),
    ] {
        let why = bad.parse::<Tariff>().unwrap_err();
        assert!(why.contains(part), "{bad}: {why}");
    }
}

#[test]
fn an_sms_costs_its_segments_and_any_other_message_its_price_and_nothing_is_estimated_without_one() {
    let mut prices = Prices {
        currency: Some("eur".parse().unwrap()),
        sms: "FR=0.0725".parse().unwrap(),
        mms: "0.2".parse().unwrap(),
        whatsapp: Tariff::default(),
    };
    for (channel, code, segments, expected) in [
        (Channel::Sms, "FR", 1, Some("0.0725")),
        (Channel::Sms, "FR", 3, Some("0.2175")),
        (Channel::Sms, "SN", 1, None),
        (Channel::Mms, "FR", 3, Some("0.20")),
        (Channel::Whatsapp, "FR", 1, None),
    ] {
        let estimate = prices.estimate(channel, country(code), segments);
        assert_eq!(estimate.map(|amount| amount.to_string()).as_deref(), expected, "{channel:?} {code}");
    }
    prices.currency = None;
    assert_eq!(prices.estimate(Channel::Mms, country("FR"), 1), None, "an amount of what?");
    for bad in ["", "EU", "EURO", "€", "E1R"] {
        assert_eq!(bad.parse::<Currency>(), Err(CurrencyError), "{bad:?}");
    }
}

#[test]
fn a_sum_that_lacks_a_price_is_none_and_names_the_countries() {
    let mut sum = Sum::default();
    assert_eq!(sum.total(), Some(Amount::default()));
    sum.add(country("FR"), Some(amount("0.0725")));
    sum.add(country("FR"), Some(amount("0.145")));
    assert_eq!(sum.total(), Some(amount("0.2175")));
    sum.add(country("SN"), None);
    sum.add(None, None);
    assert_eq!(
        (sum.total(), sum.unpriced().iter().map(String::as_str).collect::<Vec<_>>()),
        (None, vec!["??", "SN"])
    );
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(micros in 0..=Amount::PRICE_MAX.as_micros()) {
        let amount = Amount::from_micros(micros);
        prop_assert_eq!(amount.to_string().parse::<Amount>(), Ok(amount));
    }

    #[test]
    fn no_text_makes_it_panic(text in "[0-9A-Za-z=,. ٣é-]{0,24}") {
        let _ = (text.parse::<Amount>(), text.parse::<Tariff>(), text.parse::<Currency>());
    }
}
