//! `cargo xtask demo`: the whole system at work, with everything that can go wrong on an ordinary day.

pub(crate) mod http;
pub(crate) mod program;
pub(crate) mod progress;
mod summary;
mod traffic;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use facteur_testkit::{TestBroker, TestDatabase};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{cargo, say, services};
use program::Program;
use progress::{Counts, Display, Observer};
use summary::Summary;
use traffic::{Producer, Publication};

const START_MAX: Duration = Duration::from_secs(60);
const FINAL_MAX: Duration = Duration::from_secs(180);
const STAGE_MAX: Duration = Duration::from_secs(10);
/// Twilio delivers within seconds here; what it delivers is told by callbacks.
const CALLBACKS_MAX: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(250);

/// What the demo can be told.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Stop everything after the last message instead of staying up.
    #[arg(long)]
    pub(crate) once: bool,
    /// Print nothing but the summary on stdout, as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
    /// How many jobs to publish.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) messages: u32,
    /// Repeat a run: the same jobs, and the same faults as far as their order allows.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// Runs the demo; `false` if something was lost or doubled, or the sums don't add up.
pub(crate) async fn run(root: &Path, options: &Options) -> Result<bool> {
    say::progress("building facteur and twilio-sim");
    cargo::run(root, &["build", "--quiet", "--package", "facteur", "--package", "twilio-sim"])?;
    let started = services::up(root).await?;
    let outcome = with_services(root, options).await;
    services::stop(root, &started).await?;
    outcome
}

async fn with_services(root: &Path, options: &Options) -> Result<bool> {
    let mut stage = Stage::set(root, options.seed).await?;
    let played = tokio::select! {
        played = stage.play(options) => played,
        () = interrupted() => Err(anyhow::anyhow!("interrupted")),
    };
    if played.is_ok() && !options.once {
        stage.show_where_to_look();
        interrupted().await;
    }
    if played.is_err() {
        say::progress(&format!("logs: {}", stage.directory.display()));
    }
    stage.end().await?;
    played
}

/// Ctrl-C, or a polite request to end.
async fn interrupted() {
    let Ok(mut term) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = term.recv() => {}
    }
}

/// Everything that runs for one demo.
struct Stage {
    /// Logs.
    directory: PathBuf,
    environment: BTreeMap<&'static str, String>,
    simulator_url: String,
    metrics_url: String,
    /// A key of the HTTP API for all tenants, made for this demo alone.
    key: String,
    simulator: Program,
    worker: Program,
    observer: Observer,
    producer: Producer,
    // Dropped last: a vhost and a database of their own, removed with everything in them.
    _broker: TestBroker,
    _database: TestDatabase,
}

impl Stage {
    async fn set(root: &Path, seed: u64) -> Result<Self> {
        let directory = root.join("target/services/demo");
        fs::create_dir_all(&directory)?;
        let (broker, database) = (facteur_testkit::broker().await, facteur_testkit::database().await);
        let sid = format!("AC{}", Uuid::new_v4().simple());
        let token = Uuid::new_v4().simple().to_string();
        let [metrics_port, web_port] = facteur_testkit::free_ports()?;

        say::progress("starting twilio-sim");
        let mut command = program::command("twilio-sim", &directory, &BTreeMap::new())?;
        command.args(["--listen", "127.0.0.1:0", "--seed", &seed.to_string()]);
        command.args(["--account-sid", &sid, "--auth-token", &token]);
        let mut simulator = Program::start("twilio-sim", command, directory.join("twilio-sim.log"))?;
        let simulator_url = simulator.line("listening on ", START_MAX).await?;

        let environment = BTreeMap::from([
            ("AMQP_URL", broker.url.clone()),
            ("DATABASE_URL", database.url.clone()),
            ("TWILIO_BASE_URL", simulator_url.clone()),
            ("TWILIO_ACCOUNT_SID", sid),
            ("TWILIO_AUTH_TOKEN", token),
            ("TWILIO_PHONE_NUMBER", "+15005550006".to_owned()),
            ("TWILIO_WHATSAPP_NUMBER", "whatsapp:+15005550006".to_owned()),
            ("FACTEUR_PREFIX", broker.prefix.clone()),
            ("FACTEUR_METRICS_LISTEN", format!("127.0.0.1:{metrics_port}")),
            ("FACTEUR_LISTEN", format!("127.0.0.1:{web_port}")),
            ("FACTEUR_PUBLIC_URL", format!("http://127.0.0.1:{web_port}")),
            (
                "FACTEUR_SECRET_KEY",
                [Uuid::new_v4(), Uuid::new_v4()].map(|half| half.simple().to_string()).concat(),
            ),
            ("FACTEUR_LOG", "info".to_owned()),
            // The simulator's list doesn't lag, so that a short search tells as much as a long one.
            ("FACTEUR_UNCERTAIN_GRACE_S", "10".to_owned()),
        ]);
        say::progress("making the tables");
        facteur(&directory, &environment, &["migrate"]).await?;
        let line = ["keys", "create", "--role", "superadmin", "--name", "demo", "--json"];
        let made: serde_json::Value =
            serde_json::from_slice(&facteur(&directory, &environment, &line).await?)?;
        let key = made["key"].as_str().context("no API key was made")?.to_owned();
        let observer = Observer::connect(&database.url).await?;
        prepare(&observer, &simulator_url).await?;

        say::progress("starting facteur up: worker and web process in one");
        let mut command = program::command("facteur", &directory, &environment)?;
        command.arg("up");
        let mut worker = Program::start("facteur up", command, directory.join("facteur.log"))?;
        let metrics_url = format!("http://127.0.0.1:{metrics_port}");
        wait_until_ready(&mut worker, &metrics_url).await?;
        let producer = Producer::connect(&broker.url, &broker.prefix).await?;
        Ok(Self {
            directory,
            environment,
            simulator_url,
            metrics_url,
            key,
            simulator,
            worker,
            observer,
            producer,
            _broker: broker,
            _database: database,
        })
    }

