//! The notification types that existing apps use, as templates that ship with Facteur. A tenant's own template
//! of the same name takes precedence.
//!
//! The texts avoid the French letters that the GSM alphabet lacks (â ê î ô û ç À and typographic quotes): one
//! of them would more than double what a message costs.

use crate::job::{Category, Content};

/// One notification type in one language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notification {
    /// The template's name.
    pub name: &'static str,
    /// Its language: `fr` or `en`.
    pub language: &'static str,
    /// What it is for.
    pub category: Category,
    /// The template.
    pub text: &'static str,
    /// Variables that must be given.
    pub required: &'static [&'static str],
    /// Variables that may be left out by apps that call the notification route, which then gives an empty text
    /// and trims the result; they stand at the end.
    pub optional: &'static [&'static str],
}

/// Every type, in French and English.
pub const NOTIFICATIONS: &[Notification] = &[
    french(
        "appointment_confirmed",
        APPOINTMENT,
        &[],
        "Bonjour {{name}}, votre rendez-vous du {{date}} à {{time}} est confirmé. Merci de votre confiance.",
    ),
    english(
        "appointment_confirmed",
        APPOINTMENT,
        &[],
        "Hello {{name}}, your appointment on {{date}} at {{time}} is confirmed. We look forward to seeing you.",
    ),
    french(
        "appointment_reminder",
        APPOINTMENT,
        &[],
        "Bonjour {{name}}, rappel de votre rendez-vous du {{date}} à {{time}}. En cas d'imprévu, merci de nous \
         prévenir.",
    ),
    english(
        "appointment_reminder",
        APPOINTMENT,
        &[],
        "Hello {{name}}, a reminder of your appointment on {{date}} at {{time}}. Please tell us if you can't come.",
    ),
    french(
        "appointment_cancelled",
        APPOINTMENT,
        &[],
        "Bonjour {{name}}, votre rendez-vous du {{date}} à {{time}} est annulé. Contactez-nous pour choisir une \
         autre date.",
    ),
    english(
        "appointment_cancelled",
        APPOINTMENT,
        &[],
        "Hello {{name}}, your appointment on {{date}} at {{time}} has been cancelled. Please contact us to choose \
         another date.",
    ),
    french(
        "dossier_updated",
        PERSON,
        &[],
        "Bonjour {{name}}, votre dossier a été mis à jour. Vous pouvez le consulter dans votre espace personnel.",
    ),
    english(
        "dossier_updated",
        PERSON,
        &[],
        "Hello {{name}}, your file has been updated. You can see it in your personal space.",
    ),
    french(
        "document_uploaded",
        PERSON,
        &[],
        "Bonjour {{name}}, un nouveau document est disponible dans votre espace personnel.",
    ),
    english(
        "document_uploaded",
        PERSON,
        &[],
        "Hello {{name}}, a new document is available in your personal space.",
    ),
    french(
        "message_received",
        PERSON,
        &[],
        "Bonjour {{name}}, vous avez un nouveau message. Connectez-vous à votre espace personnel pour le lire.",
    ),
    english(
        "message_received",
        PERSON,
        &[],
        "Hello {{name}}, you have a new message. Sign in to your personal space to read it.",
    ),
    french(
        "onboarding_confirmation",
        PERSON,
        &[],
        "Bonjour {{name}}, votre inscription est bien enregistrée. Bienvenue ! Nous vous contacterons très vite.",
    ),
    english(
        "onboarding_confirmation",
        PERSON,
        &[],
        "Hello {{name}}, your registration is complete. Welcome! We will be in touch very soon.",
    ),
    french(
        "questionnaire_reminder",
        PERSON,
        &["link"],
        "Bonjour {{name}}, votre questionnaire n'est pas encore complet. Merci de le terminer dès que possible. \
         {{link}}",
    ),
    english(
        "questionnaire_reminder",
        PERSON,
        &["link"],
        "Hello {{name}}, your questionnaire is not complete yet. Please finish it as soon as you can. {{link}}",
    ),
    french(
        "interview_confirmation",
        &["date", "name"],
        &["link"],
        "Bonjour {{name}}, votre entretien du {{date}} est confirmé. {{link}}",
    ),
    english(
        "interview_confirmation",
        &["date", "name"],
        &["link"],
        "Hello {{name}}, your interview on {{date}} is confirmed. {{link}}",
    ),
    french(
        "trial_start",
        &["email", "name", "password"],
        &[],
        "Bonjour {{name}}, votre essai commence. Identifiant : {{email}} - Mot de passe : {{password}} - \
         Changez-le dès la première connexion.",
    ),
    english(
        "trial_start",
        &["email", "name", "password"],
        &[],
        "Hello {{name}}, your trial starts now. Login: {{email}} - Password: {{password}} - Please change it when \
         you first sign in.",
    ),
    french(
        "ticket_created",
        &["customer_name", "eta_minutes", "service_name", "ticket_number"],
        &[],
        "Bonjour {{customer_name}}, votre ticket {{ticket_number}} est enregistré ({{service_name}}). Attente \
         estimée : {{eta_minutes}} min.",
    ),
    english(
        "ticket_created",
        &["customer_name", "eta_minutes", "service_name", "ticket_number"],
        &[],
        "Hello {{customer_name}}, your ticket is {{ticket_number}} ({{service_name}}). Estimated wait: \
         {{eta_minutes}} min.",
    ),
    french(
        "ticket_called",
        &["agent_name", "customer_name", "queue_name", "ticket_number"],
        &[],
        "Bonjour {{customer_name}}, c'est à vous : ticket {{ticket_number}} ({{queue_name}}). {{agent_name}} vous \
         attend.",
    ),
    english(
        "ticket_called",
        &["agent_name", "customer_name", "queue_name", "ticket_number"],
        &[],
        "Hello {{customer_name}}, it is your turn: ticket {{ticket_number}} ({{queue_name}}). {{agent_name}} is \
         ready for you.",
    ),
    french(
        "ticket_almost",
        &["customer_name", "eta_minutes", "queue_name", "ticket_number"],
        &[],
        "Bonjour {{customer_name}}, votre tour approche : ticket {{ticket_number}} ({{queue_name}}), environ \
         {{eta_minutes}} min. Merci de rester à proximité.",
    ),
    english(
        "ticket_almost",
        &["customer_name", "eta_minutes", "queue_name", "ticket_number"],
        &[],
        "Hello {{customer_name}}, it is almost your turn: ticket {{ticket_number}} ({{queue_name}}), about \
         {{eta_minutes}} min. Please stay nearby.",
    ),
];

