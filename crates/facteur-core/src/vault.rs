//! Secrets at rest: XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha) under keys that the configuration holds. The nonce is
//! an argument, and what is sealed is bound to its place: moved to another row it does not open.

use std::fmt;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use secrecy::{ExposeSecret, SecretBox, SecretSlice};

/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// Bytes of a nonce: enough to be drawn at random for each write.
pub const NONCE_BYTES: usize = 24;
/// Most keys at once.
const KEYS_MAX: usize = 16;
/// The id of a key that stands alone and names none.
const ID_DEFAULT: &str = "1";

/// The keys, the current one first. `Debug` shows their ids alone.
#[derive(Default)]
pub struct Keyring {
    keys: Vec<(String, SecretBox<[u8; KEY_BYTES]>)>,
}

/// What was sealed, and by which key.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The key's id.
    pub key_id: String,
    /// Nonce and ciphertext.
    pub bytes: Vec<u8>,
}

/// Why something can't be sealed or opened. The sentences hold no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// There is no key at all.
    #[error("FACTEUR_SECRET_KEY is not set: it seals and opens the credentials of integrations")]
    NoKey,
    /// Sealed by a key that is not there.
    #[error(
        "the credentials were sealed by the key `{0}`, which FACTEUR_SECRET_KEY does not hold: add it as `{0}:…`"
    )]
    UnknownKey(String),
    /// The key is another one than its id says, or the row was changed or moved.
    #[error(
        "the credentials can't be opened by the key `{0}` of FACTEUR_SECRET_KEY: the key under this id is another one, or \
         the row was changed or copied from elsewhere; set the credentials again"
    )]
    Broken(String),
    /// Longer than what can be sealed.
    #[error("the credentials are too long to be sealed")]
    TooLong,
}

impl Keyring {
    /// Reads `key`, or `id:key,id:key` with the current one first: each key is 32 bytes in base64 (with or without
    /// padding, standard or URL alphabet) or in hexadecimal; an id is 1 to 32 of `a-z`, `A-Z`, `0-9`, `-`, `_` and `.`.
    ///
    /// # Errors
    /// The end of a sentence about the setting; it repeats no part of the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut keyring = Self::default();
        for part in text.split(',').map(str::trim) {
            let (id, key) = part.split_once(':').unwrap_or((ID_DEFAULT, part));
            let is_id = (1..=32).contains(&id.len())
                && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
            if !is_id {
                return Err("has a key whose id is not 1 to 32 letters, digits, -, _ or .".to_owned());
            }
            let key = bytes_of(key.trim()).ok_or(
                "is not a key of 32 bytes in base64 or hexadecimal, or several as id:key,id:key with the current one \
                 first (`openssl rand -base64 32` makes one)",
            )?;
            if keyring.keys.iter().any(|(known, _)| known == id) {
                return Err("names a key's id twice".to_owned());
            }
            keyring.keys.push((id.to_owned(), SecretBox::new(Box::new(key))));
        }
        if keyring.keys.len() > KEYS_MAX {
            return Err(format!("holds more than {KEYS_MAX} keys"));
        }
        Ok(keyring)
    }

    /// Whether it can neither seal nor open anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The ids of its keys, in alphabetical order.
    #[must_use]
    pub fn ids(&self) -> String {
        let mut ids: Vec<&str> = self.keys.iter().map(|(id, _)| id.as_str()).collect();
        ids.sort_unstable();
        ids.join(", ")
    }

    /// The id of the key that seals.
    ///
    /// # Errors
    /// [`VaultError::NoKey`].
    pub fn current_id(&self) -> Result<&str, VaultError> {
        self.keys.first().map(|(id, _)| id.as_str()).ok_or(VaultError::NoKey)
    }

    /// Seals under the current key. `place` says where the result belongs; a nonce is never used twice.
    ///
    /// # Errors
    /// [`VaultError::NoKey`]; [`VaultError::TooLong`].
    pub fn seal(&self, secret: &[u8], place: &str, nonce: [u8; NONCE_BYTES]) -> Result<Sealed, VaultError> {
        let (key_id, key) = self.keys.first().ok_or(VaultError::NoKey)?;
        let payload = Payload { msg: secret, aad: place.as_bytes() };
        let sealed = cipher(key).encrypt(&XNonce::from(nonce), payload).map_err(|_| VaultError::TooLong)?;
        Ok(Sealed { key_id: key_id.clone(), bytes: [&nonce[..], &sealed].concat() })
    }

    /// Opens what was sealed for that place.
    ///
    /// # Errors
    /// [`VaultError`], but `TooLong`.
    pub fn open(&self, sealed: &Sealed, place: &str) -> Result<SecretSlice<u8>, VaultError> {
        if self.is_empty() {
            return Err(VaultError::NoKey);
        }
        let known = self.keys.iter().find(|(id, _)| *id == sealed.key_id);
        let (_, key) = known.ok_or_else(|| VaultError::UnknownKey(sealed.key_id.clone()))?;
        let broken = || VaultError::Broken(sealed.key_id.clone());
        let (nonce, ciphertext) = sealed.bytes.split_first_chunk::<NONCE_BYTES>().ok_or_else(broken)?;
        let payload = Payload { msg: ciphertext, aad: place.as_bytes() };
        let opened = cipher(key).decrypt(&XNonce::from(*nonce), payload).map_err(|_| broken())?;
        Ok(opened.into())
    }
}

fn cipher(key: &SecretBox<[u8; KEY_BYTES]>) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&Key::from(*key.expose_secret()))
}

fn bytes_of(key: &str) -> Option<[u8; KEY_BYTES]> {
    if key.len() == 2 * KEY_BYTES {
        let digit = |at: usize| key.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        if !key.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let bytes: Option<Vec<u8>> = (0..KEY_BYTES).map(|index| digit(2 * index)).collect();
        return bytes?.try_into().ok();
    }
    let standard: String = key.trim_end_matches('=').replace('-', "+").replace('_', "/");
    base64::Engine::decode(&base64::engine::general_purpose::STANDARD_NO_PAD, standard).ok()?.try_into().ok()
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|(id, _)| id)).finish()
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed(by {}, {} bytes)", self.key_id, self.bytes.len())
    }
}

#[cfg(test)]
#[path = "vault_tests.rs"]
mod tests;