    /// Publishes in three waves: in good weather, into a storm of throttles, into a flaky stretch.
    async fn play(&mut self, options: &Options) -> Result<bool> {
        let jobs = traffic::jobs(usize::try_from(options.messages)?, options.seed);
        let ids: Vec<Uuid> = jobs.iter().map(|job| job.id).collect();
        let mut display = Display::new(jobs.len());
        let began = Instant::now();
        let mut waves = jobs.chunks(jobs.len().div_ceil(3));
        let mut published = self.wave("publishing the first third", waves.next(), &ids, &mut display).await?;
        let storm = json!({"rules": [{"fault": "throttle_storm", "probability": 0.5, "retry_after_s": 1}],
                           "for_requests": options.messages.div_ceil(10), "for_ms": 10_000});
        self.faults(storm).await?;
        published +=
            self.wave("Twilio throttles; publishing the second", waves.next(), &ids, &mut display).await?;
        let flaky = json!({"rules": [{"fault": "error_503_before", "probability": 0.2},
                                     {"fault": "reply_lost", "probability": 0.1}],
                           "for_requests": options.messages.div_ceil(20), "for_ms": 10_000});
        self.faults(flaky).await?;
        published +=
            self.wave("Twilio is flaky; publishing the third", waves.next(), &ids, &mut display).await?;
        self.wait(&ids, published, FINAL_MAX, &mut display).await?;
        let took = began.elapsed();
        let counts = self.wait_for_callbacks(&ids, &mut display).await?;
        display.end();

        let stats = http::get(format!("{}/_sim/stats", self.simulator_url)).await?;
        let summary = Summary::new(published, &counts, &stats, took)?;
        if options.json {
            say::result(&serde_json::to_string(&summary)?);
        } else {
            say::result(&summary.table(&self.observer.groups().await?));
        }
        let complaints = summary.complaints();
        for complaint in &complaints {
            say::progress(&format!("error: {complaint}"));
        }
        Ok(complaints.is_empty())
    }

    /// Publishes a wave and lets half of what is out settle, so that the next one meets other weather.
    async fn wave(
        &mut self,
        what: &str,
        wave: Option<&[Publication]>,
        ids: &[Uuid],
        display: &mut Display,
    ) -> Result<usize> {
        let wave = wave.unwrap_or_default();
        display.say(what);
        let before = self.observer.counts(ids).await?.settled();
        self.producer.publish(wave).await?;
        let half = usize::try_from(before)? + wave.len() / 2;
        self.wait(ids, half, STAGE_MAX, display).await?;
        Ok(wave.len())
    }

