//! Phone numbers: read in any spelling, kept in E.164, masked wherever they are shown.

use std::fmt;

use rlibphonenumber::{
    NumberLengthType, PHONE_NUMBER_UTIL, ParseError, PhoneNumberFormat, PhoneNumberType, Region, RegionStr,
    ValidationError,
};

/// Longest text that is read as a number, in characters: E.164 with generous punctuation.
const INPUT_CHARS_MAX: usize = 40;
/// Digits of an E.164 number: ITU-T E.164 allows 15; no country's are fewer than 7 with its code.
const E164_DIGITS: std::ops::RangeInclusive<usize> = 7..=15;
/// Characters of the number that stay readable at its start (`+` included) and at its end.
const MASK_KEEPS: (usize, usize) = (4, 2);

/// A country of numbers, by its two letters (ISO 3166-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Country(Region, RegionStr);

impl Country {
    /// France.
    pub const FRANCE: Self = Self(Region::FR, Region::FR.as_region_str());

    /// The country of that two-letter code, in either case.
    ///
    /// # Errors
    /// [`CountryError`] if no country with a numbering plan has the code.
    pub fn parse(code: &str) -> Result<Self, CountryError> {
        let region = Region::from_code(code.trim()).map_err(|_| CountryError)?;
        let has_numbers = PHONE_NUMBER_UTIL.get_country_code_for_region(region).is_some();
        (has_numbers && region != Region::World).then(|| Self::of(region)).ok_or(CountryError)
    }

    /// The two letters, in upper case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.1.as_str()
    }

    const fn of(region: Region) -> Self {
        Self(region, region.as_region_str())
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is not the code of a country with phone numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a country's two-letter code such as FR")]
pub struct CountryError;

/// A phone number in E.164 (`+33612345678`). `Debug` and `Display` mask it; [`PhoneNumber::reveal`] doesn't.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhoneNumber(String);

/// Why a text is not a phone number. No sentence quotes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PhoneNumberError {
    /// There is nothing, or nothing but punctuation.
    #[error("holds no digits")]
    Empty,
    /// Longer than any spelling of a number.
    #[error("is too long to be a phone number")]
    InputTooLong,
    /// `whatsapp:` and the like, where a bare number is expected.
    #[error("has a channel prefix; a bare number is expected here")]
    ChannelPrefix,
    /// Letters, symbols, two numbers, an extension.
    #[error("holds a character that no phone number has")]
    StrayCharacter,
    /// The digits after `+` begin with no country's code, or with none at all.
    #[error("begins with no country code that exists")]
    UnknownCountryCode,
    /// Too few digits for its country.
    #[error("has too few digits for its country")]
    TooShort,
    /// Too many digits for its country, or for E.164.
    #[error("has too many digits for its country")]
    TooLong,
    /// Neither too few nor too many, and yet no number of its country has so many digits.
    #[error("has a number of digits that its country does not use")]
    ImpossibleLength,
    /// The national part begins with a 0 that is dialled nowhere: mostly a digit is missing behind it.
    #[error("begins with a 0 that does not belong there; a digit may be missing")]
    StrayZero,
    /// Not `+` and 7 to 15 digits.
    #[error("is not an E.164 number: + and 7 to 15 digits")]
    NotE164,
}

impl PhoneNumber {
    /// Reads a number in any national or international spelling: `0612345678`, `06 12 34 56 78`,
    /// `33612345678`, `+33 (0)6.12.34.56.78`, `0033612345678`. `default` is the country of numbers that don't
    /// name one.
    ///
    /// Every number that is *possible* (its country exists and uses numbers of this length) is taken, whether
    /// or not its range is assigned: ranges open faster than tables follow, Twilio's magic test numbers
    /// (`+15005550006`) are in none, and the carrier decides in the end.
    ///
    /// # Errors
    /// [`PhoneNumberError`], whose sentences never hold the text.
    pub fn parse(text: &str, default: Country) -> Result<Self, PhoneNumberError> {
        let dialled = dialled(text)?;
        let number = PHONE_NUMBER_UTIL.parse(&dialled, Some(default.0)).map_err(|error| match error {
            ParseError::InvalidCountryCode => PhoneNumberError::UnknownCountryCode,
            // There is nothing but digits any more: what is no number at all to the library is one digit.
            ParseError::TooShortAfterIdd | ParseError::TooShortNsn | ParseError::NotANumber(_) => {
                PhoneNumberError::TooShort
            }
            ParseError::TooLongNsn => PhoneNumberError::TooLong,
        })?;
        match number.is_possible_with_reason() {
            Ok(NumberLengthType::IsPossible) => {}
            Ok(NumberLengthType::IsPossibleLocalOnly) | Err(ValidationError::TooShort) => {
                return Err(PhoneNumberError::TooShort);
            }
            Err(ValidationError::TooLong) => return Err(PhoneNumberError::TooLong),
            Err(ValidationError::InvalidLength) => return Err(PhoneNumberError::ImpossibleLength),
            Err(ValidationError::InvalidCountryCode) => return Err(PhoneNumberError::UnknownCountryCode),
        }
        // A French number that lacks a digit has the length of one without its 0. Few countries keep a 0 after
        // the code (Italy, Ivory Coast …): there the ranges decide.
        if number.italian_leading_zero() && !number.is_valid() {
            return Err(PhoneNumberError::StrayZero);
        }
        let e164 = number.format_as(PhoneNumberFormat::E164);
        // A few plans reach beyond the 15 digits that Twilio takes.
        Self::from_e164(&e164).map_err(|_| PhoneNumberError::TooLong)
    }

