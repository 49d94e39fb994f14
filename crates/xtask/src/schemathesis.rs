//! Schemathesis reads the document of the HTTP API and tries to find a request that a route answers otherwise than it
//! says: with a server error, an undocumented status, or a body of another shape.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::Instant;

use crate::demo::http;
use crate::demo::program::{self, Program};
use crate::demo::progress::Observer;
use crate::{cargo, check, services};

/// Asks whether it can be installed here: it needs this Python.
const CAN_INSTALL: &str = "import ensurepip, sys; sys.exit(sys.version_info < (3, 11))";
/// What is looked at. It searches with one thread: with several, the parser of some Pythons fails now and then.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,\
                      ignored_auth,negative_data_rejection";
/// A stream of events ends with its bulk and not before: each look at it would last until its time is out.
const STREAM: &str = "/v1/bulks/{id}/events";
/// Each request comes from a network of its own, as behind a proxy: the brake holds up a network that sends one wrong key
/// after the other with 429, which is no answer to whether this route lets strangers in.
const HOOKS: &str = r#"import itertools
import schemathesis

ADDRESSES = itertools.count(1)


@schemathesis.hook
def before_call(context, case, kwargs):
    number = next(ADDRESSES)
    case.headers["X-Forwarded-For"] = f"198.{18 + number // 65536 % 2}.{number // 256 % 256}.{number % 256}"
"#;
/// The module's name.
const HOOKS_MODULE: &str = "facteur_hooks";
/// Seals the credentials that the seeds hold, as in the tests that execute examples.
const SEEDS_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
/// How many requests it makes up for a route. No time bounds the search: a fast machine would look at others than a slow
/// one, and what it finds would be a matter of luck.
const EXAMPLES: &str = "40";
/// It takes a minute or two; past this, it hangs.
const RUN_MAX: Duration = Duration::from_secs(1_800);
const ASK_MAX: Duration = Duration::from_secs(60);
const START_MAX: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(250);
/// The objects that the document's examples name.
const SEEDS: &str = "crates/facteur-web/tests/it/seeds";

/// Runs it against `facteur web` on a database of its own; gives a remark if there is no Python for it.
pub(crate) async fn run(root: &Path) -> Result<Vec<String>> {
    if !succeeds(Command::new("python3").args(["-c", CAN_INSTALL]), ASK_MAX).await {
        return Ok(vec!["NOT RUN: schemathesis takes Python 3.11 or later, with venv".to_owned()]);
    }
    let tool = facteur_testkit::python("schemathesis")?.with_file_name("schemathesis");
    cargo::run(root, &["build", "--quiet", "--package", "facteur"])?;
    let started = services::up(root).await?;
    let outcome = with_services(root, &tool).await;
    services::stop(root, &started).await?;
    outcome.map(|()| vec![])
}

async fn with_services(root: &Path, tool: &Path) -> Result<()> {
    let directory = root.join("target/services/schemathesis");
    fs::create_dir_all(&directory)?;
    let database = facteur_testkit::database().await;
    let [metrics_port, web_port] = facteur_testkit::free_ports()?;
    let environment = BTreeMap::from([
        ("DATABASE_URL", database.url.clone()),
        // Nobody is there: what is accepted stays in the database.
        ("TWILIO_BASE_URL", "http://127.0.0.1:9".to_owned()),
        ("FACTEUR_SECRET_KEY", SEEDS_KEY.to_owned()),
        ("FACTEUR_TRUSTED_PROXIES", "127.0.0.1".to_owned()),
        // So that webhooks can be verified, and are refused for the signature that they lack.
        ("FACTEUR_PUBLIC_URL", "https://sms.example.org".to_owned()),
        ("FACTEUR_METRICS_LISTEN", format!("127.0.0.1:{metrics_port}")),
        ("FACTEUR_LISTEN", format!("127.0.0.1:{web_port}")),
    ]);
    let facteur = async |arguments: &[&str]| -> Result<Vec<u8>> {
        let mut command = program::command("facteur", &directory, &environment)?;
        let output = command.args(arguments).output().await.context("can't start facteur")?;
        if !output.status.success() {
            bail!("`facteur {}` failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(output.stdout)
    };
    facteur(&["migrate"]).await?;
    let observer = Observer::connect(&database.url).await?;
    for file in check::files(&root.join(SEEDS), ".sql")? {
        observer.order(&fs::read_to_string(&file)?).await.with_context(|| file.display().to_string())?;
    }
    let made: Value = serde_json::from_slice(
        &facteur(&["keys", "create", "--role", "superadmin", "--name", "schemathesis", "--json"]).await?,
    )?;
    let key = made["key"].as_str().context("no key was made")?;
    let mut command = program::command("facteur", &directory, &environment)?;
    command.arg("web");
    let mut web = Program::start("facteur web", command, directory.join("facteur.log"))?;
    let ready = format!("http://127.0.0.1:{metrics_port}/readyz");
    let deadline = Instant::now() + START_MAX;
    while !http::is_fine(ready.clone()).await {
        web.check()?;
        if Instant::now() >= deadline {
            bail!("facteur web is not ready after 60 s; log: {}", web.log.display());
        }
        tokio::time::sleep(POLL).await;
    }
    let found = search(tool, &directory, &format!("http://127.0.0.1:{web_port}/v1/openapi.json"), key).await;
    web.stop().await?;
    found
}

async fn search(tool: &Path, directory: &Path, document: &str, key: &str) -> Result<()> {
    fs::write(directory.join(HOOKS_MODULE).with_extension("py"), HOOKS)?;
    let mut command = Command::new(tool);
    command.env("SCHEMATHESIS_HOOKS", HOOKS_MODULE).env("PYTHONPATH", directory);
    // The order of sets is drawn anew for each run otherwise.
    command.env("PYTHONHASHSEED", "0");
    command.args(["run", document, "--header", &format!("Authorization: Bearer {key}"), "--checks", CHECKS]);
    command.args(["--phases", "examples,coverage,fuzzing", "--max-examples", EXAMPLES]);
    command.args(["--seed", "1", "--generation-database", "none", "--request-timeout", "60", "--no-color"]);
    command.args(["--suppress-health-check", "too_slow"]);
    command.args(["--continue-on-failure", "--warnings", "off", "--workers", "1"]);
    command.args(["--exclude-path", STREAM]);
    command.stdout(std::io::stderr()).current_dir(directory);
    if succeeds(&mut command, RUN_MAX).await { Ok(()) } else { bail!("schemathesis found a fault") }
}

async fn succeeds(command: &mut Command, patience: Duration) -> bool {
    let running = command.stdin(std::process::Stdio::null()).kill_on_drop(true).status();
    matches!(tokio::time::timeout(patience, running).await, Ok(Ok(status)) if status.success())
}
