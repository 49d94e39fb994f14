//! Twilio's own Python library, pointed at the simulator.

use std::path::Path;
use std::process::Output;

use tokio::process::Command;
use twilio_sim::{ACCOUNT_SID, AUTH_TOKEN};

use crate::lab::{Lab, immediate};

async fn run(command: &mut Command) -> Output {
    let output = command.output().await.unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{out}\n{err}");
    output
}

#[tokio::test]
async fn the_official_library_works() {
    let python = facteur_testkit::python("twilio").unwrap();
    let lab = Lab::start(immediate()).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/official_library.py");
    run(Command::new(python).arg(script).args([lab.sim.url(), ACCOUNT_SID, AUTH_TOKEN])).await;
    assert_eq!(lab.sim.stats().duplicates_by_recipient_and_text, 0);
}
