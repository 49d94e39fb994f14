//! A whole system: a vhost and a database of its own, the simulator, and as many processes of Facteur as it takes.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use facteur_testkit::{FaultProxy, TestBroker, TestDatabase};
use serde_json::Value;
use url::Url;

use crate::http::Control;
use crate::program::{self, Program};

const START_MAX: Duration = Duration::from_secs(60);
const COMMAND_MAX: Duration = Duration::from_secs(60);
/// Sender of jobs that name none.
pub const SENDER_DEFAULT: &str = "+15005550006";

/// The ground that everything stands on. Vhost, database and simulator go when it is dropped.
#[derive(Debug)]
pub struct System {
    directory: PathBuf,
    facteur: PathBuf,
    /// The simulator's process.
    pub simulator: Program,
    /// The simulator's control routes.
    pub control: Control,
    broker: TestBroker,
    database: TestDatabase,
}

/// A process's ways to the others, each through a proxy of its own that breaks it on demand.
#[derive(Debug)]
pub struct Links {
    /// To the broker.
    pub broker: FaultProxy,
    /// To the database.
    pub database: FaultProxy,
    /// To Twilio.
    pub twilio: FaultProxy,
}

impl System {
    /// Starts the simulator as it is configured and makes the tables. Logs go to `directory`, which is emptied.
    ///
    /// # Errors
    /// If a program is not built or doesn't start.
    pub async fn start(directory: &Path, simulator: &Value) -> Result<Self> {
        if directory.exists() {
            fs::remove_dir_all(directory)?;
        }
        fs::create_dir_all(directory)?;
        let (broker, database) = (facteur_testkit::broker().await, facteur_testkit::database().await);
        let config = directory.join("twilio-sim.json");
        fs::write(&config, serde_json::to_vec_pretty(simulator)?)?;
        let (simulator, control) = start_simulator(directory, Some(&config)).await?;
        let facteur = program::built("facteur")?;
        let directory = directory.to_owned();
        let system = Self { directory, facteur, simulator, control, broker, database };
        system.facteur(&["migrate"]).await?;
        Ok(system)
    }

    /// The broker, past every proxy.
    #[must_use]
    pub fn amqp_url(&self) -> &str {
        &self.broker.url
    }

    /// What the names of exchanges and queues begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.broker.prefix
    }

    /// The database, past every proxy.
    #[must_use]
    pub fn database_url(&self) -> &str {
        &self.database.url
    }

    /// The simulator, past every proxy.
    #[must_use]
    pub fn simulator_url(&self) -> &str {
        self.control.url()
    }

    /// Where the logs are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// New ways for one process.
    ///
    /// # Errors
    /// If an address can't be read.
    pub async fn links(&self) -> Result<Links> {
        Ok(Links {
            broker: proxy(&self.broker.url).await?,
            database: proxy(&self.database.url).await?,
            twilio: proxy(self.simulator_url()).await?,
        })
    }

    /// What a process of Facteur is told, reaching the others through `links` or, without, directly.
    ///
    /// # Errors
    /// If an address can't be read.
    pub fn environment(&self, links: Option<&Links>) -> Result<Vec<(&'static str, String)>> {
        let through = |url: &str, proxy: Option<&FaultProxy>| match proxy {
            Some(proxy) => rerouted(url, proxy),
            None => Ok(url.to_owned()),
        };
        Ok(vec![
            ("AMQP_URL", through(&self.broker.url, links.map(|links| &links.broker))?),
            ("DATABASE_URL", through(&self.database.url, links.map(|links| &links.database))?),
            ("TWILIO_BASE_URL", through(self.simulator_url(), links.map(|links| &links.twilio))?),
            ("TWILIO_PHONE_NUMBER", SENDER_DEFAULT.to_owned()),
            ("FACTEUR_PREFIX", self.broker.prefix.clone()),
            ("FACTEUR_METRICS_LISTEN", "127.0.0.1:0".to_owned()),
        ])
    }

    /// Starts a process of Facteur that stays; its log bears its name.
    ///
    /// # Errors
    /// If it can't be started.
    pub fn spawn(&self, name: &str, arguments: &[&str], environment: &[(&str, String)]) -> Result<Program> {
        let mut command = program::command(&self.facteur, &self.directory, environment);
        command.args(arguments);
        Program::start(name, command, &self.directory.join(format!("{name}.log")))
    }

    /// Runs a command of Facteur to its end and gives what it printed.
    ///
    /// # Errors
    /// If it ends badly; the error holds what it wrote.
    pub async fn facteur(&self, arguments: &[&str]) -> Result<String> {
        let mut command = program::command(&self.facteur, &self.directory, &self.environment(None)?);
        let output = tokio::time::timeout(COMMAND_MAX, command.args(arguments).output());
        let output = output.await.with_context(|| format!("facteur {} hangs", arguments.join(" ")))??;
        if !output.status.success() {
            bail!("facteur {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Starts a simulator with that configuration or its own defaults; its log is `twilio-sim.log` in the directory.
///
/// # Errors
/// If it is not built or doesn't start.
pub async fn start_simulator(directory: &Path, config: Option<&Path>) -> Result<(Program, Control)> {
    let mut command = program::command(&program::built("twilio-sim")?, directory, &[]);
    command.args(["--listen", "127.0.0.1:0"]);
    if let Some(config) = config {
        command.arg("--config").arg(config);
    }
    let mut simulator = Program::start("twilio-sim", command, &directory.join("twilio-sim.log"))?;
    let control = Control::new(simulator.line("listening on ", START_MAX).await?)?;
    Ok((simulator, control))
}

/// A proxy in front of an address on this machine.
///
/// # Errors
/// If the address can't be read.
pub async fn proxy(url: &str) -> Result<FaultProxy> {
    let url = Url::parse(url)?;
    let host =
        url.host_str().and_then(|host| host.parse::<IpAddr>().ok()).unwrap_or(Ipv4Addr::LOCALHOST.into());
    let port = url.port().with_context(|| format!("no port in the address of {}", url.scheme()))?;
    Ok(FaultProxy::start(SocketAddr::new(host, port)).await)
}

/// The same address, reached through a proxy.
fn rerouted(url: &str, proxy: &FaultProxy) -> Result<String> {
    let mut url = Url::parse(url)?;
    let is_set =
        url.set_ip_host(proxy.addr().ip()).is_ok() && url.set_port(Some(proxy.addr().port())).is_ok();
    if !is_set {
        bail!("an address of {} can't be led through a proxy", url.scheme());
    }
    // A bare host gets a slash, which an HTTP base URL does without.
    Ok(url.as_str().trim_end_matches('/').to_owned())
}
