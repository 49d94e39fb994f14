//! What an API key looks like: `fk_`, 43 characters that carry 256 random bits, and six that check them, so that a
//! scanner of secrets finds a key that leaked and a mistyped one costs no look-up.

use sha2::{Digest as _, Sha256};

/// How every key begins.
pub const PREFIX: &str = "fk_";
/// Characters by which people tell keys apart; of no use to anybody.
pub const SHOWN_CHARS: usize = 11;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const RANDOM_CHARS: usize = 43;
const CHECK_CHARS: usize = 6;

/// The key that these random bytes make.
#[must_use]
pub fn key(random: &[u8; 32]) -> String {
    let body = format!("{PREFIX}{}", base62::<RANDOM_CHARS>(random));
    let check = check(&body);
    body + &check
}

/// Whether a text can be a key at all. Tells nothing of whether somebody has it.
#[must_use]
pub fn is_well_formed(text: &str) -> bool {
    let is_plain = text.len() == PREFIX.len() + RANDOM_CHARS + CHECK_CHARS
        && text.starts_with(PREFIX)
        && text.bytes().skip(PREFIX.len()).all(|byte| byte.is_ascii_alphanumeric());
    let body = text.get(..PREFIX.len() + RANDOM_CHARS).filter(|_| is_plain);
    body.is_some_and(|body| text.ends_with(&check(body)))
}

/// The first characters of a key, as lists and logs show it.
#[must_use]
pub fn shown(key: &str) -> String {
    key.chars().take(SHOWN_CHARS).collect()
}

fn check(body: &str) -> String {
    let digest = Sha256::digest(body.as_bytes());
    base62::<CHECK_CHARS>(digest.get(..4).unwrap_or_default())
}

/// The last digits, to the base of 62, of the number that the bytes are.
fn base62<const DIGITS: usize>(bytes: &[u8]) -> String {
    let mut number = bytes.to_vec();
    let mut digits = [b'0'; DIGITS];
    for digit in digits.iter_mut().rev() {
        let rest = number.iter_mut().fold(0, |rest, byte| {
            let part = rest * 256 + usize::from(*byte);
            *byte = u8::try_from(part / 62).unwrap_or_default();
            part % 62
        });
        *digit = ALPHABET.get(rest).copied().unwrap_or(b'0');
    }
    digits.iter().copied().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_carries_its_bits_and_checks_itself() {
        let keys = [[0; 32], [255; 32], std::array::from_fn(|index| u8::try_from(index).unwrap())];
        for random in keys {
            let key = key(&random);
            assert_eq!((key.len(), is_well_formed(&key)), (52, true), "{key}");
        }
        assert_ne!(key(&[1; 32]), key(&[2; 32]));
        assert_eq!(base62::<3>(&[62]), "010");
        assert_eq!(base62::<43>(&[255; 32]).trim_start_matches('0').len(), 43);
        assert_eq!(shown(&key(&[0; 32])), "fk_00000000");
    }

    #[test]
    fn a_slip_in_any_place_is_noticed() {
        let key = key(&[7; 32]);
        for place in 0..key.len() {
            let mut other = key.clone().into_bytes();
            other[place] = if other[place] == b'x' { b'y' } else { b'x' };
            assert!(!is_well_formed(std::str::from_utf8(&other).unwrap()), "{place}");
        }
        for wrong in ["", "fk_", "fk_é", &key[1..], &format!("{key}0"), &format!(" {}", &key[1..])] {
            assert!(!is_well_formed(wrong), "{wrong}");
        }
    }
}
