//! Installs Debian packages without letting them start services of their own.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{say, text};

const POLICY: &str = "/usr/sbin/policy-rc.d";
const POLICY_SAVED: &str = "/usr/sbin/policy-rc.d.before-facteur";
const MARK: &str = "# Written by `cargo xtask services up` for the time of an installation.";
const CLUSTER_POLICY_DIRECTORY: &str = "/etc/postgresql-common/createcluster.d";
const CLUSTER_POLICY: &str = "/etc/postgresql-common/createcluster.d/facteur.conf";

/// Installs a package, or says what to type where that is not possible.
pub(crate) fn install(package: &str, directory: &Path) -> Result<()> {
    let by_hand = format!(
        "{package} is missing. Install it (Debian, Ubuntu: `sudo apt-get install {package}`), or set AMQP_URL and \
         DATABASE_URL to services that run already"
    );
    if !rustix::process::getuid().is_root() || !Path::new("/usr/bin/apt-get").exists() {
        bail!(by_hand);
    }
    let log = directory.join(format!("apt-{package}.log"));
    say::progress(&format!("installing {package} (log: {})", log.display()));
    let _no_services = NoServices::begin()?;
    // A machine whose package lists are old asks for versions that the mirror no longer has.
    for arguments in [vec!["update"], vec!["install", "--yes", "--no-install-recommends", package]] {
        let output = File::options().create(true).append(true).open(&log)?;
        let status = Command::new("/usr/bin/apt-get")
            .args(&arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .status()
            .context("can't run apt-get")?;
        if !status.success() {
            bail!("{}\n`apt-get {}` failed. {by_hand}", text::tail(&log), arguments.join(" "));
        }
    }
    Ok(())
}

/// While it lives, packages neither start services nor create a database cluster.
struct NoServices {
    had_policy: bool,
    made_directory: Option<PathBuf>,
}

impl NoServices {
    fn begin() -> Result<Self> {
        // An installation before this one may have been killed before it could put things back.
        if fs::read_to_string(POLICY).is_ok_and(|script| script.contains(MARK)) {
            fs::remove_file(POLICY)?;
        }
        if Path::new(POLICY_SAVED).exists() {
            fs::rename(POLICY_SAVED, POLICY)?;
        }
        let had_policy = Path::new(POLICY).exists();
        if had_policy {
            fs::rename(POLICY, POLICY_SAVED)?;
        }
        // invoke-rc.d(8): 101 forbids the action. Should this process be killed, the script forbids nothing any
        // more by itself and asks the one before it.
        let script = format!(
            "#!/bin/sh\n{MARK}\n[ -d /proc/{} ] && exit 101\n[ -x {POLICY_SAVED} ] && exec {POLICY_SAVED} \"$@\"\nexit 0\n",
            std::process::id()
        );
        fs::write(POLICY, script)?;
        fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))?;
        let missing = !Path::new(CLUSTER_POLICY_DIRECTORY).exists();
        let made_directory = missing.then(|| PathBuf::from(CLUSTER_POLICY_DIRECTORY));
        fs::create_dir_all(CLUSTER_POLICY_DIRECTORY)?;
        fs::write(CLUSTER_POLICY, "create_main_cluster = false\n")?;
        Ok(Self { had_policy, made_directory })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        let restored =
            if self.had_policy { fs::rename(POLICY_SAVED, POLICY) } else { fs::remove_file(POLICY) };
        if let Err(error) = restored.and_then(|()| fs::remove_file(CLUSTER_POLICY)) {
            say::progress(&format!("can't put {POLICY} or {CLUSTER_POLICY} back: {error}"));
        }
        if let Some(directory) = &self.made_directory {
            // Stays if a package put something into it meanwhile.
            let _ = fs::remove_dir(directory);
        }
    }
}
