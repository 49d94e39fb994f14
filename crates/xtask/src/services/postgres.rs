//! A private PostgreSQL: its own data directory, port and password. As root it runs as another user, because it
//! refuses to run as root.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio_postgres::NoTls;
use uuid::Uuid;

use super::state::{self, Instance, Paths, Process, State};
use super::{apt, programs};
use crate::{say, text};

const START_MAX: Duration = Duration::from_secs(60);
const START_POLL: Duration = Duration::from_millis(100);
const CONNECT_MAX: Duration = Duration::from_secs(10);
const DEBIAN_LIBRARY: &str = "/usr/lib/postgresql";
const USER: &str = "postgres";

/// Whose process the server is, if not ours.
#[derive(Clone, Copy)]
struct Owner {
    user: u32,
    group: u32,
}

/// Whether a database answers at that address.
pub(crate) async fn check(url: &str) -> Result<()> {
    let connecting = tokio_postgres::connect(url, NoTls);
    let (client, connection) =
        tokio::time::timeout(CONNECT_MAX, connecting).await.context("no answer within 10 s")??;
    let driver = tokio::spawn(connection);
    let answer = tokio::time::timeout(CONNECT_MAX, client.simple_query("SELECT 1")).await;
    drop(client);
    driver.await??;
    answer.context("no answer within 10 s")??;
    Ok(())
}

/// Starts a database server and waits until it takes queries; `state` is saved as soon as there is a process.
pub(crate) async fn start(paths: &Paths, state: &mut State) -> Result<()> {
    let programs = find(paths)?;
    let owner = owner()?;
    let directory = home(paths, owner)?;
    let [port] = facteur_testkit::free_ports()?;
    let password = Uuid::new_v4().simple().to_string();

    say::progress(&format!("starting PostgreSQL on 127.0.0.1:{port}"));
    let data = directory.join("data");
    initialise(&programs, &directory, &data, &password, owner)?;
    configure(&data, port)?;
    let log = directory.join("postgres.log");
    let mut server = spawn(Command::new(programs.join("postgres")).arg("-D").arg(&data), owner, &log)?;
    state.database = Some(Instance {
        directory,
        processes: vec![Process::running("postgres", server.id())?],
        ports: BTreeMap::from([("postgres".to_owned(), port)]),
        environment: BTreeMap::from([("PGPASSWORD".to_owned(), password.clone())]),
    });
    state.save(paths)?;

    let url = format!("postgres://facteur:{password}@127.0.0.1:{port}/postgres");
    wait_until_ready(&mut server, &url, &log).await?;
    state.database_url = Some(url);
    state.save(paths)
}

async fn wait_until_ready(server: &mut Child, url: &str, log: &Path) -> Result<()> {
    let ready = async {
        loop {
            if let Some(status) = server.try_wait()? {
                bail!("{}\nPostgreSQL ended while it started ({status})", text::tail(log));
            }
            if check(url).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(START_POLL).await;
        }
    };
    tokio::time::timeout(START_MAX, ready)
        .await
        .unwrap_or_else(|_| bail!("PostgreSQL takes no connection after 60 s; log: {}", log.display()))
}

fn find(paths: &Paths) -> Result<PathBuf> {
    if installed().is_none() {
        apt::install("postgresql", &paths.directory)?;
    }
    installed()
        .context("postgresql is installed, but its programs are neither in /usr/lib/postgresql nor in PATH")
}

fn installed() -> Option<PathBuf> {
    let debian = fs::read_dir(DEBIAN_LIBRARY).ok().and_then(|versions| {
        let version = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
        let versions = versions.flatten().map(|entry| entry.path());
        versions.filter(|path| path.join("bin/initdb").exists()).max_by_key(|path| version(path))
    });
    match debian {
        Some(version) => Some(version.join("bin")),
        None => Some(programs::in_path("initdb")?.parent()?.to_owned()),
    }
}

