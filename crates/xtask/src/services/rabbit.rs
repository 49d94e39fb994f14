//! A private RabbitMQ: its own node, epmd, cookie, ports and data; nothing shared with another instance.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lapin::{Connection, ConnectionProperties};
use uuid::Uuid;

use super::state::{self, Instance, Paths, Process, State};
use super::{apt, programs};
use crate::{say, text};

const START_MAX: Duration = Duration::from_secs(120);
const START_POLL: Duration = Duration::from_millis(200);
const CONNECT_MAX: Duration = Duration::from_secs(10);
const DEBIAN_LIBRARY: &str = "/usr/lib/rabbitmq/lib";

struct Programs {
    server: PathBuf,
    control: PathBuf,
    epmd: PathBuf,
}

/// Whether a broker answers at that address.
pub(crate) async fn check(url: &str) -> Result<()> {
    let connecting = Connection::connect(url, ConnectionProperties::default());
    let connection =
        tokio::time::timeout(CONNECT_MAX, connecting).await.context("no answer within 10 s")??;
    let _ = tokio::time::timeout(CONNECT_MAX, connection.close(200, "bye".into())).await;
    Ok(())
}

/// Starts a broker and waits until it takes connections; `state` is saved as soon as there is a process.
pub(crate) async fn start(paths: &Paths, state: &mut State) -> Result<()> {
    let programs = find(paths)?;
    let name = format!("facteur-{}", &Uuid::new_v4().simple().to_string()[..8]);
    let directory = paths.directory.join(&name);
    let [amqp, management, distribution, epmd_port] = facteur_testkit::free_ports()?;
    let password = Uuid::new_v4().simple().to_string();
    write_files(&directory, &password, amqp, management)?;
    let environment = environment(&programs, &directory, &name, distribution, epmd_port)?;

    say::progress(&format!("starting RabbitMQ on 127.0.0.1:{amqp}"));
    let log = directory.join("start.log");
    let epmd = spawn(
        Command::new(&programs.epmd).args(["-address", "127.0.0.1", "-port", &epmd_port.to_string()]),
        &environment,
        &log,
    )?;
    let mut server = spawn(&mut Command::new(&programs.server), &environment, &log)?;
    state.broker = Some(Instance {
        directory: directory.clone(),
        processes: vec![
            Process::running("rabbitmq-server", server.id())?,
            Process::running("epmd", epmd.id())?,
        ],
        ports: BTreeMap::from([
            ("amqp".to_owned(), amqp),
            ("management".to_owned(), management),
            ("distribution".to_owned(), distribution),
            ("epmd".to_owned(), epmd_port),
        ]),
        environment,
    });
    state.save(paths)?;

    let url = format!("amqp://facteur:{password}@127.0.0.1:{amqp}/%2f");
    wait_until_ready(&mut server, &url, &log).await?;
    remember_emulator(state, &directory)?;
    state.amqp_url = Some(url);
    state.management_url = Some(format!("http://facteur:{password}@127.0.0.1:{management}"));
    state.save(paths)
}

/// The start script is not the broker; the Erlang machine is, and it is stopped first.
fn remember_emulator(state: &mut State, directory: &Path) -> Result<()> {
    let pid = fs::read_to_string(directory.join("pid"))?.trim().parse()?;
    let instance = state.broker.as_mut().context("no broker was started")?;
    if instance.processes.iter().all(|process| u32::try_from(process.pid) != Ok(pid)) {
        instance.processes.insert(0, Process::running("beam", pid)?);
    }
    Ok(())
}

async fn wait_until_ready(server: &mut Child, url: &str, log: &Path) -> Result<()> {
    let ready = async {
        loop {
            if let Some(status) = server.try_wait()? {
                bail!(
                    "{}\nRabbitMQ ended while it started ({status}); log: {}",
                    text::tail(log),
                    log.display()
                );
            }
            if check(url).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(START_POLL).await;
        }
    };
    tokio::time::timeout(START_MAX, ready)
        .await
        .unwrap_or_else(|_| bail!("RabbitMQ takes no connection after 120 s; log: {}", log.display()))
}

