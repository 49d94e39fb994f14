//! The worker, put together: three lanes, the relays, the keeper and the duties, started and stopped in order.

use std::sync::Arc;
use std::time::Duration;

use facteur_amqp::{AmqpConfig, Consumer, ConsumerHealthHandle, Names, Publisher, PublisherHealthHandle};
use facteur_core::gcra::Rate;
use facteur_core::integration::Home;
use facteur_core::job::JobDefaults;
use facteur_core::lane::Lane;
use facteur_core::receipts::PollSchedule;
use facteur_core::vault::Keyring;
use facteur_postgres::{Callbacks, Database, DeadLetters, RateLines, Store, TemplateStore};
use facteur_twilio::TwilioClient;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::adapters::{LanePorts, StoreSlots};
use crate::clock::Clock;
use crate::heartbeat::Heartbeat;
use crate::lane_loop::{LifePanicked, Sources};
use crate::pacer::Pacer;
use crate::process::{Life, Settings};
use crate::pump::{Door, Pump};
use crate::receipts::Receipts;
use crate::reconciler::Reconciler;
pub use crate::reconciler::Reconciliation;
use crate::relay::Relay;
use crate::shared::Shared;
use crate::{budgets, bulks, duties, keeper, lane_loop, lines, metrics, probe};

/// The keeper files one by one, and an envelope may be large.
const KEEPER_PREFETCH: u16 = 2;
/// How long connections may take to close.
const BACKGROUND_STOP_MAX: Duration = Duration::from_secs(10);
/// How often the gauges of connections are set.
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);

/// Jobs that a lane has in its hands at once, at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permits {
    /// Of the urgent lane.
    pub urgent: u16,
    /// Of the normal lane.
    pub normal: u16,
    /// Of the bulk lane.
    pub bulk: u16,
}

impl Permits {
    pub(crate) fn of(self, lane: Lane) -> u16 {
        match lane {
            Lane::Urgent => self.urgent,
            Lane::Normal => self.normal,
            Lane::Bulk => self.bulk,
        }
    }
}

/// Everything that a worker is made of.
pub struct WorkerParts {
    /// The broker.
    pub amqp: AmqpConfig,
    /// Connections of the urgent lane alone.
    pub urgent_database: Database,
    /// Connections of everything else.
    pub database: Database,
    /// Twilio, for the account of the environment.
    pub twilio: TwilioClient,
    /// That account, and who sends over it.
    pub home: Home,
    /// What opens the credentials of tenants' accounts.
    pub keyring: Arc<Keyring>,
    /// What jobs take where they are silent.
    pub defaults: JobDefaults,
    /// Rate of senders that have none of their own; no limit if absent.
    pub default_rate: Option<Rate>,
    /// How evidence about uncertain messages is searched for.
    pub reconciliation: Reconciliation,
    /// Permits of each lane.
    pub permits: Permits,
    /// How long a stopping worker waits for the calls in flight.
    pub drain_max: Duration,
    /// What time it is; the heartbeat holds it against the database's.
    pub clock: Clock,
    /// When Twilio is asked for receipts that don't come.
    pub receipts: PollSchedule,
}

/// Why a worker ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum WorkerFault {
    /// A job's life, or a task, ended in a panic: a defect.
    #[error("{0}")]
    Panicked(String),
    /// A task that lasts as long as the worker ended by itself.
    #[error("{0} ended by itself")]
    Ended(&'static str),
}