/// The user whom the server runs as: nobody in particular, unless we are root.
fn owner() -> Result<Option<Owner>> {
    if !rustix::process::getuid().is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")?;
    let line = users.lines().find_map(|line| line.strip_prefix(USER)?.strip_prefix(':'));
    let mut fields =
        line.context("PostgreSQL must not run as root, and there is no user `postgres`")?.split(':').skip(1);
    let mut id =
        || fields.next().unwrap_or_default().parse::<u32>().context("/etc/passwd has no id for `postgres`");
    Ok(Some(Owner { user: id()?, group: id()? }))
}

/// A new private directory for the server: in the checkout, or under the system's temporary directory if the
/// server's user can't reach into the checkout.
fn home(paths: &Paths, owner: Option<Owner>) -> Result<PathBuf> {
    let name = format!("postgres-{}", &Uuid::new_v4().simple().to_string()[..8]);
    let Some(owner) = owner else {
        let path = paths.directory.join(name);
        private_home(&path, None)?;
        return Ok(path);
    };
    let candidates = [paths.directory.join(&name), std::env::temp_dir().join(format!("facteur-{name}"))];
    for path in candidates {
        private_home(&path, Some(owner))?;
        let mut test = Command::new("/usr/bin/test");
        let reaches = test.arg("-w").arg(&path).current_dir("/").uid(owner.user).gid(owner.group).status()?;
        if reaches.success() {
            return Ok(path);
        }
        fs::remove_dir(&path)?;
    }
    bail!("the user `postgres` can enter neither {} nor the temporary directory", paths.directory.display())
}

fn private_home(path: &Path, owner: Option<Owner>) -> Result<()> {
    fs::create_dir(path).with_context(|| format!("can't create {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    if let Some(owner) = owner {
        chown(path, Some(owner.user), Some(owner.group))?;
    }
    Ok(())
}

fn initialise(
    programs: &Path,
    directory: &Path,
    data: &Path,
    password: &str,
    owner: Option<Owner>,
) -> Result<()> {
    let secret = directory.join("password");
    state::write_private(&secret, password)?;
    if let Some(owner) = owner {
        chown(&secret, Some(owner.user), Some(owner.group))?;
    }
    let log = directory.join("initdb.log");
    let mut initdb = Command::new(programs.join("initdb"));
    initdb.args([
        "--username=facteur",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--no-locale",
        "--no-instructions",
    ]);
    initdb.arg("--pwfile").arg(&secret).arg("--pgdata").arg(data);
    let status = spawn(&mut initdb, owner, &log)?.wait()?;
    fs::remove_file(&secret)?;
    if !status.success() {
        bail!("{}\ninitdb failed ({status})", text::tail(&log));
    }
    Ok(())
}

/// Durable as in production, so that what is measured against it is honest.
fn configure(data: &Path, port: u16) -> Result<()> {
    let settings = format!(
        "listen_addresses = '127.0.0.1'\n\
         port = {port}\n\
         unix_socket_directories = ''\n\
         max_connections = 200\n\
         shared_buffers = 256MB\n\
         fsync = on\n\
         synchronous_commit = on\n\
         timezone = 'UTC'\n\
         log_timezone = 'UTC'\n"
    );
    // The file that initdb wrote includes this one's settings last, because the server reads it last.
    fs::write(data.join("postgresql.auto.conf"), settings)?;
    Ok(())
}

fn spawn(command: &mut Command, owner: Option<Owner>, log: &Path) -> Result<Child> {
    let output = File::options().create(true).append(true).open(log)?;
    command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        // A user that is not ours may not be able to stand where we stand.
        .current_dir("/")
        // Ctrl-C at the terminal is for the command, not for the services behind it.
        .process_group(0);
    if let Some(owner) = owner {
        command.uid(owner.user).gid(owner.group);
    }
    command.spawn().with_context(|| format!("can't start {}", command.get_program().display()))
}
