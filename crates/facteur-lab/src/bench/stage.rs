//! A whole system of its own for one measurement: a vhost, a database, a simulator, workers.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use super::arrivals::{self, Arrival, Stats};
use super::figures::{number, round};
use super::jobs::Job;
use super::producer::Producer;
use super::usage;
use crate::program::Program;
use crate::system::System;

const POLL: Duration = Duration::from_millis(10);
const READY_MAX: Duration = Duration::from_secs(60);
/// Nothing has moved for so long: it hangs.
const STILL_MAX: Duration = Duration::from_secs(60);

/// A system under test.
pub(super) struct Stage {
    environment: Vec<(&'static str, String)>,
    pub(super) workers: Vec<Program>,
    pub(super) web: Option<Program>,
    pub(super) producer: Producer,
    pub(super) sql: Client,
    // Dropped last: broker and database are removed with everything in them.
    pub(super) system: System,
}

impl Stage {
    /// Everything but the workers, with the exchanges, queues and tables in place.
    pub(super) async fn set(concurrency: u32) -> Result<Self> {
        let (sid, token) = (format!("AC{}", Uuid::new_v4().simple()), Uuid::new_v4().simple().to_string());
        let now = json!({"fixed_ms": 0});
        let config = json!({
            "accounts": [{"sid": sid, "auth_token": token}],
            "arrivals_kept_max": 3_000_000,
            "messages_kept_max": 1_000,
            "progress": {"queued": now, "sending": now, "sent": now, "delivered": now, "read": now},
        });
        let system = System::start(&directory(), &config).await?;
        let mut environment = system.environment(None)?;
        environment.extend([
            ("TWILIO_ACCOUNT_SID", sid),
            ("TWILIO_AUTH_TOKEN", token),
            ("FACTEUR_CONCURRENCY", concurrency.to_string()),
            ("FACTEUR_EVENTS", "false".to_owned()),
            ("FACTEUR_LOG", "warn".to_owned()),
        ]);
        let (sql, connection) = tokio_postgres::connect(system.database_url(), NoTls).await?;
        // Ends with the client; its errors are the client's as well.
        tokio::spawn(connection);
        let producer = Producer::connect(system.amqp_url(), system.prefix()).await?;
        let (workers, web) = (Vec::new(), None);
        let mut stage = Self { environment, workers, web, producer, sql, system };
        // A worker makes the queues.
        stage.start_workers(1).await?;
        stage.stop_workers().await?;
        Ok(stage)
    }

    /// Starts so many workers and waits until they consume.
    pub(super) async fn start_workers(&mut self, count: usize) -> Result<()> {
        let first = self.workers.len();
        let mut ports = Vec::new();
        for index in first..first + count {
            let [port] = facteur_testkit::free_ports()?;
            let listen = ("FACTEUR_METRICS_LISTEN", format!("127.0.0.1:{port}"));
            let environment = [&self.environment[..], &[listen]].concat();
            self.workers.push(self.system.spawn(&format!("worker-{index}"), &["worker"], &environment)?);
            ports.push(port);
        }
        for port in ports {
            self.ready(&format!("http://127.0.0.1:{port}/readyz")).await?;
        }
        Ok(())
    }

    /// Starts `facteur web`, to which the simulator's callbacks go from then on.
    pub(super) async fn start_web(&mut self) -> Result<()> {
        let [port, operators_port] = facteur_testkit::free_ports()?;
        let listen = format!("127.0.0.1:{port}");
        let url = format!("http://{listen}");
        self.environment.extend([("FACTEUR_PUBLIC_URL", url), ("FACTEUR_LISTEN", listen)]);
        let operators = format!("127.0.0.1:{operators_port}");
        let environment = [&self.environment[..], &[("FACTEUR_METRICS_LISTEN", operators.clone())]].concat();
        self.web = Some(self.system.spawn("web", &["web"], &environment)?);
        self.ready(&format!("http://{operators}/readyz")).await
    }

    /// What the programs of this stage find in their environment under that name.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        self.environment.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
    }

    async fn ready(&mut self, url: &str) -> Result<()> {
        let deadline = Instant::now() + READY_MAX;
        while !self.system.control.is_fine(url).await {
            self.check()?;
            ensure!(Instant::now() < deadline, "{url} is not ready after 60 s; logs: {}", self.logs());
            sleep(POLL).await;
        }
        Ok(())
    }

    pub(super) async fn stop_workers(&mut self) -> Result<()> {
        for worker in self.workers.drain(..) {
            worker.stop().await?;
        }
        Ok(())
    }

    fn check(&mut self) -> Result<()> {
        let mut all = self.workers.iter_mut().chain(&mut self.web).chain([&mut self.system.simulator]);
        all.try_for_each(Program::check)
    }

    fn logs(&self) -> String {
        self.system.directory().display().to_string()
    }

    /// Gives a sender a rate in segments a second.
    pub(super) async fn set_rate(&self, sender: &str, per_second: f64) -> Result<()> {
        let order = "INSERT INTO facteur.senders (address, rate) VALUES ($1, $2)";
        self.sql.execute(order, &[&sender, &per_second]).await?;
        Ok(())
    }

