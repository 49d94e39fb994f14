use secrecy::ExposeSecret as _;

use super::*;

const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const BASE64: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OTHER: &str = "//////////////////////////////////////////8=";
const OTHER_URL: &str = "__________________________________________8";

fn keyring(text: &str) -> Keyring {
    Keyring::parse(text).unwrap()
}

#[test]
fn what_is_sealed_opens_at_its_place_under_its_key_in_every_spelling() {
    let sealed = keyring(HEX).seal(b"5ecre7", "AC1/acme", [7; NONCE_BYTES]).unwrap();
    assert_eq!((sealed.key_id.as_str(), sealed.bytes.len()), ("1", NONCE_BYTES + 6 + 16));
    assert!(!sealed.bytes.windows(6).any(|bytes| bytes == b"5ecre7"));
    for text in [HEX.to_owned(), BASE64.to_owned(), format!("new:{OTHER}, 1:{HEX}"), format!(" 1:{BASE64} ")]
    {
        assert_eq!(keyring(&text).open(&sealed, "AC1/acme").unwrap().expose_secret(), b"5ecre7", "{text}");
    }
    let by_other = keyring(OTHER).seal(b"x", "", [0; NONCE_BYTES]).unwrap();
    assert!(keyring(OTHER_URL).open(&by_other, "").is_ok());
}

#[test]
fn what_was_moved_changed_or_sealed_by_another_key_does_not_open() {
    let ring = keyring(HEX);
    let sealed = ring.seal(b"5ecre7", "AC1/acme", [7; NONCE_BYTES]).unwrap();
    let broken = Err(VaultError::Broken("1".to_owned()));
    let open = |ring: &Keyring, sealed: &Sealed, place: &str| ring.open(sealed, place).map(drop);
    assert_eq!(open(&ring, &sealed, "AC1/other"), broken);
    assert_eq!(open(&keyring(OTHER), &sealed, "AC1/acme"), broken);
    for at in 0..sealed.bytes.len() {
        let mut changed = sealed.clone();
        changed.bytes[at] ^= 1;
        assert_eq!(open(&ring, &changed, "AC1/acme"), broken, "byte {at}");
    }
    let short = Sealed { bytes: vec![1; NONCE_BYTES], ..sealed.clone() };
    assert_eq!(open(&ring, &short, "AC1/acme"), broken);
    let unknown = open(&keyring(&format!("new:{HEX}")), &sealed, "AC1/acme");
    assert_eq!(unknown, Err(VaultError::UnknownKey("1".to_owned())));
    assert_eq!(open(&Keyring::default(), &sealed, "AC1/acme"), Err(VaultError::NoKey));
    assert!(VaultError::NoKey.to_string().contains("FACTEUR_SECRET_KEY"));
}

#[test]
fn the_first_key_seals() {
    let ring = keyring(&format!("2026:{OTHER},2025:{HEX}"));
    assert_eq!(ring.current_id(), Ok("2026"));
    assert_eq!(ring.seal(b"x", "", [1; NONCE_BYTES]).unwrap().key_id, "2026");
    assert_eq!(Keyring::default().seal(b"x", "", [1; NONCE_BYTES]), Err(VaultError::NoKey));
}

#[test]
fn keys_that_are_none_are_refused_without_being_repeated() {
    let bad = [
        String::new(),
        "s3cr3t".to_owned(),
        HEX[1..].to_owned(),
        format!("{HEX}00"),
        "é".repeat(32),
        format!("a b:{HEX}"),
        format!(":{HEX}"),
        format!("1:{HEX},1:{OTHER}"),
        format!("{HEX},"),
        (0..17).map(|id| format!("{id}:{HEX}")).collect::<Vec<_>>().join(","),
    ];
    for text in bad {
        let why = Keyring::parse(&text).map(drop).unwrap_err();
        assert!(!why.contains(HEX) && !why.contains("s3cr3t"), "{why}");
    }
}

#[test]
fn neither_keys_nor_what_they_sealed_have_a_debug() {
    let ring = keyring(&format!("now:{HEX}"));
    assert_eq!(format!("{ring:?}"), "[\"now\"]");
    let sealed = ring.seal(b"5ecre7", "", [7; NONCE_BYTES]).unwrap();
    assert_eq!(format!("{sealed:?}"), "Sealed(by now, 46 bytes)");
}
