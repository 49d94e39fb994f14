//! Twilio's own Python library, pointed at the simulator.

use std::path::{Path, PathBuf};
use std::process::Output;

use tokio::process::Command;
use twilio_sim::{ACCOUNT_SID, AUTH_TOKEN};

use crate::lab::{Lab, immediate};

/// The version that the script was written for.
const TWILIO: &str = "twilio==9.13.0";

async fn run(command: &mut Command) -> Output {
    let output = command.output().await.unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{out}\n{err}");
    output
}

/// A virtual environment with the library, kept in the target directory from run to run.
async fn python() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let venv = target.join("python/twilio-9.13.0");
    let python = venv.join("bin/python");
    let is_ready = Command::new(&python).args(["-c", "import twilio"]).output().await;
    if !is_ready.is_ok_and(|output| output.status.success()) {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv)).await;
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", TWILIO])).await;
    }
    python
}

#[tokio::test]
async fn the_official_library_works() {
    let lab = Lab::start(immediate()).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/official_library.py");
    run(Command::new(python().await).arg(script).args([lab.sim.url(), ACCOUNT_SID, AUTH_TOKEN])).await;
    assert_eq!(lab.sim.stats().duplicates_by_recipient_and_text, 0);
}
