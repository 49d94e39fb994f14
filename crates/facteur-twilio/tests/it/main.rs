//! The client against scripted bytes: what comes over the wire decides what is certain.

#[cfg(test)]
mod account;
#[cfg(test)]
mod agreement;
#[cfg(test)]
mod fetch;
#[cfg(test)]
mod list;
#[cfg(test)]
mod media;
#[cfg(test)]
mod outcomes;
#[cfg(test)]
mod public_document;
#[cfg(test)]
mod server;
#[cfg(test)]
mod wire;

#[cfg(test)]
mod fixtures {
    use std::time::Duration;

    use facteur_core::call::{Call, CallContent};
    use facteur_core::ids::{AttemptNumber, JobId};
    use facteur_core::job::{Channel, Recipient};
    use facteur_core::phone::PhoneNumber;
    use facteur_core::sender::Sender;
    use facteur_twilio::{Auth, TwilioClient, TwilioConfig};
    use url::Url;
    use uuid::Uuid;

    pub(crate) const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
    pub(crate) const TOKEN: &str = "s3cr3t-token";
    pub(crate) const NUMBER: &str = "33612345678";
    pub(crate) const TEXT: &str = "Bonjour Jean";

    /// Generous time-outs: a test that means a time-out sets its own.
    pub(crate) fn config(base_url: &str) -> TwilioConfig {
        TwilioConfig {
            base_url: Url::parse(base_url).unwrap(),
            account_sid: ACCOUNT.to_owned(),
            auth: Auth::Token(TOKEN.into()),
            public_url: None,
            call_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(20),
            connections_max: 4,
        }
    }

    pub(crate) fn client(base_url: &str) -> TwilioClient {
        TwilioClient::new(config(base_url)).unwrap()
    }

    pub(crate) fn call() -> Call {
        Call {
            job_id: JobId(Uuid::from_u128(42)),
            attempt: AttemptNumber(1),
            to: Recipient {
                channel: Channel::Sms,
                number: PhoneNumber::from_e164(&format!("+{NUMBER}")).unwrap(),
            },
            from: Sender::parse("+15005550006").unwrap(),
            content: CallContent::Message { text: TEXT.to_owned(), media_urls: vec![] },
            validity_period_s: None,
        }
    }

    /// Fails if a text shows what it must not.
    pub(crate) fn assert_discreet(shown: &str) {
        for private in [NUMBER, "5005550006", TEXT, "Bonjour", "s3cr3t", ACCOUNT] {
            assert!(!shown.contains(private), "{shown}");
        }
    }
}
