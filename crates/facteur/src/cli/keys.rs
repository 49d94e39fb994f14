//! The command line of API keys.

use clap::{Args, Subcommand, ValueEnum};
use uuid::Uuid;

/// What `keys` does.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Makes a key and prints it, this once: only its digest is kept.
    Create(KeyArgs),
    /// Lists keys, the newest first; revoked and expired ones, too.
    List {
        /// Only those of this tenant.
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
        /// At most so many.
        #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1_000))]
        limit: u16,
    },
    /// Revokes a key, for good: within a second nobody gets in with it.
    Revoke {
        /// The key's id, as `keys list` prints it.
        id: Uuid,
    },
}

/// Options of `keys create`.
#[derive(Debug, Args)]
pub struct KeyArgs {
    /// What its bearer may do; each role may what the ones before it may.
    #[arg(long, value_enum)]
    pub role: RoleName,
    /// Whose data it sees; without it, `default`. A superadmin's key is for all tenants.
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<String>,
    /// What it is for, for whoever lists keys.
    #[arg(long, value_name = "TEXT", default_value = "made on the command line")]
    pub name: String,
    /// It is worthless after this time, such as 90d or 12h, or from this instant on, such as 2026-12-01T08:00:00Z.
    #[arg(long, value_name = "DURATION|INSTANT")]
    pub expires: Option<String>,
}

/// A role, on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleName {
    /// Looks.
    Viewer,
    /// Sends.
    Sender,
    /// Administers its tenant.
    Admin,
    /// Administers all tenants.
    Superadmin,
}

impl RoleName {
    /// As it is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Sender => "sender",
            Self::Admin => "admin",
            Self::Superadmin => "superadmin",
        }
    }
}
