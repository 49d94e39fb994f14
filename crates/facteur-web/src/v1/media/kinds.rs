//! What a medium may be called in an answer: what a browser may show, what it may only keep, and nothing else.

/// What is not in the table.
pub(super) const UNKNOWN: Kind =
    Kind { content_type: "application/octet-stream", is_shown: false, ending: "bin" };

/// How a medium is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) content_type: &'static str,
    /// Whether a browser may show it: pictures, sound and films can't act, documents perhaps can.
    pub(super) is_shown: bool,
    /// Of its file's name.
    pub(super) ending: &'static str,
}

/// Content types, endings, and whether they are shown: of what Twilio accepts for MMS and WhatsApp ("Accepted Content
/// Types for Media", "WhatsApp: supported media types"), what is in use.
const KINDS: [(&str, &str, bool); 40] = [
    ("image/jpeg", "jpg", true),
    ("image/png", "png", true),
    ("image/gif", "gif", true),
    ("image/webp", "webp", true),
    ("image/bmp", "bmp", true),
    ("image/tiff", "tiff", true),
    ("audio/basic", "au", true),
    ("audio/mp4", "m4a", true),
    ("audio/mpeg", "mp3", true),
    ("audio/ogg", "ogg", true),
    ("audio/vorbis", "ogg", true),
    ("audio/opus", "opus", true),
    ("audio/aac", "aac", true),
    ("audio/vnd.wave", "wav", true),
    ("audio/wav", "wav", true),
    ("audio/x-wav", "wav", true),
    ("audio/3gpp", "3gp", true),
    ("audio/3gpp2", "3g2", true),
    ("audio/ac3", "ac3", true),
    ("audio/webm", "weba", true),
    ("audio/amr", "amr", true),
    ("audio/amr-nb", "amr", true),
    ("video/mpeg", "mpeg", true),
    ("video/mp4", "mp4", true),
    ("video/quicktime", "mov", true),
    ("video/webm", "webm", true),
    ("video/3gpp", "3gp", true),
    ("video/3gpp2", "3g2", true),
    ("video/h264", "h264", true),
    ("text/vcard", "vcf", false),
    ("text/x-vcard", "vcf", false),
    ("text/csv", "csv", false),
    ("text/rtf", "rtf", false),
    ("text/calendar", "ics", false),
    ("application/pdf", "pdf", false),
    ("application/vcard", "vcf", false),
    ("application/msword", "doc", false),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx", false),
    ("application/vnd.openxmlformats-officedocument.presentationml.presentation", "pptx", false),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx", false),
];

/// How a medium is answered of which this is said.
pub(super) fn kind(said: &str) -> Kind {
    let said = said.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let found = KINDS.iter().find(|(content_type, ..)| *content_type == said);
    found.map_or(UNKNOWN, |&(content_type, ending, is_shown)| Kind { content_type, is_shown, ending })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_browser_could_run_is_only_kept() {
        for (said, expected) in [
            ("image/jpeg", ("image/jpeg", true)),
            (" Image/PNG ; charset=binary", ("image/png", true)),
            ("audio/ogg; codecs=opus", ("audio/ogg", true)),
            ("application/pdf", ("application/pdf", false)),
            ("text/vcard; charset=utf-8", ("text/vcard", false)),
            ("text/html", ("application/octet-stream", false)),
            ("image/svg+xml", ("application/octet-stream", false)),
            ("application/xhtml+xml", ("application/octet-stream", false)),
            ("text/javascript", ("application/octet-stream", false)),
            ("text/plain", ("application/octet-stream", false)),
            ("image/jpeg, text/html", ("application/octet-stream", false)),
            ("image/jpeg\r\nSet-Cookie: x=1", ("application/octet-stream", false)),
            ("", ("application/octet-stream", false)),
        ] {
            let found = kind(said);
            assert_eq!((found.content_type, found.is_shown), expected, "{said:?}");
        }
    }
}
