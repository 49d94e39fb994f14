//! The binary: its flags, its one line, its end.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

fn binary(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twilio-sim"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

async fn first_line(child: &mut Child) -> String {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.next_line().await.unwrap().unwrap()
}

#[tokio::test]
async fn the_process_says_where_it_listens_and_ends_at_sigterm() {
    let mut child = binary(&["--listen", "127.0.0.1:0", "--seed", "7"]).spawn().unwrap();
    let line = first_line(&mut child).await;
    let address = line.strip_prefix("listening on http://").unwrap();
    tokio::net::TcpStream::connect(address).await.unwrap();
    let id = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
    assert!(child.wait().await.unwrap().success());
}

#[tokio::test]
async fn a_configuration_is_read_and_an_unknown_field_is_named() {
    let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    for (name, text, problem) in [
        ("good.toml", "seed = 3\n[faults]\nrules = [{ fault = \"hang\", probability = 0.5 }]\n", None),
        ("good.json", r#"{"sender_rate": 1.5, "faults": {"latency": {"fixed_ms": 5}}}"#, None),
        ("bad.toml", "seeed = 3\n", Some("seeed")),
        ("bad.json", r#"{"seed": "x"}"#, Some("seed")),
    ] {
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        let arguments = ["--listen", "127.0.0.1:0", "--config", path.to_str().unwrap()];
        let mut child = binary(&arguments).spawn().unwrap();
        match problem {
            None => assert!(first_line(&mut child).await.starts_with("listening on "), "{name}"),
            Some(word) => {
                let output = child.wait_with_output().await.unwrap();
                let error = String::from_utf8(output.stderr).unwrap();
                assert!(!output.status.success() && error.contains(name) && error.contains(word), "{error}");
            }
        }
    }
}