    pub(super) async fn publish(&self, jobs: impl Iterator<Item = Job>) -> Result<()> {
        self.producer.publish(jobs).await
    }

    /// Waits until the simulator has accepted so many.
    pub(super) async fn accepted(&mut self, count: usize) -> Result<Stats> {
        self.until(count, async |stage: &Self| Ok(stage.stats().await?.accepted)).await?;
        self.stats().await
    }

    /// Waits until a count has grown to `wanted`, as long as it moves.
    pub(super) async fn until(
        &mut self,
        wanted: usize,
        count: impl AsyncFn(&Self) -> Result<usize>,
    ) -> Result<()> {
        let (mut last, mut moved) = (0, Instant::now());
        loop {
            let found = count(self).await?;
            if found >= wanted {
                return Ok(());
            }
            if found > last {
                (last, moved) = (found, Instant::now());
            }
            self.check()?;
            if moved.elapsed() > STILL_MAX {
                bail!("{found} of {wanted} and nothing has moved for 60 s; logs: {}", self.logs());
            }
            sleep(POLL).await;
        }
    }

    /// Waits until every job is recorded as sent, and checks the sums: all accepted, none doubled.
    pub(super) async fn settle(&mut self, count: usize) -> Result<()> {
        self.until(count, async |stage: &Self| stage.sent().await).await?;
        let stats = self.stats().await?;
        ensure!(
            stats.accepted == count && stats.duplicates_by_recipient_and_text == 0,
            "the sums don't add up: {count} published, {} accepted, {} of them doubled",
            stats.accepted,
            stats.duplicates_by_recipient_and_text
        );
        Ok(())
    }

    /// Jobs that are recorded as sent, or as what comes after it.
    pub(super) async fn sent(&self) -> Result<usize> {
        let query = "SELECT count(*) FROM facteur.jobs WHERE status IN ('sent', 'delivered', 'read')";
        let count: i64 = self.sql.query_one(query, &[]).await?.try_get(0)?;
        Ok(usize::try_from(count)?)
    }

    pub(super) async fn arrivals(&self) -> Result<Vec<Arrival>> {
        arrivals::arrivals(&self.system.control).await
    }

    /// What the simulator has counted so far.
    pub(super) async fn stats(&self) -> Result<Stats> {
        self.system.control.stats().await
    }

    /// What everybody has used so far.
    pub(super) async fn usage(&self) -> Result<Usage> {
        let (broker, postgres) = usage::services();
        let database = self.system.database_url().rsplit('/').next().unwrap_or_default();
        let wal: i64 = self
            .sql
            .query_one("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::int8", &[])
            .await?
            .try_get(0)?;
        Ok(Usage {
            worker_s: self.workers.iter().map(|worker| usage::cpu_s(worker.pid())).sum(),
            web_s: self.web.as_ref().map(|web| usage::cpu_s(web.pid())),
            simulator_s: usage::cpu_s(self.system.simulator.pid()),
            postgres_s: postgres.map(|pid| usage::postgres_cpu_s(pid, database)),
            broker_s: broker.map(usage::cpu_s),
            wal_bytes: wal,
        })
    }

    /// Ends everything in order.
    pub(super) async fn end(mut self) -> Result<()> {
        self.stop_workers().await?;
        if let Some(web) = self.web.take() {
            web.stop().await?;
        }
        let directory = self.system.directory().to_owned();
        self.system.simulator.stop().await?;
        std::fs::remove_dir_all(&directory).with_context(|| directory.display().to_string())
    }
}

/// CPU seconds at one instant, since each process began. What can't be asked (a service of others) is absent.
pub(super) struct Usage {
    worker_s: f64,
    web_s: Option<f64>,
    simulator_s: f64,
    postgres_s: Option<f64>,
    broker_s: Option<f64>,
    wal_bytes: i64,
}

impl Usage {
    /// What was used from `earlier` on, for each of so many messages.
    pub(super) fn since(&self, earlier: &Self, messages: usize) -> Value {
        let thousands = number(messages) / 1_000.0;
        let each = |now: f64, then: f64| round((now - then) / thousands);
        let both = |now: Option<f64>, then: Option<f64>| Some(each(now?, then?));
        let wal = usize::try_from(self.wal_bytes - earlier.wal_bytes).unwrap_or_default();
        json!({
            "worker_cpu_s_per_1000": each(self.worker_s, earlier.worker_s),
            "web_cpu_s_per_1000": both(self.web_s, earlier.web_s),
            "postgres_cpu_s_per_1000": both(self.postgres_s, earlier.postgres_s),
            "broker_cpu_s_per_1000": both(self.broker_s, earlier.broker_s),
            "simulator_cpu_s_per_1000": each(self.simulator_s, earlier.simulator_s),
            "postgres_wal_bytes_per_message": round(number(wal) / number(messages)),
        })
    }
}

/// Where the programs of this bench write.
pub(super) fn directory() -> PathBuf {
    std::env::temp_dir().join(format!("facteur-bench-{}", std::process::id()))
}
