//! `twilio-sim`: the simulator as a process.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use axum::Json;
use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use twilio_sim::{Account, Sim, SimConfig};

/// A Twilio on localhost, with faults on demand.
///
/// Without options it knows the account AC000… (32 zeros) with a token of 32 zeros, the API key SK000… with
/// the same secret, and the test credentials AC111… with a token of 32 ones. Control routes: /_sim/stats,
/// /_sim/faults, /_sim/opt-outs, /_sim/inbound, /_sim/messages, /_sim/arrivals, /_sim/reset.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:9090")]
    listen: SocketAddr,
    /// Configuration, TOML or JSON by its ending.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Seed of every chance; overrides the configuration.
    #[arg(long)]
    seed: Option<u64>,
    /// SID of the first account instead of the configured one.
    #[arg(long, value_name = "AC…")]
    account_sid: Option<String>,
    /// Auth token of the first account instead of the configured one.
    #[arg(long)]
    auth_token: Option<String>,
}

/// Why the simulator did not start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("{path}: {cause}")]
    Config { path: String, cause: String },
    #[error("can't listen on {address}: {cause}")]
    Listen { address: SocketAddr, cause: std::io::Error },
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), StartError> {
    let mut config = options.config.as_deref().map_or_else(|| Ok(SimConfig::default()), read_config)?;
    if let Some(seed) = options.seed {
        config.seed = seed;
    }
    if config.accounts.is_empty() {
        config.accounts.push(Account::main());
    }
    if let Some(sid) = options.account_sid {
        config.accounts[0].sid = sid;
    }
    if let Some(token) = options.auth_token {
        config.accounts[0].auth_token = token;
    }
    // Signals are caught before anybody can learn that the simulator is ready.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let address = options.listen;
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|cause| StartError::Listen { address, cause })?;
    let handle = Sim::start(config, listener);
    writeln!(std::io::stdout(), "listening on {}", handle.url())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    handle.stop().await;
    Ok(())
}

fn read_config(path: &Path) -> Result<SimConfig, StartError> {
    let refuse = |cause: String| StartError::Config { path: path.display().to_string(), cause };
    let text = std::fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
    if path.extension().is_some_and(|ending| ending == "json") {
        // Its errors name the field, which serde_json's own do not.
        Json::from_bytes(text.as_bytes())
            .map(|Json(config)| config)
            .map_err(|error| refuse(error.body_text()))
    } else {
        toml::from_str(&text).map_err(|error| refuse(error.to_string()))
    }
}