    /// Takes a number that [`PhoneNumber::parse`] made earlier, as it is read back from the database.
    ///
    /// # Errors
    /// [`PhoneNumberError::NotE164`]: only the form is checked.
    pub fn from_e164(text: &str) -> Result<Self, PhoneNumberError> {
        let is_fine = text.strip_prefix('+').is_some_and(|digits| {
            E164_DIGITS.contains(&digits.len())
                && !digits.starts_with('0')
                && digits.bytes().all(|byte| byte.is_ascii_digit())
        });
        is_fine.then(|| Self(text.to_owned())).ok_or(PhoneNumberError::NotE164)
    }

    /// The number in clear, for Twilio, the database and the hash of an opt-out; never for a log.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The number as it may be shown: `+336••••••78`.
    #[must_use]
    pub fn masked(&self) -> String {
        let (start, end) = MASK_KEEPS;
        let hidden_until = self.0.len().saturating_sub(end);
        let mask = |(index, char)| if index < start || index >= hidden_until { char } else { '•' };
        self.0.chars().enumerate().map(mask).collect()
    }

    /// The country whose range holds the number, else the main country of its code (`US` for `+1`); `None` for
    /// numbers of no country, such as satellite phones.
    #[must_use]
    pub fn country(&self) -> Option<Country> {
        let number = PHONE_NUMBER_UTIL.parse(&self.0, None).ok()?;
        let region = number
            .get_region_code()
            .or_else(|| PHONE_NUMBER_UTIL.get_region_for_country_code(number.country_code))?;
        (region != Region::World).then(|| Country::of(region))
    }

    /// What kind of line the number's range is for: `mobile`, `fixed_line`, …; `unknown` for a range that is not
    /// assigned.
    #[must_use]
    pub fn line_type(&self) -> &'static str {
        let kind = PHONE_NUMBER_UTIL.parse(&self.0, None).map(|number| number.get_type());
        match kind.unwrap_or(PhoneNumberType::Unknown) {
            PhoneNumberType::FixedLine => "fixed_line",
            PhoneNumberType::Mobile => "mobile",
            PhoneNumberType::FixedLineOrMobile => "fixed_line_or_mobile",
            PhoneNumberType::TollFree => "toll_free",
            PhoneNumberType::PremiumRate => "premium_rate",
            PhoneNumberType::SharedCost => "shared_cost",
            PhoneNumberType::VoIP => "voip",
            PhoneNumberType::PersonalNumber => "personal_number",
            PhoneNumberType::Pager => "pager",
            PhoneNumberType::UAN => "uan",
            PhoneNumberType::VoiceMail => "voicemail",
            PhoneNumberType::Unknown => "unknown",
        }
    }
}

/// The text without its punctuation: at most one `+` and ASCII digits. What is not a number's punctuation is
/// refused here, for the library would read letters as keypad digits and cut a text where it stops making sense.
fn dialled(text: &str) -> Result<String, PhoneNumberError> {
    if text.chars().nth(INPUT_CHARS_MAX).is_some() {
        return Err(PhoneNumberError::InputTooLong);
    }
    if text.split_once(':').is_some_and(|(prefix, _)| prefix.chars().any(char::is_alphabetic)) {
        return Err(PhoneNumberError::ChannelPrefix);
    }
    let mut dialled = String::with_capacity(16);
    for char in text.chars() {
        match char {
            '+' | '＋' if dialled.is_empty() => dialled.push('+'),
            '.'
            | '-'
            | '('
            | ')'
            | '/'
            | '\u{2010}'..='\u{2015}'
            | '\u{2212}'
            | '－'
            | '．'
            | '（'
            | '）' => {}
            // Direction and joining marks come along with numbers that are copied from contact lists.
            '\u{ad}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{feff}' => {}
            _ if char.is_whitespace() => {}
            _ => dialled.push(ascii_digit(char).ok_or(PhoneNumberError::StrayCharacter)?),
        }
    }
    if dialled.is_empty() || dialled == "+" { Err(PhoneNumberError::Empty) } else { Ok(dialled) }
}

/// The digit that an ASCII, full-width, Arabic or Persian digit stands for.
fn ascii_digit(char: char) -> Option<char> {
    let zero = ['0', '\u{ff10}', '\u{660}', '\u{6f0}']
        .into_iter()
        .find(|zero| u32::from(char).checked_sub(u32::from(*zero)).is_some_and(|distance| distance < 10))?;
    char::from_digit(u32::from(char) - u32::from(zero), 10)
}

impl fmt::Display for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

#[cfg(test)]
#[path = "phone_tests.rs"]
mod tests;