    /// Waits until so many have settled, but no longer than that.
    async fn wait(
        &mut self,
        ids: &[Uuid],
        settled: usize,
        patience: Duration,
        display: &mut Display,
    ) -> Result<Counts> {
        let deadline = Instant::now() + patience;
        loop {
            let counts = self.observer.counts(ids).await?;
            display.show(&counts);
            if usize::try_from(counts.settled())? >= settled || Instant::now() >= deadline {
                return Ok(counts);
            }
            self.worker.check()?;
            self.simulator.check()?;
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until Twilio has told what became of everything that it took.
    async fn wait_for_callbacks(&mut self, ids: &[Uuid], display: &mut Display) -> Result<Counts> {
        let deadline = Instant::now() + CALLBACKS_MAX;
        loop {
            let stats = http::get(format!("{}/_sim/stats", self.simulator_url)).await?;
            let is_told = stats.pointer("/callbacks/pending").and_then(serde_json::Value::as_u64) == Some(0);
            let counts = self.observer.counts(ids).await?;
            display.show(&counts);
            if is_told || Instant::now() >= deadline {
                return Ok(counts);
            }
            self.worker.check()?;
            tokio::time::sleep(POLL).await;
        }
    }

    async fn faults(&self, plan: serde_json::Value) -> Result<()> {
        http::post(format!("{}/_sim/faults", self.simulator_url), plan).await
    }

    fn show_where_to_look(&self) {
        say::progress("everything stays up until Ctrl-C. Where to look next, after");
        for (name, value) in &self.environment {
            say::progress(&format!("  export {name}='{value}'"));
        }
        let (api, key) = (&self.environment["FACTEUR_LISTEN"], &self.key);
        let lines = [
            format!("  export FACTEUR_KEY={key}   # an API key of this demo"),
            format!("  curl -H \"Authorization: Bearer $FACTEUR_KEY\" http://{api}/v1/whoami"),
            "  sh docs/examples/family1.sh           # what a campaign front end calls; also family2 to family4".to_owned(),
            format!("  http://{api}/docs/                    # every route, in a browser"),
            "  target/debug/facteur send --to +33612345678 --body Bonjour --wait".to_owned(),
            "  target/debug/facteur dead list        # what was stopped, and why".to_owned(),
            "  target/debug/facteur status <id>      # the story of one message".to_owned(),
            "  psql \"$DATABASE_URL\" -c 'SELECT * FROM facteur.overview LIMIT 10'".to_owned(),
            format!("  curl {}/metrics", self.metrics_url),
            format!("  curl {}/_sim/stats", self.simulator_url),
            format!("  tail -f {} {}", self.worker.log.display(), self.simulator.log.display()),
        ];
        lines.iter().for_each(|line| say::progress(line));
    }

    /// Stops the worker before the Twilio that it talks to.
    async fn end(self) -> Result<()> {
        self.worker.stop().await?;
        self.simulator.stop().await
    }
}

/// Runs a command that ends by itself, and gives what it printed.
async fn facteur(
    directory: &Path,
    environment: &BTreeMap<&'static str, String>,
    arguments: &[&str],
) -> Result<Vec<u8>> {
    let mut command = program::command("facteur", directory, environment)?;
    let output = command.args(arguments).output().await.context("can't start facteur")?;
    if !output.status.success() {
        let (line, why) = (arguments.join(" "), String::from_utf8_lossy(&output.stderr));
        bail!("`facteur {line}` failed: {}", why.trim());
    }
    Ok(output.stdout)
}

/// A slow sender, one recipient who told Twilio to stop and one who told us.
async fn prepare(observer: &Observer, simulator_url: &str) -> Result<()> {
    let sql = format!(
        "INSERT INTO facteur.senders (address, rate) VALUES ('{}', 3); \
         INSERT INTO facteur.suppressions (tenant, recipient, reason) VALUES ('default', '{}', 'demo')",
        traffic::SLOW_SENDER,
        traffic::OPTED_OUT_WITH_US
    );
    observer.order(&sql).await?;
    http::post(format!("{simulator_url}/_sim/opt-outs"), json!({"to": traffic::OPTED_OUT_AT_TWILIO})).await
}

async fn wait_until_ready(worker: &mut Program, metrics_url: &str) -> Result<()> {
    let deadline = Instant::now() + START_MAX;
    while !http::is_fine(format!("{metrics_url}/readyz")).await {
        worker.check()?;
        if Instant::now() >= deadline {
            bail!("the worker is not ready after 60 s; log: {}", worker.log.display());
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}
