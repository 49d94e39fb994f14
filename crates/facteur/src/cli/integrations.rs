//! The command line of integrations.

use clap::{Args, Subcommand, ValueEnum};
use facteur_core::integration::IntegrationType;
use uuid::Uuid;

/// What `integrations` does.
#[derive(Debug, Subcommand)]
pub enum IntegrationsCommand {
    /// Lists integrations, the newest first.
    List {
        /// Only those of this tenant.
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
    },
    /// Adds an integration; the credentials are read from stdin.
    ///
    /// Without --api-key, stdin holds the account's auth token. With it, the first line is the API key's secret; a second
    /// one may be the auth token, without which no callback can be verified. Nothing on stdin takes the credentials that
    /// are known of the account. The first integration of a tenant and type becomes its default.
    Add(Box<AddIntegration>),
    /// Replaces the credentials of an integration's account, read from stdin as by `add`.
    ///
    /// What the old auth token signed is still taken. A breaker that the old credentials opened is tried within seconds.
    Secret {
        /// The integration's id.
        id: Uuid,
        /// Another API key (SK…).
        #[arg(long, value_name = "SID")]
        api_key: Option<String>,
    },
    /// Asks Twilio for the account with an integration's credentials; sends nothing.
    Test {
        /// The integration's id.
        id: Uuid,
    },
    /// Makes an integration its tenant's default of its type.
    Default {
        /// The integration's id.
        id: Uuid,
    },
    /// Deactivates an integration: what would leave over it waits, and ages, until it is activated again.
    Deactivate {
        /// The integration's id.
        id: Uuid,
    },
    /// Activates an integration: what waits for it leaves.
    Activate {
        /// The integration's id.
        id: Uuid,
    },
    /// Seals all credentials with the first key of FACTEUR_SECRET_KEY.
    ///
    /// Give every process both keys first (the new one in front), then rotate, then take the old one away.
    RotateKeys,
}

/// Options of `integrations add`.
#[derive(Debug, Args)]
pub struct AddIntegration {
    /// What people call it.
    #[arg(long, value_name = "TEXT")]
    pub name: String,
    /// The account's SID (AC…).
    #[arg(long, value_name = "SID")]
    pub account: String,
    /// Whose it is; without it, of `default`.
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<String>,
    /// What it carries.
    #[arg(long = "type", value_enum, default_value_t = TypeName::Sms)]
    pub kind: TypeName,
    /// An API key (SK…) that authorises calls in the auth token's place.
    #[arg(long, value_name = "SID")]
    pub api_key: Option<String>,
    /// From which number messages leave that name no sender.
    #[arg(long, value_name = "NUMBER")]
    pub phone_number: Option<String>,
    /// A Messaging Service (MG…) in the number's place.
    #[arg(long, value_name = "SID")]
    pub messaging_service: Option<String>,
    /// What would leave over it waits until it is activated.
    #[arg(long)]
    pub inactive: bool,
}

/// What an integration carries, on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TypeName {
    /// SMS and MMS.
    Sms,
    /// WhatsApp.
    Whatsapp,
}

impl From<TypeName> for IntegrationType {
    fn from(name: TypeName) -> Self {
        match name {
            TypeName::Sms => Self::Sms,
            TypeName::Whatsapp => Self::Whatsapp,
        }
    }
}
