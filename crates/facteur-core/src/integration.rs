//! Integrations: over which account at Twilio a message leaves, and from which sender if it names none.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::ids::Tenant;
use crate::job::{Channel, Recipient};
use crate::sender::Sender;

/// What an integration carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IntegrationType {
    /// SMS and MMS.
    Sms,
    /// WhatsApp.
    Whatsapp,
}

impl IntegrationType {
    /// Every type.
    pub const ALL: [Self; 2] = [Self::Sms, Self::Whatsapp];

    /// The one that carries a channel.
    #[must_use]
    pub fn of(channel: Channel) -> Self {
        match channel {
            Channel::Sms | Channel::Mms => Self::Sms,
            Channel::Whatsapp => Self::Whatsapp,
        }
    }

    /// Its name, as stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sms => "sms",
            Self::Whatsapp => "whatsapp",
        }
    }

    /// The type of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Whether this sender sends what it carries.
    #[must_use]
    pub fn is_of(self, sender: &Sender) -> bool {
        let channel = match self {
            Self::Sms => Channel::Sms,
            Self::Whatsapp => Channel::Whatsapp,
        };
        sender.carries(channel)
    }
}

/// Over what a message leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Via {
    /// The account at Twilio, by its SID.
    pub account: String,
    /// The integration; `None` for the account of the environment.
    pub integration: Option<Uuid>,
}

/// An integration, as far as choosing one goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Integration {
    /// Its id.
    pub id: Uuid,
    /// What it carries.
    pub kind: IntegrationType,
    /// The account at Twilio, by its SID.
    pub account: String,
    /// Its senders: the first one sends what names none.
    pub senders: Vec<Sender>,
    /// Whether it is its tenant's default for what it carries.
    pub is_default: bool,
}

/// The account that the environment names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// Its SID.
    pub account: String,
    /// From which SMS and MMS leave that name no sender.
    pub sms: Option<Sender>,
    /// From which WhatsApp messages leave that name no sender.
    pub whatsapp: Option<Sender>,
    /// Whether tenants without any integration of their own send over it.
    pub is_shared: bool,
}

impl Home {
    fn sender(&self, kind: IntegrationType) -> Option<Sender> {
        match kind {
            IntegrationType::Sms => self.sms.clone(),
            IntegrationType::Whatsapp => self.whatsapp.clone(),
        }
    }

    /// Whether a tenant with these integrations of its own may send over it.
    #[must_use]
    pub fn is_for(&self, tenant: &Tenant, own: &[Integration]) -> bool {
        *tenant == Tenant::default_tenant() || (self.is_shared && own.is_empty())
    }
}

/// What is known when a message's way is chosen.
#[derive(Debug, Clone, Copy)]
pub struct Choice<'a> {
    /// Whose message it is.
    pub tenant: &'a Tenant,
    /// To whom it goes.
    pub recipient: &'a Recipient,
    /// The sender that the message names, or that an earlier turn settled.
    pub named: Option<&'a Sender>,
    /// The tenant's integrations.
    pub own: &'a [Integration],
    /// The senders of the tenant's default pool for the message's channel.
    pub pool: &'a [Sender],
    /// The account of the environment.
    pub home: &'a Home,
}

/// The way that was chosen. The gate refuses what is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// From which sender.
    pub sender: Option<Sender>,
    /// Over what.
    pub via: Option<Via>,
}

