//! One run: workers on a world in memory, and a list of what happens to them.

use std::sync::Arc;
use std::time::Duration;

use facteur_core::lane::Lane;
use facteur_core::reconcile::Policy;
use facteur_worker::process::{Life, Settings};
use tokio::runtime::Builder;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::ops::Op;
use crate::ports::MemoryPorts;
use crate::world::Shared;
use crate::{invariants, jobs};

/// How long one unit of the delay ladder lasts.
pub(crate) const LADDER_UNIT: Duration = Duration::from_secs(1);
/// Envelopes that a worker takes at once.
const PERMITS: usize = 8;
/// How long a stopping worker waits for the calls in flight.
const DRAIN_MAX: Duration = Duration::from_secs(30);
/// A run that is not at rest after so long never will be: no job lives longer than three days.
const AGE_MAX: Duration = Duration::from_hours(10 * 24);
/// More effects than any run needs: a run that goes on turns in a circle.
const EFFECTS_MAX: u64 = 50_000;

/// A run that is over.
pub(crate) struct Played {
    pub(crate) shared: Arc<Shared>,
    /// Every rule that was broken.
    pub(crate) broken: Vec<String>,
}

/// Plays a list from the start until everything is at rest. Runs of the same seed and list are the same.
pub(crate) fn play(seed: u64, workers: usize, ops: &[Op]) -> Played {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut run = Run::new(seed, workers);
        for op in ops {
            run.happen(*op).await;
        }
        let came_to_rest = run.come_to_rest().await;
        let mut broken = invariants::broken(&run.shared.world());
        if !came_to_rest {
            broken.push("it never came to rest".to_owned());
        }
        Played { shared: run.shared, broken }
    })
}

struct Worker {
    life: Arc<Life<MemoryPorts>>,
    lives: JoinSet<()>,
    is_up: bool,
}

struct Run {
    shared: Arc<Shared>,
    workers: Vec<Worker>,
    /// Workers so far, those that were started anew included.
    started: usize,
    /// Who is handed the next envelope.
    next: usize,
}

impl Run {
    fn new(seed: u64, workers: usize) -> Self {
        let mut run = Self { shared: Arc::new(Shared::new(seed)), workers: Vec::new(), started: 0, next: 0 };
        for _ in 0..workers {
            let worker = run.new_worker();
            run.workers.push(worker);
        }
        run
    }

    fn new_worker(&mut self) -> Worker {
        self.started += 1;
        let life = Life {
            ports: MemoryPorts { shared: Arc::clone(&self.shared), worker: self.started },
            clock: self.shared.world().clock.clone(),
            settings: Settings { defaults: jobs::defaults(), ladder_unit: LADDER_UNIT },
            stopping: CancellationToken::new(),
        };
        Worker { life: Arc::new(life), lives: JoinSet::new(), is_up: true }
    }

    async fn happen(&mut self, op: Op) {
        match op {
            Op::Advance { ms } => {
                let until = Instant::now() + Duration::from_millis(ms);
                self.work(Some(until), |_| false).await;
            }
            Op::Stop { worker } => self.stop(worker % self.workers.len()).await,
            Op::Start { worker } => self.start(worker % self.workers.len()),
            Op::Kill { worker } => self.kill(worker % self.workers.len()).await,
            op => self.set_up(op),
        }
    }

    /// What takes no time.
    fn set_up(&self, op: Op) {
        let mut world = self.shared.world();
        match op {
            Op::Publish(kind) => world.publish(kind),
            Op::Copy { nth } => world.broker.copy(nth),
            Op::Twilio(behaviour) => world.twilio.script.push_back(behaviour),
            Op::Crash { nth, when } => {
                let at = world.effects + nth;
                world.faults.crashes.insert(at, when);
            }
            Op::StallClaim { ms } => world.faults.stalled_claims.push_back(Duration::from_millis(ms)),
            Op::StallRecord { ms } => world.faults.stalled_records.push_back(Duration::from_millis(ms)),
            Op::LoseAnswer => world.faults.repeats += 1,
            Op::RefuseRow => world.faults.refused_rows += 1,
            Op::Sweep => world.sweep(),
            Op::EditTemplate => world.template.push('!'),
            Op::Pause => world.pause(),
            Op::Resume => world.resume(),
            Op::ListLag { s } => world.surroundings.list_lag = Duration::from_secs(s),
            Op::ListDown { is_down } => world.surroundings.is_list_down = is_down,
            Op::Callbacks(callbacks) => world.surroundings.callbacks = callbacks,
            Op::Resend => world.surroundings.policy = Policy::Resend,
            Op::Advance { .. } | Op::Stop { .. } | Op::Start { .. } | Op::Kill { .. } => {}
        }
    }

