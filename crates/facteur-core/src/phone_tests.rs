use proptest::prelude::*;

use super::*;

#[test]
fn every_usual_spelling_of_a_number_is_the_same_number() {
    let spellings = [
        "0612345678",
        "06 12 34 56 78",
        "06.12.34.56.78",
        "06-12-34-56-78",
        "06/12/34/56/78",
        "(06) 12 34 56 78",
        "33612345678",
        "+33612345678",
        "+33 6 12 34 56 78",
        "+33 (0)6 12 34 56 78",
        "+330612345678",
        "0033612345678",
        "00 33 6 12 34 56 78",
        "06\u{a0}12\u{a0}34\u{a0}56\u{a0}78",
        "06\u{202f}12\u{202f}34\u{202f}56\u{202f}78",
        "\u{202a}+33 6 12 34 56 78\u{202c}",
        "06‑12‑34‑56‑78",
        "  0612345678\r\n",
        "０６１２３４５６７８",
        "＋33612345678",
        "٠٦١٢٣٤٥٦٧٨",
    ];
    for text in spellings {
        let number = PhoneNumber::parse(text, Country::FRANCE);
        assert_eq!(number.as_ref().map(PhoneNumber::reveal), Ok("+33612345678"), "{text:?}");
    }
}

#[test]
fn numbers_of_other_countries_keep_their_code() {
    let rows = [
        ("+221 77 123 45 67", "FR", "+221771234567"),
        ("77 123 45 67", "SN", "+221771234567"),
        ("00221771234567", "FR", "+221771234567"),
        ("(415) 555-2671", "US", "+14155552671"),
        ("011 33 6 12 34 56 78", "US", "+33612345678"),
        ("07400 123456", "GB", "+447400123456"),
        ("+39 02 1234 5678", "FR", "+390212345678"),
        ("+225 07 01 23 45 67", "FR", "+2250701234567"),
        ("0692 12 34 56", "RE", "+262692123456"),
        // Unassigned, yet possible.
        ("+15005550006", "FR", "+15005550006"),
        ("+1 555 123 4567", "FR", "+15551234567"),
        ("+15555550100", "FR", "+15555550100"),
        // Of no country.
        ("+870 773 111 632", "FR", "+870773111632"),
    ];
    for (text, default, expected) in rows {
        let number = PhoneNumber::parse(text, Country::parse(default).unwrap()).unwrap();
        assert_eq!(number.reveal(), expected, "{text}");
    }
}

#[test]
fn a_number_knows_its_country() {
    let rows = [
        ("+33612345678", Some("FR")),
        ("+262692123456", Some("RE")),
        ("+221771234567", Some("SN")),
        // In no range of any country that shares the code 1.
        ("+15005550006", Some("US")),
        ("+870773111632", None),
    ];
    for (text, expected) in rows {
        let country = PhoneNumber::from_e164(text).unwrap().country();
        assert_eq!(country.as_ref().map(Country::as_str), expected, "{text}");
    }
}

#[test]
fn twilios_magic_numbers_are_numbers() {
    for last in 0..10 {
        let magic = format!("+1500555000{last}");
        assert_eq!(PhoneNumber::parse(&magic, Country::FRANCE).unwrap().reveal(), magic);
    }
}

#[test]
fn what_is_no_number_is_refused_with_its_reason() {
    use PhoneNumberError::{
        ChannelPrefix, Empty, InputTooLong, StrayCharacter, StrayZero, TooLong, TooShort, UnknownCountryCode,
    };
    let rows = [
        ("", Empty),
        ("   ", Empty),
        ("+", Empty),
        ("()-.", Empty),
        ("++33612345678", StrayCharacter),
        ("33+612345678", StrayCharacter),
        ("abc", StrayCharacter),
        ("0800 FACTEUR", StrayCharacter),
        ("0612345678 ext. 5", StrayCharacter),
        ("0612345678;0712345678", StrayCharacter),
        ("06😀12345678", StrayCharacter),
        ("06½12345678", StrayCharacter),
        ("0612345678\0", StrayCharacter),
        ("*31#0612345678", StrayCharacter),
        ("whatsapp:+33612345678", ChannelPrefix),
        ("tel:+33612345678", ChannelPrefix),
        ("1", TooShort),
        ("06123456", TooShort),
        ("112", TooShort),
        ("+33612", TooShort),
        ("061234567", StrayZero),
        ("06 12 34 56 7", StrayZero),
        ("+39 000 000 000", StrayZero),
        ("061234567890", TooLong),
        ("+336123456789", TooLong),
        ("221771234567", TooLong),
        ("+99912345678", UnknownCountryCode),
        ("+0612345678", UnknownCountryCode),
    ];
    for (text, expected) in rows {
        assert_eq!(PhoneNumber::parse(text, Country::FRANCE), Err(expected), "{text:?}");
    }
    let endless = "6".repeat(1_000);
    assert_eq!(PhoneNumber::parse(&endless, Country::FRANCE), Err(InputTooLong));
}

#[test]
fn a_number_never_shows_itself() {
    let number = PhoneNumber::from_e164("+33612345678").unwrap();
    assert_eq!(format!("{number}"), "+336••••••78");
    assert_eq!(format!("{number:?}"), "+336••••••78");
    assert_eq!(PhoneNumber::from_e164("+6834123").unwrap().to_string(), "+683••23");
}

#[test]
fn only_e164_is_taken_from_the_database() {
    for good in ["+6834123", "+33612345678", "+123456789012345"] {
        assert_eq!(PhoneNumber::from_e164(good).unwrap().reveal(), good);
    }
    for bad in [
        "",
        "+",
        "33612345678",
        "+0612345678",
        "+33 612345678",
        "+123456",
        "+1234567890123456",
        "+３３612345678",
    ] {
        assert_eq!(PhoneNumber::from_e164(bad), Err(PhoneNumberError::NotE164), "{bad:?}");
    }
}

#[test]
fn countries_are_known_by_two_letters() {
    assert_eq!(Country::parse("FR"), Ok(Country::FRANCE));
    assert_eq!(Country::parse(" sn ").unwrap().as_str(), "SN");
    for bad in ["", "F", "FRA", "ZZ", "001", "33", "é"] {
        assert_eq!(Country::parse(bad), Err(CountryError), "{bad:?}");
    }
}

/// Texts that look like numbers often enough to reach every branch.
fn number_like() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        proptest::sample::select(" +0123456789.-()a:\u{a0}９".chars().collect::<Vec<_>>()),
        0..45,
    )
    .prop_map(|chars| chars.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_is_taken_is_e164_and_is_read_back_as_itself(text in prop_oneof![number_like(), any::<String>()]) {
        if let Ok(number) = PhoneNumber::parse(&text, Country::FRANCE) {
            prop_assert_eq!(&PhoneNumber::from_e164(number.reveal()).unwrap(), &number);
            prop_assert_eq!(&PhoneNumber::parse(number.reveal(), Country::FRANCE).unwrap(), &number);
            prop_assert!(!number.to_string().contains(&number.reveal()[4..]));
        }
    }
}