/// Chooses: the integration of the sender, else the tenant's default for the channel, else the environment's account if
/// the tenant may use it. A message that names no sender takes one of the tenant's default pool, always the same for
/// one recipient, else the first one of the integration. `integration_of` tells which integration a sender was given to.
#[must_use]
pub fn choose(choice: Choice<'_>, integration_of: impl Fn(&Sender) -> Option<Uuid>) -> Way {
    let Choice { tenant, recipient, named, own, pool, home } = choice;
    let kind = IntegrationType::of(recipient.channel);
    let sender = named.or_else(|| of_pool(pool, recipient.number.reveal())).cloned();
    let given_to = sender.as_ref().and_then(integration_of);
    let by_sender = || {
        let sender = sender.as_ref()?;
        let of_its_own = |one: &&Integration| one.kind == kind && one.senders.contains(sender);
        own.iter().find(|one| Some(one.id) == given_to).or_else(|| own.iter().find(of_its_own))
    };
    let chosen = by_sender().or_else(|| own.iter().find(|one| one.kind == kind && one.is_default));
    match chosen {
        Some(one) => Way {
            sender: sender.or_else(|| one.senders.first().cloned()),
            via: Some(Via { account: one.account.clone(), integration: Some(one.id) }),
        },
        None if home.is_for(tenant, own) => Way {
            sender: sender.or_else(|| home.sender(kind)),
            via: Some(Via { account: home.account.clone(), integration: None }),
        },
        None => Way { sender, via: None },
    }
}

/// The sender of a pool for a recipient: the same one as long as the pool holds it, and another one for others. When a
/// sender goes, only those who saw it get another one (rendezvous hashing).
#[must_use]
pub fn of_pool<'a>(pool: &'a [Sender], recipient: &str) -> Option<&'a Sender> {
    let weight = |sender: &Sender| {
        let mut hash = Sha256::new();
        hash.update(recipient.as_bytes());
        hash.update([0]);
        hash.update(sender.as_str().as_bytes());
        <[u8; 32]>::from(hash.finalize())
    };
    match pool {
        [only] => Some(only),
        several => several.iter().max_by_key(|sender| weight(sender)),
    }
}

/// The credentials of an account.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    /// The auth token: signs webhooks, and authorises calls unless there is an API key.
    pub auth_token: Option<SecretString>,
    /// The auth token before it: what it signed is taken too.
    pub auth_token_previous: Option<SecretString>,
    /// The API key's secret.
    pub api_secret: Option<SecretString>,
}

impl Secrets {
    /// The names of its parts in the text that is sealed.
    const PARTS: [&'static str; 3] = ["auth_token", "auth_token_previous", "api_secret"];

    /// Where the credentials of an account belong: what is sealed for one place opens at no other.
    #[must_use]
    pub fn place(account: &str, tenant: &str) -> String {
        format!("facteur.accounts/{account}/{tenant}")
    }

    /// As one text, to be sealed.
    #[must_use]
    pub fn to_text(&self) -> SecretString {
        let parts = [&self.auth_token, &self.auth_token_previous, &self.api_secret];
        let pairs = Self::PARTS.into_iter().zip(parts).filter_map(|(name, part)| {
            part.as_ref().map(|part| (name.to_owned(), json!(part.expose_secret())))
        });
        Value::Object(pairs.collect()).to_string().into()
    }

    /// Reads that text; `None` if it is none.
    #[must_use]
    pub fn from_text(text: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(text).ok()?;
        let object = value.as_object()?;
        let [auth_token, auth_token_previous, api_secret] =
            Self::PARTS.map(|name| object.get(name).and_then(Value::as_str).map(SecretString::from));
        Some(Self { auth_token, auth_token_previous, api_secret })
    }

    /// The tokens that may have signed a webhook.
    pub fn signing_tokens(&self) -> impl Iterator<Item = &SecretString> {
        self.auth_token.iter().chain(&self.auth_token_previous)
    }

    /// With what of `newer` is given in the place of what was. A token that is replaced is kept as the previous one.
    #[must_use]
    pub fn renewed(&self, newer: &Self) -> Self {
        let is_other = |token: &&SecretString| {
            self.auth_token.as_ref().is_some_and(|old| old.expose_secret() != token.expose_secret())
        };
        let auth_token_previous = match newer.auth_token.as_ref().filter(is_other) {
            Some(_) => self.auth_token.clone(),
            None => self.auth_token_previous.clone(),
        };
        Self {
            auth_token: newer.auth_token.clone().or_else(|| self.auth_token.clone()),
            auth_token_previous: newer.auth_token_previous.clone().or(auth_token_previous),
            api_secret: newer.api_secret.clone().or_else(|| self.api_secret.clone()),
        }
    }
}

impl fmt::Display for IntegrationType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
#[path = "integration_tests.rs"]
mod tests;