    /// Lets everything that is under way come to its end. Whether it did.
    async fn come_to_rest(&mut self) -> bool {
        self.shared.world().resume();
        // A life that ended in an error leaves its envelope to the next worker, once more at most per fault.
        for _ in 0..100 {
            for worker in 0..self.workers.len() {
                self.start(worker);
            }
            self.work(None, Self::is_at_rest).await;
            if !self.is_at_rest() {
                return false;
            }
            if !self.shared.world().broker.has_unacked() {
                return true;
            }
            for worker in 0..self.workers.len() {
                self.kill(worker).await;
            }
        }
        false
    }

    fn is_at_rest(&self) -> bool {
        let world = self.shared.world();
        world.next_due().is_none()
            && world.broker.is_quiet()
            && self.workers.iter().all(|worker| worker.lives.is_empty())
    }

    /// Works until `is_done` or until that instant.
    async fn work(&mut self, until: Option<Instant>, is_done: impl Fn(&Self) -> bool) {
        loop {
            self.reap().await;
            self.shared.world().tick();
            self.hand_out();
            let (age, effects) = {
                let world = self.shared.world();
                (world.age(), world.effects)
            };
            let is_over = until.is_some_and(|until| Instant::now() >= until);
            if is_over || is_done(self) || age > AGE_MAX || effects > EFFECTS_MAX {
                return;
            }
            let due = self.shared.world().next_due();
            let pull = self.shared.world().next_pull().filter(|_| self.workers.iter().any(is_free));
            let next = [due, pull, until].into_iter().flatten().min();
            let shared = Arc::clone(&self.shared);
            tokio::select! {
                biased;
                () = shared.changed.notified() => {}
                () = sleep_until(next.unwrap_or_else(|| Instant::now() + AGE_MAX)) => {}
            }
        }
    }

    /// Collects the lives that have ended, and buries a worker that has crashed.
    async fn reap(&mut self) {
        let crashed = std::mem::take(&mut self.shared.world().crashed);
        for crashed in crashed {
            let is_it = |worker: &Worker| worker.life.ports.worker == crashed;
            if let Some(index) = self.workers.iter().position(is_it) {
                self.kill(index).await;
            }
        }
        for worker in &mut self.workers {
            while let Some(ended) = worker.lives.try_join_next() {
                forward_panic(ended);
            }
        }
    }

    /// Hands out what is ready, to one worker after the other.
    fn hand_out(&mut self) {
        while self.workers.iter().any(is_free) {
            self.next = (self.next + 1) % self.workers.len();
            let worker = &mut self.workers[self.next];
            if !is_free(worker) {
                continue;
            }
            let life = Arc::clone(&worker.life);
            let pulled = self.shared.world().pull();
            if let Some((content, slot)) = pulled {
                worker.lives.spawn(async move {
                    let lane = Lane::from_routing_key(&content.routing_key).unwrap();
                    // Nothing is acknowledged: the row answers for it.
                    let _ = life.live(lane, &content, Some(slot)).await;
                    life.ports.shared.changed.notify_one();
                });
                continue;
            }
            let handed = self.shared.world().broker.hand_out(worker.life.ports.worker);
            let Some((tag, content)) = handed else { return };
            worker.lives.spawn(async move {
                // After an error the envelope is left alone.
                let lane = Lane::from_routing_key(&content.routing_key).unwrap();
                if let Ok(end) = life.live(lane, &content, None).await {
                    life.ports.ack(tag, end).await;
                }
                life.ports.shared.changed.notify_one();
            });
        }
    }

    /// SIGTERM: nothing more is taken, and what is in flight may end within the drain.
    async fn stop(&mut self, index: usize) {
        self.workers[index].is_up = false;
        self.workers[index].life.stopping.cancel();
        let until = Instant::now() + DRAIN_MAX;
        self.work(Some(until), |run| run.workers[index].lives.is_empty()).await;
        self.kill(index).await;
        self.workers[index].is_up = false;
    }

    fn start(&mut self, index: usize) {
        self.workers[index].is_up = true;
    }

    /// SIGKILL, and another one in its place.
    async fn kill(&mut self, index: usize) {
        self.shared.world().cut_off(self.workers[index].life.ports.worker);
        let worker = self.new_worker();
        let mut killed = std::mem::replace(&mut self.workers[index], worker);
        killed.lives.abort_all();
        while let Some(ended) = killed.lives.join_next().await {
            forward_panic(ended);
        }
    }
}

fn is_free(worker: &Worker) -> bool {
    worker.is_up && worker.lives.len() < PERMITS
}

fn forward_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}
