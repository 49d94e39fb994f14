//! Programs in Python that tests and chores run, with every version fixed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The interpreter of a virtual environment below `target/python`, which holds what `python/<name>.txt` of this crate
/// lists. It is made when it is first asked for and when the list has changed; that waits for the package index for as
/// long as pip itself has patience.
///
/// # Errors
/// If there is no such list or no `python3` with venv, or if a package can't be installed; with what pip said.
pub fn python(name: &str) -> io::Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let list = here.join(format!("python/{name}.txt"));
    let wanted = fs::read_to_string(&list)?;
    let home = here.join("../../target/python").join(name);
    fs::create_dir_all(&home)?;
    // Another program that wants the same one waits here, and finds it made.
    let lock = File::create(home.with_extension("lock"))?;
    lock.lock()?;
    let (python, stamp) = (home.join("bin/python"), home.join("installed"));
    if python.exists() && fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
    run(Command::new(&python).args(pip).arg(&list))?;
    // Last: what was killed half-way has none, and is made anew.
    fs::write(&stamp, wanted)?;
    Ok(python)
}

fn run(command: &mut Command) -> io::Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{} failed: {}", command.get_program().display(), said.trim())))
}