/// What a task that lasts as long as the worker says when it ends.
type Ended = (&'static str, Result<(), LifePanicked>);

/// A worker that runs.
pub struct Worker {
    tasks: JoinSet<Ended>,
    stores: Vec<Store>,
    publishers: Vec<Publisher>,
    stopping: CancellationToken,
    closing: CancellationToken,
    readiness: Readiness,
}

/// Whether the worker really works, readable from anywhere.
#[derive(Clone)]
pub struct Readiness {
    consumers: Vec<(&'static str, ConsumerHealthHandle)>,
    publishers: Vec<PublisherHealthHandle>,
    started: Instant,
}

impl Readiness {
    /// What is missing; ready if nothing is.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let mut missing: Vec<String> = self
            .consumers
            .iter()
            .filter(|(_, health)| !health.get().consuming)
            .map(|(queue, _)| format!("not consuming the queue {queue}"))
            .collect();
        if self.publishers.iter().any(|health| !health.get().connected) {
            missing.push("no connection to publish on".to_owned());
        }
        missing
    }

    fn measure(&self) {
        for (queue, health) in &self.consumers {
            let health = health.get();
            let since = health.last_delivery.unwrap_or(self.started).elapsed();
            metrics::consumer(queue, health.consuming, since);
        }
        let healths = || self.publishers.iter().map(PublisherHealthHandle::get);
        metrics::publisher(healths().all(|health| health.connected), healths().any(|health| health.blocked));
    }
}

impl Worker {
    /// Starts everything; connections are made, and made again, in the background. Work begins to stop when
    /// `stopping` is cancelled.
    #[must_use]
    pub fn start(parts: WorkerParts, heartbeat: Heartbeat, stopping: CancellationToken) -> Self {
        let closing = CancellationToken::new();
        let names = Names::new(&parts.amqp.prefix);
        let urgent_publisher = Publisher::start(parts.amqp.clone(), closing.clone());
        let publisher = Publisher::start(parts.amqp.clone(), closing.clone());
        let mut worker = Self {
            tasks: JoinSet::new(),
            stores: Vec::new(),
            readiness: Readiness {
                consumers: Vec::new(),
                publishers: vec![urgent_publisher.health_handle(), publisher.health_handle()],
                started: Instant::now(),
            },
            publishers: vec![urgent_publisher.clone(), publisher.clone()],
            stopping,
            closing,
        };
        let shared = Shared::new(&parts, worker.closing.clone());
        let mut pump = Pump {
            rate_lines: RateLines::new(parts.database.clone()),
            directory: shared.directory.clone(),
            breakers: shared.breakers.clone(),
            home: Arc::clone(&shared.home),
            default_rate: parts.default_rate,
            anchor: Arc::clone(&shared.anchor),
            clock: parts.clock.clone(),
            doors: std::collections::BTreeMap::new(),
            bell: Arc::clone(&shared.bell),
        };
        let mut governed = Vec::new();
        for lane in Lane::ALL {
            let (database, publisher) = match lane {
                Lane::Urgent => (&parts.urgent_database, &urgent_publisher),
                Lane::Normal | Lane::Bulk => (&parts.database, &publisher),
            };
            let ports = worker.lane_ports(lane, (database, publisher), &parts, &shared);
            let door = worker.start_lane(lane, ports, &parts, &names);
            governed.push((lane, Arc::clone(&door.permits)));
            pump.doors.insert(lane, door);
        }
        let stopping = worker.stopping.clone();
        worker.spawn("the pump of the lines", pump.run(stopping.clone()));
        worker.spawn("the governor of concurrency", shared.governor.clone().run(governed, stopping.clone()));
        worker.start_background(&parts, &names, &urgent_publisher, &publisher, &shared);
        worker.start_receipts(&parts, &shared);
        worker.spawn("the heartbeat", heartbeat.run(stopping));
        worker
    }

    fn lane_ports(
        &mut self,
        lane: Lane,
        (database, publisher): (&Database, &Publisher),
        parts: &WorkerParts,
        shared: &Shared,
    ) -> LanePorts {
        let store = Store::start(database.clone());
        self.stores.push(store.clone());
        let (anchor, closing) = (Arc::clone(&shared.anchor), self.closing.clone());
        LanePorts {
            pacer: Pacer::new(StoreSlots { store: store.clone(), anchor, closing: closing.clone() }, lane),
            store,
            publisher: publisher.clone(),
            accounts: shared.accounts.clone(),
            breakers: shared.breakers.clone(),
            governor: shared.governor.clone(),
            templates: TemplateStore::new(database.clone()),
            directory: shared.directory.clone(),
            lane,
            home: Arc::clone(&shared.home),
            default_rate: parts.default_rate,
            ladder_unit: parts.amqp.delay_unit,
            bell: Arc::clone(&shared.bell),
            closing,
        }
    }

    fn start_lane(&mut self, lane: Lane, ports: LanePorts, parts: &WorkerParts, names: &Names) -> Door {
        let permits = parts.permits.of(lane).max(1);
        let directory = ports.directory.clone();
        let life = Life {
            ports,
            clock: parts.clock.clone(),
            settings: Settings { defaults: parts.defaults.clone(), ladder_unit: parts.amqp.delay_unit },
            stopping: self.stopping.clone(),
        };
        // The consumer ends with the lane's own drain, not before it.
        let prefetch = lane_loop::prefetch(permits);
        let consumer = Consumer::start(parts.amqp.clone(), names.queue(lane), prefetch, self.closing.clone());
        self.readiness.consumers.push((lane.as_str(), consumer.health_handle()));
        let (drain_max, stopping) = (parts.drain_max, self.stopping.clone());
        let (into_lane, pulled) = mpsc::channel(usize::from(permits));
        let permits = Arc::new(Semaphore::new(usize::from(permits)));
        let door = Door { permits: Arc::clone(&permits), pulled: into_lane };
        let weight_of = move |tenant: &str| directory.weight_of(tenant);
        let sources = Sources { consumer, pulled, permits, weight_of };
        let lane_loop = lane_loop::run(lane, sources, Arc::new(life), drain_max, stopping);
        self.tasks.spawn(async move { (lane.as_str(), lane_loop.await) });
        door
    }

    /// Starts a task that lasts until `stopping` is cancelled.
    fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(async move {
            task.await;
            (name, Ok(()))
        });
    }

    fn start_background(
        &mut self,
        parts: &WorkerParts,
        names: &Names,
        urgent_publisher: &Publisher,
        publisher: &Publisher,
        shared: &Shared,
    ) {
        let dead = Consumer::start(parts.amqp.clone(), names.dead(), KEEPER_PREFETCH, self.closing.clone());
        self.readiness.consumers.push(("dead", dead.health_handle()));
        let dead_letters = DeadLetters::new(parts.database.clone());
        self.spawn(
            "the keeper of dead letters",
            keeper::keep_for_ever(dead, dead_letters, self.stopping.clone()),
        );
        let mut nudges = Vec::new();
        for name in ["urgent", "normal", "bulk", "events"] {
            let (database, publisher) = match name {
                "urgent" => (&parts.urgent_database, urgent_publisher),
                _ => (&parts.database, publisher),
            };
            let nudge = Arc::new(Notify::new());
            nudges.push(Arc::clone(&nudge));
            let relay = Relay { name, database: database.clone(), publisher: publisher.clone(), nudge };
            self.spawn("a relay of the outbox", relay.run(self.stopping.clone()));
        }
        let (database, stopping) = (parts.database.clone(), self.stopping.clone());
        let lines = lines::release_for_ever(database.clone(), nudges.clone(), stopping.clone());
        self.spawn("the release of paused jobs", lines);
        let budgets = budgets::release_for_ever(database.clone(), nudges.clone(), stopping.clone());
        self.spawn("the release of jobs that budgets held back", budgets);
        self.spawn("the counting of lines", lines::count_for_ever(database.clone(), stopping.clone()));
        let dripper = bulks::drip_for_ever(database.clone(), nudges.clone(), stopping.clone());
        self.spawn("the dripper of bulks", dripper);
        let duty = probe::Duty {
            breakers: shared.breakers.clone(),
            database: database.clone(),
            accounts: shared.accounts.clone(),
            directory: shared.directory.clone(),
            home: Arc::clone(&shared.home),
            nudges: nudges.clone(),
        };
        self.spawn("the duty of breakers", duty.run(stopping.clone()));
        let account = parts.twilio.account_sid().to_owned();
        self.spawn("the sweep", duties::sweep_for_ever(database.clone(), account, nudges, stopping.clone()));
        let reconciler = Reconciler {
            database: database.clone(),
            accounts: shared.accounts.clone(),
            clock: parts.clock.clone(),
            settings: parts.reconciliation,
            ladder_unit: parts.amqp.delay_unit,
        };
        self.spawn("the search for evidence", reconciler.run(stopping.clone()));
        self.spawn("the forgetting", duties::redact_for_ever(database.clone(), stopping.clone()));
        self.spawn("the measuring", duties::measure_for_ever(database, stopping.clone()));
        let readiness = self.readiness.clone();
        self.spawn("the watch over connections", async move {
            while stopping.run_until_cancelled(tokio::time::sleep(HEALTH_INTERVAL)).await.is_some() {
                readiness.measure();
            }
        });
    }

    fn start_receipts(&mut self, parts: &WorkerParts, shared: &Shared) {
        let callbacks = Callbacks::start(parts.database.clone());
        let receipts = || Receipts {
            database: parts.database.clone(),
            callbacks: callbacks.clone(),
            accounts: shared.accounts.clone(),
            schedule: parts.receipts,
        };
        self.spawn("the walk for missing receipts", receipts().walk_for_ever(self.stopping.clone()));
        self.spawn("the poll of missing receipts", receipts().poll_for_ever(self.stopping.clone()));
    }

    /// Whether it really works.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// Runs until `stopping` is cancelled and everything has ended in order: consumers take nothing more, calls in
    /// flight finish and are recorded and acknowledged, connections close. A task that ends by itself ends the others
    /// in the same order.
    ///
    /// # Errors
    /// The first [`WorkerFault`]; the process should end with a failure.
    pub async fn run(mut self) -> Result<(), WorkerFault> {
        let mut fault = None;
        while let Some(ended) = self.tasks.join_next().await {
            let found = match ended {
                Ok((_, Err(panicked))) => Some(WorkerFault::Panicked(panicked.to_string())),
                Ok((name, Ok(()))) if !self.stopping.is_cancelled() => Some(WorkerFault::Ended(name)),
                Ok(_) => None,
                Err(error) => Some(WorkerFault::Panicked(error.to_string())),
            };
            if let Some(found) = found {
                tracing::error!(fault = %found, "the worker stops");
                fault.get_or_insert(found);
                self.stopping.cancel();
            }
        }
        self.closing.cancel();
        let closed = timeout(BACKGROUND_STOP_MAX, async {
            for store in &self.stores {
                store.shutdown().await;
            }
            for publisher in &self.publishers {
                publisher.stopped().await;
            }
        });
        if closed.await.is_err() {
            tracing::warn!("some connections did not close in time");
        }
        fault.map_or(Ok(()), Err)
    }
}