fn find(paths: &Paths) -> Result<Programs> {
    if installed().is_none() {
        apt::install("rabbitmq-server", &paths.directory)?;
    }
    installed().context(
        "rabbitmq-server is installed, but its programs are neither in /usr/lib/rabbitmq nor in PATH",
    )
}

fn installed() -> Option<Programs> {
    // Debian's rabbitmq-server in PATH changes the user; the one behind it runs as whoever calls it.
    let debian = fs::read_dir(DEBIAN_LIBRARY).ok().and_then(|versions| {
        let versions = versions.flatten().map(|version| version.path().join("sbin"));
        versions.filter(|sbin| sbin.join("rabbitmq-server").exists()).max()
    });
    let (server, control) = match debian {
        Some(sbin) => (sbin.join("rabbitmq-server"), sbin.join("rabbitmqctl")),
        None => (programs::in_path("rabbitmq-server")?, programs::in_path("rabbitmqctl")?),
    };
    Some(Programs { server, control, epmd: programs::in_path("epmd")? })
}

fn write_files(directory: &Path, password: &str, amqp: u16, management: u16) -> Result<()> {
    state::directory(&directory.join("home"))?;
    let cookie = directory.join("home/.erlang.cookie");
    fs::write(&cookie, Uuid::new_v4().simple().to_string())?;
    fs::set_permissions(&cookie, fs::Permissions::from_mode(0o400))?;
    // An empty one keeps the machine's own /etc/rabbitmq/rabbitmq-env.conf out.
    fs::write(directory.join("rabbitmq-env.conf"), "")?;
    fs::write(directory.join("enabled_plugins"), "[rabbitmq_management].\n")?;
    // The management plugin makes and removes a vhost in a fraction of the time that rabbitmqctl takes; its
    // statistics would only cost CPU. The short write-ahead log bounds the memory of a test broker.
    let config = format!(
        "listeners.tcp.1 = 127.0.0.1:{amqp}\n\
         management.tcp.ip = 127.0.0.1\n\
         management.tcp.port = {management}\n\
         management_agent.disable_metrics_collector = true\n\
         default_user = facteur\n\
         default_pass = {password}\n\
         raft.wal_max_size_bytes = 67108864\n\
         disk_free_limit.absolute = 256MB\n\
         log.console = false\n"
    );
    state::write_private(&directory.join("rabbitmq.conf"), &config)
}

fn environment(
    programs: &Programs,
    directory: &Path,
    name: &str,
    distribution: u16,
    epmd: u16,
) -> Result<BTreeMap<String, String>> {
    let text = |path: PathBuf| {
        path.into_os_string().into_string().ok().context("the path of the checkout is not UTF-8")
    };
    let entries = [
        ("HOME", text(directory.join("home"))?),
        ("ERL_EPMD_PORT", epmd.to_string()),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
        ("RABBITMQCTL", text(programs.control.clone())?),
        ("RABBITMQ_NODENAME", format!("{name}@localhost")),
        ("RABBITMQ_DIST_PORT", distribution.to_string()),
        ("RABBITMQ_PID_FILE", text(directory.join("pid"))?),
        ("RABBITMQ_MNESIA_BASE", text(directory.join("data"))?),
        ("RABBITMQ_LOG_BASE", text(directory.join("log"))?),
        ("RABBITMQ_CONFIG_FILE", text(directory.join("rabbitmq.conf"))?),
        ("RABBITMQ_ADVANCED_CONFIG_FILE", text(directory.join("advanced.config"))?),
        ("RABBITMQ_CONF_ENV_FILE", text(directory.join("rabbitmq-env.conf"))?),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", text(directory.join("enabled_plugins"))?),
        // Node-to-node traffic stays on loopback, and idle schedulers leave the processor to the tests.
        (
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none".to_owned(),
        ),
    ];
    Ok(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

fn spawn(command: &mut Command, environment: &BTreeMap<String, String>, log: &Path) -> Result<Child> {
    let output = File::options().create(true).append(true).open(log)?;
    command
        .envs(environment)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        // Ctrl-C at the terminal is for the command, not for the services behind it.
        .process_group(0)
        .spawn()
        .with_context(|| format!("can't start {}", command.get_program().display()))
}
