//! Why the database can't be reached, and what to do about it. No sentence holds a password.

use std::error::Error as _;
use std::io::ErrorKind;

use tokio_postgres::error::SqlState;

/// Why there is no connection. Only [`ConnectError::is_lasting`] ones are not worth another try.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The URL makes no sense.
    #[error(
        "the database URL {why}; it looks like postgres://user:password@host:5432/database, \
         with special characters of the password as %XX"
    )]
    Url {
        /// What is wrong, without the URL itself.
        why: String,
    },
    /// TLS is asked for, and the system's certificates can't be read.
    #[error(
        "the system's certificates can't be read ({why}): install ca-certificates, or point SSL_CERT_FILE to a file"
    )]
    Certificates {
        /// What failed.
        why: String,
    },
    /// Nobody listens.
    #[error(
        "Postgres at {server} refused the connection: start it, or correct host and port in DATABASE_URL"
    )]
    Refused {
        /// Hosts and ports.
        server: String,
    },
    /// The host's name can't be resolved, or there is no way to it.
    #[error("{server} can't be reached ({why}): correct the host in DATABASE_URL, or look at the network")]
    NoWay {
        /// Hosts and ports.
        server: String,
        /// What the system said.
        why: String,
    },
    /// No answer in time.
    #[error("Postgres at {server} did not answer in time: is it overloaded, or a firewall in between?")]
    Timeout {
        /// Hosts and ports.
        server: String,
    },
    /// User or password are wrong, or the server lets nobody in from here.
    #[error(
        "Postgres at {server} refused user \"{user}\" (SQLSTATE {code}): correct user and password in DATABASE_URL, \
         or the server's pg_hba.conf"
    )]
    Authentication {
        /// Hosts and ports.
        server: String,
        /// Who.
        user: String,
        /// `28P01`, `28000`, or `client` if the server asks for something that the URL doesn't hold.
        code: String,
    },
    /// The server has no such database.
    #[error(
        "Postgres at {server} has no database \"{database}\": create it (createdb {database}), or correct DATABASE_URL"
    )]
    DatabaseMissing {
        /// Hosts and ports.
        server: String,
        /// Its name.
        database: String,
    },
    /// The TLS handshake failed.
    #[error(
        "no TLS with Postgres at {server} ({why}): add its authority's certificate through SSL_CERT_FILE, \
         or choose another sslmode in DATABASE_URL"
    )]
    Tls {
        /// Hosts and ports.
        server: String,
        /// What failed.
        why: String,
    },
    /// The server said no for another reason: starting up, shutting down, too many connections.
    #[error("Postgres at {server} can't serve now (SQLSTATE {code}): {why}")]
    NotNow {
        /// Hosts and ports.
        server: String,
        /// SQLSTATE, or `none`.
        code: String,
        /// The server's sentence.
        why: String,
    },
}

/// What an error is told about.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) server: String,
    pub(crate) user: String,
    pub(crate) database: String,
}

impl ConnectError {
    /// Whether another try can't help: the configuration itself is wrong.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        matches!(self, Self::Url { .. } | Self::Certificates { .. })
    }

    pub(crate) fn timeout(target: &Target) -> Self {
        Self::Timeout { server: target.server.clone() }
    }

    pub(crate) fn from_postgres(error: &tokio_postgres::Error, target: &Target) -> Self {
        let server = target.server.clone();
        if let Some(answer) = error.as_db_error() {
            let code = answer.code().code().to_owned();
            let user = target.user.clone();
            return match *answer.code() {
                SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
                    Self::Authentication { server, user, code }
                }
                SqlState::INVALID_CATALOG_NAME => {
                    Self::DatabaseMissing { server, database: target.database.clone() }
                }
                _ => Self::NotNow { server, code, why: answer.message().to_owned() },
            };
        }
        let cause = error.source();
        if let Some(io) = cause.and_then(|cause| cause.downcast_ref::<std::io::Error>())
            && !error.to_string().contains("TLS")
        {
            return match io.kind() {
                ErrorKind::ConnectionRefused => Self::Refused { server },
                ErrorKind::TimedOut => Self::Timeout { server },
                _ => Self::NoWay { server, why: io.to_string() },
            };
        }
        // The crate's kinds are private; its Display texts are the only way to tell these apart.
        let why = cause.map_or_else(|| error.to_string(), ToString::to_string);
        match error.to_string().as_str() {
            text if text.contains("TLS") => Self::Tls { server, why },
            text if text.contains("authentication") || why.contains("password") => {
                Self::Authentication { server, user: target.user.clone(), code: "client".to_owned() }
            }
            text if text.contains("timeout") => Self::Timeout { server },
            _ => Self::NotNow { server, code: "none".to_owned(), why },
        }
    }
}