/// The type that holds a password.
const TRIAL_START: &str = "trial_start";
/// Variables whose values nobody needs any more once the message has left.
const SECRET_VARIABLES: [&str; 3] = ["mot_de_passe", "passcode", "password"];

/// The type of that name in that language.
#[must_use]
pub fn find(name: &str, language: &str) -> Option<&'static Notification> {
    NOTIFICATIONS.iter().find(|one| one.name == name && one.language == language)
}

/// The names of all types, each once.
pub fn names() -> impl Iterator<Item = &'static str> {
    NOTIFICATIONS.iter().filter(|one| one.language == "fr").map(|one| one.name)
}

/// Whether a message is forgotten once its job has ended: its text and variables hold a password.
#[must_use]
pub fn is_secret(content: &Content) -> bool {
    match content {
        Content::Template { name, variables, .. } => {
            name == TRIAL_START || SECRET_VARIABLES.iter().any(|secret| variables.contains_key(*secret))
        }
        Content::Message { .. } | Content::ContentSid { .. } => false,
    }
}

const PERSON: &[&str] = &["name"];
const APPOINTMENT: &[&str] = &["date", "name", "time"];

const fn french(
    name: &'static str,
    required: &'static [&'static str],
    optional: &'static [&'static str],
    text: &'static str,
) -> Notification {
    Notification { name, language: "fr", category: Category::Transactional, text, required, optional }
}

const fn english(
    name: &'static str,
    required: &'static [&'static str],
    optional: &'static [&'static str],
    text: &'static str,
) -> Notification {
    Notification { name, language: "en", category: Category::Transactional, text, required, optional }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::segments::{Encoding, SegmentCount, count};
    use crate::template::Template;

    /// Values as apps send them, rather long than short.
    fn sample(variable: &str) -> &'static str {
        match variable {
            "name" | "customer_name" => "Jean Dupont",
            "date" => "mercredi 15 janvier 2026",
            "time" => "14:30",
            "link" => "https://exemple.fr/q/8f2k1",
            "email" => "jean.dupont@exemple.fr",
            "password" => "Xk4-mT9q",
            "ticket_number" => "A042",
            "service_name" => "Accueil",
            "queue_name" => "Guichet 3",
            "eta_minutes" => "15",
            "agent_name" => "Claire",
            other => panic!("no sample for {other}"),
        }
    }

    #[test]
    fn every_type_stands_in_french_and_english_with_the_same_variables() {
        let names: BTreeSet<_> = NOTIFICATIONS.iter().map(|one| one.name).collect();
        assert_eq!(names.len(), 13);
        assert_eq!(NOTIFICATIONS.len(), 26);
        for name in names {
            let of = |language| {
                NOTIFICATIONS.iter().find(|one| one.name == name && one.language == language).unwrap()
            };
            let (french, english) = (of("fr"), of("en"));
            assert_eq!((french.required, french.optional), (english.required, english.optional), "{name}");
        }
    }

    #[test]
    fn what_holds_a_password_is_secret_under_any_name() {
        let of = |name: &str, variables: &[&str]| Content::Template {
            name: name.to_owned(),
            language: None,
            variables: variables.iter().map(|name| ((*name).to_owned(), "x".to_owned())).collect(),
            media_urls: Vec::new(),
        };
        assert!(is_secret(&of("trial_start", &[])));
        assert!(is_secret(&of("mine", &["name", "password"])));
        assert!(!is_secret(&of("mine", &["name", "link"])));
        assert_eq!(names().count(), 13);
        assert_eq!(find("ticket_called", "en").map(|one| one.language), Some("en"));
        assert_eq!(find("ticket_called", "de"), None);
    }

    #[test]
    fn every_template_renders_to_one_gsm_segment() {
        for notification in NOTIFICATIONS {
            let Notification { name, language, text, required, optional, .. } = *notification;
            let template = Template::parse(text).unwrap();
            let named: BTreeSet<_> = required.iter().chain(optional).copied().collect();
            assert_eq!(template.names(), named, "{name} {language}");
            let values: BTreeMap<_, _> =
                named.iter().map(|variable| ((*variable).to_owned(), sample(variable).to_owned())).collect();
            let rendered = template.render(&values).unwrap();
            let SegmentCount { encoding, segments, units } = count(&rendered);
            assert_eq!((encoding, segments), (Encoding::Gsm7, 1), "{name} {language}: {units} of {rendered}");
        }
    }
}
