//! The words by which a contact leaves, comes back or asks for help: Twilio's own, which it obeys itself, and French ones,
//! which only we obey. A text is such a word only as a whole: whoever writes "stop calling me at noon" has not left.

/// What the word asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keyword {
    /// Not to be written to any more.
    Stop,
    /// To be written to again.
    Start,
    /// What this is.
    Help,
}

/// Each word without accents, in upper case. The first lines are Twilio's default words ("Twilio support for opt-out
/// keywords"); YES is one of them and OUI is not, for OUI answers many a question. ANNULER, which cancels an appointment,
/// and FIN are not here either.
const WORDS: &[(Keyword, &[&str])] = &[
    (Keyword::Stop, &["STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"]),
    (Keyword::Start, &["START", "UNSTOP", "YES"]),
    (Keyword::Help, &["HELP", "INFO"]),
    (
        Keyword::Stop,
        &[
            "ARRET",
            "ARRETER",
            "ARRETEZ",
            "DESABONNER",
            "DESABONNEMENT",
            "DESINSCRIRE",
            "DESINSCRIPTION",
            "STOP SMS",
        ],
    ),
    (Keyword::Start, &["REPRENDRE", "REABONNER", "REABONNEMENT", "REINSCRIRE"]),
    (Keyword::Help, &["AIDE"]),
];
/// A longer text is none of them, in characters.
const TEXT_CHARS_MAX: usize = 40;

impl Keyword {
    const ALL: [Self; 3] = [Self::Stop, Self::Start, Self::Help];

    /// Its name, as stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Start => "start",
            Self::Help => "help",
        }
    }

    /// What an inbound message asks for: by Twilio's parameter `OptOutType`, which knows the words that were set for a
    /// Messaging Service, or else by its text.
    #[must_use]
    pub fn of(opt_out_type: Option<&str>, text: &str) -> Option<Self> {
        let named = opt_out_type.and_then(|named| {
            Self::ALL.into_iter().find(|keyword| keyword.as_str().eq_ignore_ascii_case(named.trim()))
        });
        named.or_else(|| Self::of_text(text))
    }

    fn of_text(text: &str) -> Option<Self> {
        if text.chars().nth(TEXT_CHARS_MAX).is_some() {
            return None;
        }
        let text: String = text.chars().filter_map(plain).collect::<String>().to_uppercase();
        let word = text.trim_matches(|char: char| !char.is_alphanumeric());
        let found = WORDS.iter().find(|(_, words)| words.contains(&word));
        found.map(|(keyword, _)| *keyword)
    }
}

/// The letter without its accent; `None` for an accent that stands alone, as in decomposed texts.
fn plain(char: char) -> Option<char> {
    Some(match char {
        '\u{300}'..='\u{36f}' => return None,
        'à' | 'â' | 'ä' | 'À' | 'Â' | 'Ä' => 'a',
        'é' | 'è' | 'ê' | 'ë' | 'É' | 'È' | 'Ê' | 'Ë' => 'e',
        'î' | 'ï' | 'Î' | 'Ï' => 'i',
        'ô' | 'ö' | 'Ô' | 'Ö' => 'o',
        'ù' | 'û' | 'ü' | 'Ù' | 'Û' | 'Ü' => 'u',
        'ç' | 'Ç' => 'c',
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::Keyword::{self, Help, Start, Stop};

    #[test]
    fn a_word_counts_in_every_spelling_and_only_as_the_whole_text() {
        for (text, expected) in [
            ("STOP", Some(Stop)),
            (" stop.\n", Some(Stop)),
            ("«Stop !»", Some(Stop)),
            ("STOP 🙏", Some(Stop)),
            ("arrêt", Some(Stop)),
            ("ARRE\u{302}T", Some(Stop)),
            ("Désabonner", Some(Stop)),
            ("StopAll", Some(Stop)),
            ("stop sms", Some(Stop)),
            ("start", Some(Start)),
            ("Unstop", Some(Start)),
            ("yes", Some(Start)),
            ("Reprendre", Some(Start)),
            ("help?", Some(Help)),
            ("aide", Some(Help)),
            ("oui", None),
            ("annuler", None),
            ("stop calling me at noon", None),
            ("nonstop", None),
            ("s t o p", None),
            ("", None),
            ("!!!", None),
            (&"STOP ".repeat(400), None),
        ] {
            assert_eq!(Keyword::of(None, text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_twilio_says_of_a_word_goes_before_the_text() {
        assert_eq!(Keyword::of(Some("STOP"), "basta"), Some(Stop));
        assert_eq!(Keyword::of(Some("START"), "stop"), Some(Start));
        assert_eq!(Keyword::of(Some("HELP"), ""), Some(Help));
        for unknown in ["", "MAYBE"] {
            assert_eq!(Keyword::of(Some(unknown), "stop"), Some(Stop));
        }
    }
}
