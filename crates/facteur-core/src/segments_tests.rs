use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// The basic table as GSM 03.38 prints it, without the escape.
const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// The extension table.
const EXTENSION: &str = "\u{c}^{}\\[~]|€";

#[test]
fn the_alphabet_is_gsm_03_38_and_nothing_else() {
    assert_eq!((BASIC.chars().count(), EXTENSION.chars().count()), (127, 10));
    let basic = BASIC.chars().map(|char| (char, 1));
    let septets: BTreeMap<char, u32> = basic.chain(EXTENSION.chars().map(|char| (char, 2))).collect();
    for char in (0..=0x1_ffff).filter_map(char::from_u32) {
        assert_eq!(gsm_septets(char), septets.get(&char).copied(), "{char:?}");
    }
}

#[test]
fn every_boundary_stands_where_the_standard_puts_it() {
    use Encoding::{Gsm7, Ucs2};
    let of = |unit: &str, times: usize| unit.repeat(times);
    let rows = [
        (String::new(), Gsm7, 0, 0),
        (of("a", 1), Gsm7, 1, 1),
        (of("a", 160), Gsm7, 160, 1),
        (of("a", 161), Gsm7, 161, 2),
        (of("a", 306), Gsm7, 306, 2),
        (of("a", 307), Gsm7, 307, 3),
        (of("a", 1_600), Gsm7, 1_600, 11),
        (of("€", 80), Gsm7, 160, 1),
        (of("€", 81), Gsm7, 162, 2),
        // 153 is odd: a two-septet character leaves one septet of each segment empty.
        (of("€", 153), Gsm7, 306, 3),
        (of("a", 152) + "€" + &of("a", 7), Gsm7, 161, 2),
        (of("a", 152) + "€" + &of("a", 151), Gsm7, 305, 2),
        (of("a", 152) + "€" + &of("a", 152), Gsm7, 306, 3),
        (of("a", 151) + "€" + &of("a", 153), Gsm7, 306, 2),
        // In one segment there is no seam.
        (of("a", 152) + "€" + &of("a", 6), Gsm7, 160, 1),
        (of("ê", 1), Ucs2, 1, 1),
        (of("ê", 70), Ucs2, 70, 1),
        (of("ê", 71), Ucs2, 71, 2),
        (of("ê", 134), Ucs2, 134, 2),
        (of("ê", 135), Ucs2, 135, 3),
        (of("ê", 1_600), Ucs2, 1_600, 24),
        (of("😀", 35), Ucs2, 70, 1),
        (of("😀", 36), Ucs2, 72, 2),
        // 67 is odd too: 33 pairs a segment.
        (of("😀", 66), Ucs2, 132, 2),
        (of("😀", 67), Ucs2, 134, 3),
        (of("a", 66) + "😀" + &of("a", 66), Ucs2, 134, 3),
        (of("a", 65) + "😀" + &of("a", 67), Ucs2, 134, 2),
        // One character outside the alphabet changes the whole text.
        (of("a", 159) + "ç", Ucs2, 160, 3),
        (of("a", 159) + "Ç", Gsm7, 160, 1),
    ];
    for (text, encoding, units, segments) in rows {
        assert_eq!(count(&text), SegmentCount { encoding, units, segments }, "{units} units of {text:.8}…");
    }
}

#[test]
fn only_an_sms_costs_its_segments() {
    let long = "a".repeat(400);
    assert_eq!(cost(Channel::Sms, &long), 3);
    assert_eq!(cost(Channel::Mms, &long), 1);
    assert_eq!(cost(Channel::Whatsapp, &long), 1);
    assert_eq!(cost(Channel::Sms, ""), 1);
}

/// Texts of both alphabets, long enough for several segments.
fn texts() -> impl Strategy<Value = String> {
    let gsm: Vec<char> = BASIC.chars().chain(EXTENSION.chars()).collect();
    let letters = |chars: Vec<char>| {
        proptest::collection::vec(proptest::sample::select(chars), 0..400)
            .prop_map(|chars| chars.into_iter().collect::<String>())
    };
    prop_oneof![letters(gsm), letters("aé€ç😀".chars().collect())]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn segments_hold_their_units_and_waste_at_most_one_each(text in texts()) {
        let SegmentCount { encoding, units, segments } = count(&text);
        let (single, each) = encoding.capacities();
        if units <= single {
            prop_assert_eq!(segments, u32::from(units > 0));
        } else {
            prop_assert!(units <= segments * each);
            prop_assert!(units > (segments - 1) * (each - 1));
        }
    }

    #[test]
    fn a_longer_text_never_costs_less(text in texts(), more in texts()) {
        prop_assert!(cost(Channel::Sms, &(text.clone() + &more)) >= cost(Channel::Sms, &text));
    }

    #[test]
    fn units_are_utf16_units_outside_the_gsm_alphabet(text in texts()) {
        let counted = count(&text);
        if counted.encoding == Encoding::Ucs2 {
            prop_assert_eq!(counted.units as usize, text.encode_utf16().count());
        }
    }
}
