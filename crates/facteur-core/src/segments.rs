//! SMS segments: what a text costs on the air (GSM 03.38, which 3GPP TS 23.038 carries on).
//!
//! A segment holds 140 octets: 160 septets of the GSM alphabet, or 70 UTF-16 units once a single character is
//! outside it. A longer text gives up 6 octets of each segment to say how the parts belong together, which
//! leaves 153 septets or 67 units; a character of two units is never cut in half.

use crate::job::Channel;

/// Units of a text that fits one segment, and of each segment of a longer one.
const GSM_SEPTETS: (u32, u32) = (160, 153);
const UCS2_UNITS: (u32, u32) = (70, 67);

/// The alphabet in which a text travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// The GSM alphabet with its extension table: 7 bits a septet.
    Gsm7,
    /// UTF-16: 16 bits a unit.
    Ucs2,
}

impl Encoding {
    /// The encoding's name, as shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gsm7 => "GSM-7",
            Self::Ucs2 => "UCS-2",
        }
    }

    /// Units of a text in one segment, and of each segment of a longer text.
    const fn capacities(self) -> (u32, u32) {
        match self {
            Self::Gsm7 => GSM_SEPTETS,
            Self::Ucs2 => UCS2_UNITS,
        }
    }
}

/// What a text comes to on the air.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SegmentCount {
    /// Its alphabet.
    pub encoding: Encoding,
    /// Septets (GSM-7) or UTF-16 units (UCS-2).
    pub units: u32,
    /// Segments; 0 for an empty text.
    pub segments: u32,
}

/// Counts the segments of a text.
#[must_use]
pub fn count(text: &str) -> SegmentCount {
    let is_gsm = text.chars().all(|char| gsm_septets(char).is_some());
    let encoding = if is_gsm { Encoding::Gsm7 } else { Encoding::Ucs2 };
    let cost_of = |char: char| match encoding {
        Encoding::Gsm7 => gsm_septets(char).unwrap_or(1),
        Encoding::Ucs2 if u32::from(char) > 0xffff => 2,
        Encoding::Ucs2 => 1,
    };
    let (single, each) = encoding.capacities();
    let (mut units, mut segments, mut filled) = (0_u32, 0_u32, each);
    for cost in text.chars().map(cost_of) {
        units = units.saturating_add(cost);
        if filled + cost > each {
            segments = segments.saturating_add(1);
            filled = 0;
        }
        filled += cost;
    }
    let segments = if units <= single { segments.min(1) } else { segments };
    SegmentCount { encoding, units, segments }
}

/// The characters that the GSM alphabet lacks, each once, in the order in which they come. A single one makes the whole
/// text UCS-2.
#[must_use]
pub fn outside_gsm(text: &str) -> Vec<char> {
    let mut found = Vec::new();
    for char in text.chars().filter(|char| gsm_septets(*char).is_none()) {
        if !found.contains(&char) {
            found.push(char);
        }
    }
    found
}

/// What a message costs at the limiter: a WhatsApp message or an MMS one, an SMS its segments, at least one.
#[must_use]
pub fn cost(channel: Channel, text: &str) -> u32 {
    match channel {
        Channel::Sms => count(text).segments.max(1),
        Channel::Mms | Channel::Whatsapp => 1,
    }
}

/// Septets of a character in the GSM alphabet: 1 in the basic table, 2 in the extension table (an escape stands
/// before it), `None` outside both.
const fn gsm_septets(char: char) -> Option<u32> {
    match char {
        '^' | '{' | '}' | '\\' | '[' | '~' | ']' | '|' | '€' | '\u{c}' => Some(2),
        // ASCII but for the extension table above, the back-tick and the controls.
        ' '..='_' | 'a'..='z' | '\n' | '\r' => Some(1),
        '¡' | '£' | '¤' | '¥' | '§' | '¿' => Some(1),
        'Ä' | 'Å' | 'Æ' | 'Ç' | 'É' | 'Ñ' | 'Ö' | 'Ø' | 'Ü' | 'ß' => Some(1),
        'à' | 'ä' | 'å' | 'æ' | 'è' | 'é' | 'ì' | 'ñ' | 'ò' | 'ö' | 'ø' | 'ù' | 'ü' => Some(1),
        'Δ' | 'Φ' | 'Γ' | 'Λ' | 'Ω' | 'Π' | 'Ψ' | 'Σ' | 'Θ' | 'Ξ' => Some(1),
        _ => None,
    }
}

#[cfg(test)]
#[path = "segments_tests.rs"]
mod tests;
