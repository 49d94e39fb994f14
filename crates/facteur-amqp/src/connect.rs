//! One connection, opened with a deadline, its failures told as sentences.

use std::time::Duration;

use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Connection, ConnectionProperties, ErrorKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::{AmqpConfig, ConfigError, place};

/// Longest time for TCP, TLS and AMQP handshakes together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);
/// Longest time for a friendly goodbye; a dead peer would keep us waiting for ever.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes that are read of a server's greeting at most; RabbitMQ's has about 500.
const GREETING_BYTES_MAX: usize = 16 * 1024;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Nobody listens.
    #[error("nothing listens at {place}: start RabbitMQ there, or correct AMQP_URL")]
    Refused {
        /// Host, port and vhost.
        place: String,
    },
    /// Nobody answers.
    #[error("no answer from {place} within {} s: is the address right, and is a firewall in the way?", CONNECT_TIMEOUT.as_secs())]
    Timeout {
        /// Host, port and vhost.
        place: String,
    },
    /// The user or the password is wrong.
    #[error("RabbitMQ at {place} does not accept user `{user}` with this password")]
    Credentials {
        /// Host, port and vhost.
        place: String,
        /// The user.
        user: String,
    },
    /// The vhost is missing, or closed to this user.
    #[error("RabbitMQ at {place}: the vhost does not exist or is closed to user `{user}` ({detail})")]
    Vhost {
        /// Host, port and vhost.
        place: String,
        /// The user.
        user: String,
        /// RabbitMQ's own words.
        detail: String,
    },
    /// Anything else.
    #[error("can't connect to RabbitMQ at {place}: {detail}")]
    Other {
        /// Host, port and vhost.
        place: String,
        /// What went wrong.
        detail: String,
    },
}

/// Opens a connection. lapin's own recovery stays off: it can wait for ever without a word.
pub(crate) async fn open(config: &AmqpConfig, role: &str) -> Result<Connection, ConnectError> {
    let uri = config.uri()?;
    let name = format!("{} {role}", config.connection_name);
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    match timeout(CONNECT_TIMEOUT, Connection::connect_uri(uri.clone(), properties)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(explain(&error, &uri)),
        Err(_) => Err(ConnectError::Timeout { place: place(&uri) }),
    }
}

/// Says goodbye, if the peer still listens.
pub(crate) async fn close(connection: Connection) {
    if let Ok(Err(error)) = timeout(CLOSE_TIMEOUT, connection.close(200, "goodbye".into())).await {
        tracing::debug!(%error, "the connection was gone before it was closed");
    }
}

/// Reads the greeting that an AMQP server sends first, and the version in it. A supervisor asks for it after
/// a connection attempt ran into its deadline: lapin never gives up a peer that accepts and stays silent, so
/// each attempt would leave a thread behind.
///
/// Over TLS there is nothing to read; the answer is then `None`, as for a greeting without a version.
pub(crate) async fn greeting(config: &AmqpConfig) -> Result<Option<String>, ConnectError> {
    let uri = config.uri()?;
    if uri.scheme == AMQPScheme::AMQPS {
        return Ok(None);
    }
    match timeout(CONNECT_TIMEOUT, read_greeting(&uri)).await {
        Ok(Ok(bytes)) => Ok(version_in(&bytes)),
        Ok(Err(error)) => Err(explain(&error.into(), &uri)),
        Err(_) => Err(ConnectError::Timeout { place: place(&uri) }),
    }
}

async fn read_greeting(uri: &AMQPUri) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect((uri.authority.host.as_str(), uri.authority.port)).await?;
    stream.write_all(b"AMQP\x00\x00\x09\x01").await?;
    let mut head = [0; 7];
    stream.read_exact(&mut head).await?;
    let [_, _, _, a, b, c, d] = head;
    let size = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    let mut payload = vec![0; size.min(GREETING_BYTES_MAX)];
    stream.read_exact(&mut payload).await?;
    Ok(payload)
}

/// The long string `version` in the table of server properties; capabilities hold no such name.
fn version_in(greeting: &[u8]) -> Option<String> {
    let name = b"\x07versionS";
    let at = greeting.windows(name.len()).position(|window| window == name)?;
    let (length, text) = greeting.get(at + name.len()..)?.split_first_chunk::<4>()?;
    let text = text.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    Some(String::from_utf8_lossy(text).into_owned())
}

fn explain(error: &lapin::Error, uri: &AMQPUri) -> ConnectError {
    let place = place(uri);
    let user = uri.authority.userinfo.username.clone();
    match error.kind() {
        ErrorKind::IOError(io) => match io.kind() {
            std::io::ErrorKind::ConnectionRefused => ConnectError::Refused { place },
            std::io::ErrorKind::TimedOut => ConnectError::Timeout { place },
            _ => ConnectError::Other { place, detail: io.to_string() },
        },
        ErrorKind::ProtocolError(protocol) => match protocol.kind() {
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => ConnectError::Credentials { place, user },
            AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) => {
                ConnectError::Vhost { place, user, detail: protocol.get_message().to_string() }
            }
            _ => ConnectError::Other { place, detail: protocol.to_string() },
        },
        _ => ConnectError::Other { place, detail: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_found_in_the_greeting_and_a_cut_one_is_no_error() {
        let greeting = b"\x00\x0a\x00\x0a\x00\x09\x00\x00\x00\x20\x07productS\x00\x00\x00\x08RabbitMQ\x07versionS\x00\x00\x00\x063.10.8";
        assert_eq!(version_in(greeting).as_deref(), Some("3.10.8"));
        for length in 0..greeting.len() {
            assert_eq!(version_in(&greeting[..length]), None);
        }
    }
}
