//! The processes on their stage, and how a plan's operations are done to them and undone.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::actor::Actor;
use super::metronome::Metronome;
use super::plan::{Link, Operation, Plan, Weather, Who};
use super::producer::Producer;
use super::traffic::{OPTED_OUT, RATES, Stream};
use super::{WITH_WEB, sql};
use crate::clock::{self, Micros};
use crate::system::{System, proxy};

/// Segments a second of the limited senders once it is calm.
const CALM_RATE: f64 = 100.0;

/// What was done, and what else the verdict must know.
#[derive(Debug, Clone, Default)]
pub(super) struct Chronicle {
    /// How often each operation was done.
    pub(super) operations: BTreeMap<String, u64>,
    /// Rates and when they were set.
    pub(super) rates: Vec<(Micros, String, f64)>,
    /// When an operation held calls up on their way or in their process, so that they arrive together.
    pub(super) held_up: Vec<(Micros, Micros)>,
    /// When the machine let us or the simulator stand still, so that calls arrive later than they left.
    pub(super) stalls: Vec<(Micros, Micros)>,
    /// Processes that didn't behave.
    pub(super) misbehaved: Vec<String>,
}

/// The stage.
pub(super) struct Stage {
    system: System,
    workers: Vec<Actor>,
    web: Option<Actor>,
    weather: Value,
    metronome: Metronome,
    /// Of the steps that hold calls up and are not undone yet: since when.
    holding: BTreeMap<u64, Micros>,
    /// What has happened so far.
    pub(super) chronicle: Chronicle,
}

impl Stage {
    /// Sets everything up and starts all processes.
    ///
    /// # Errors
    /// If something doesn't start.
    pub(super) async fn set(system: System, plan: &Plan) -> Result<Self> {
        let now = clock::now();
        for (sender, rate) in RATES {
            let set = "INSERT INTO facteur.senders (address, rate) VALUES ($1, $2)";
            sql::execute(&system, set, &[&sender, &rate]).await?;
        }
        system.control.post("opt-outs", &json!({"to": OPTED_OUT})).await?;
        let mut common = vec![("FACTEUR_CONCURRENCY", "32".to_owned())];
        let web = if WITH_WEB { Some(web(&system).await?) } else { None };
        if let Some((_, public_url)) = &web {
            common.push(("FACTEUR_PUBLIC_URL", public_url.clone()));
            common.push(("FACTEUR_UNCERTAIN_GRACE_S", plan.uncertain_grace_s.to_string()));
        }
        let mut workers = Vec::new();
        for number in 0..plan.workers {
            let links = system.links().await?;
            let environment = [system.environment(Some(&links))?, common.clone()].concat();
            workers.push(Actor::new(format!("worker-{number}"), &["worker"], environment, links));
        }
        let web = web.map(|(mut actor, _)| {
            actor.environment.extend(common);
            actor
        });
        let rates = RATES.iter().map(|(sender, rate)| (now, (*sender).to_owned(), *rate)).collect();
        let chronicle = Chronicle { rates, ..Chronicle::default() };
        let weather = weather(plan.weather, true);
        let metronome = Metronome::start(system.control.clone());
        let holding = BTreeMap::new();
        let mut stage = Self { system, workers, web, weather, metronome, holding, chronicle };
        stage.faults(None).await?;
        stage.start_all()?;
        sql::wait_until_consumed(&stage.system, plan.workers).await?;
        Ok(stage)
    }

    /// The ground.
    #[must_use]
    pub(super) fn system(&self) -> &System {
        &self.system
    }

    fn actors(&mut self) -> impl Iterator<Item = &mut Actor> {
        self.workers.iter_mut().chain(self.web.as_mut())
    }

    fn actor(&mut self, who: Who) -> Result<&mut Actor> {
        let actor = match who {
            Who::Worker(number) => self.workers.get_mut(number),
            Who::Web => self.web.as_mut(),
        };
        actor.with_context(|| format!("{who:?} is not on the stage"))
    }

    fn start_all(&mut self) -> Result<()> {
        let Self { system, workers, web, .. } = self;
        workers.iter_mut().chain(web.as_mut()).try_for_each(|actor| actor.start(system))
    }

    /// Does an operation.
    ///
    /// # Errors
    /// If our own means fail; a process that does is in the chronicle.
    pub(super) async fn perform(
        &mut self,
        step: u64,
        operation: &Operation,
        producer: &Producer,
        seed: u64,
    ) -> Result<()> {
        self.look()?;
        *self.chronicle.operations.entry(operation.name()).or_default() += 1;
        if holds_up(operation) {
            self.holding.insert(step, clock::now());
        }
        match operation {
            Operation::Kill { who, .. } => self.actor(*who)?.kill().await?,
            Operation::Terminate { who, .. } => self.actor(*who)?.terminate()?,
            Operation::Freeze { who, .. } => self.actor(*who)?.freeze(),
            Operation::Cut { who, link, .. } => self.actor(*who)?.link(*link).cut().await,
            Operation::Stall { who, link, .. } => self.actor(*who)?.link(*link).stall(),
            Operation::Delay { who, link, delay_ms, .. } => {
                self.actor(*who)?.link(*link).delay(Duration::from_millis(*delay_ms));
            }
            Operation::HalfClose { who, link } => self.actor(*who)?.link(*link).half_close(),
            Operation::EndSessions => sql::end_sessions(&self.system).await?,
            Operation::Twilio { faults, .. } => self.faults(Some(faults)).await?,
            Operation::Rate { sender, rate } => self.set_rate(sender, *rate).await?,
            Operation::Burst { sender, jobs } => {
                producer.publish(Stream { seed, number: step + 1, sender: Some(sender) }, 0..*jobs).await?;
            }
        }
        Ok(())
    }

    /// Puts an operation right when its time is over.
    ///
    /// # Errors
    /// If our own means fail.
    pub(super) async fn undo(&mut self, step: u64, operation: &Operation) -> Result<()> {
        self.look()?;
        match operation {
            Operation::Kill { who, .. } | Operation::Terminate { who, .. } => {
                let Self { system, workers, web, .. } = self;
                let actor = match who {
                    Who::Worker(number) => workers.get_mut(*number),
                    Who::Web => web.as_mut(),
                };
                actor.context("not on the stage")?.start(system)?;
            }
            Operation::Freeze { who, .. } => self.actor(*who)?.signal(Signal::CONT),
            Operation::Cut { who, link, .. } => self.actor(*who)?.link(*link).heal().await,
            Operation::Stall { who, link, .. } => self.actor(*who)?.link(*link).resume(),
            Operation::Delay { who, link, .. } => self.actor(*who)?.link(*link).delay(Duration::ZERO),
            Operation::Twilio { .. } => self.faults(None).await?,
            Operation::HalfClose { .. }
            | Operation::EndSessions
            | Operation::Rate { .. }
            | Operation::Burst { .. } => {}
        }
        // Not when it was to be over: whoever is slow to undo it holds calls up for longer.
        self.chronicle.held_up.extend(self.holding.remove(&step).map(|since| (since, clock::now())));
        Ok(())
    }

    /// Everything is put right, and everybody runs.
    ///
    /// # Errors
    /// If our own means fail.
    pub(super) async fn calm(&mut self, weather_of: Weather) -> Result<()> {
        self.look()?;
        for actor in self.actors() {
            actor.signal(Signal::CONT);
            for link in [Link::Broker, Link::Database, Link::Twilio] {
                let link = actor.link(link);
                link.resume();
                link.delay(Duration::ZERO);
                link.heal().await;
            }
        }
        let outlasted = std::mem::take(&mut self.holding).into_values();
        self.chronicle.held_up.extend(outlasted.map(|since| (since, clock::now())));
        self.weather = weather(weather_of, false);
        self.faults(None).await?;
        // What bursts have piled up leaves within the calm, still no faster than it may.
        for (sender, _) in RATES {
            self.set_rate(sender, CALM_RATE).await?;
        }
        self.start_all()
    }

    async fn set_rate(&mut self, sender: &str, rate: f64) -> Result<()> {
        let set = "UPDATE facteur.senders SET rate = $2, updated_at = clock_timestamp() WHERE address = $1";
        sql::execute(&self.system, set, &[&sender, &rate]).await?;
        self.chronicle.rates.push((clock::now(), sender.to_owned(), rate));
        Ok(())
    }

    /// Stops everybody, as an operator would, and waits until they are gone.
    ///
    /// # Errors
    /// If our own means fail.
    pub(super) async fn stop(&mut self) -> Result<()> {
        self.look()?;
        for actor in self.actors() {
            actor.terminate()?;
        }
        for actor in self.workers.iter_mut().chain(self.web.as_mut()) {
            self.chronicle.misbehaved.extend(actor.gone().await?);
        }
        self.chronicle.stalls = self.metronome.stalls();
        Ok(())
    }

    /// Tells of processes that ended by themselves. Who found the port of its predecessor still taken is started again,
    /// as a supervisor does.
    fn look(&mut self) -> Result<()> {
        let Self { system, workers, web, chronicle, .. } = self;
        for actor in workers.iter_mut().chain(web.as_mut()) {
            chronicle.misbehaved.extend(actor.look(system)?);
        }
        Ok(())
    }

    /// The simulator's faults: those of the weather, and before them those of an operation.
    async fn faults(&self, operation: Option<&Value>) -> Result<()> {
        let plan = under(&self.weather, operation.unwrap_or(&Value::Null));
        self.system.control.faults(&plan).await
    }
}

/// Whether an operation holds up calls that are on their way.
fn holds_up(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::Stall { who: Who::Worker(_), link: Link::Twilio, .. }
            | Operation::Delay { who: Who::Worker(_), link: Link::Twilio, .. }
            | Operation::Freeze { who: Who::Worker(_), .. }
    )
}

/// The weather as a fault plan of the simulator.
fn weather(weather: Weather, is_storm: bool) -> Value {
    let mut plan = json!({"list_lag_ms": weather.list_lag_s * 1_000});
    if weather.no_callbacks {
        plan["callbacks"] = json!({"missing": {}});
    }
    if is_storm && weather.lost_replies_percent > 0.0 {
        let probability = (weather.lost_replies_percent / 100.0).min(1.0);
        plan["rules"] = json!([{"fault": "reply_lost", "probability": probability}]);
    }
    plan
}

/// One fault plan under another: rules after its rules, the rest where it is silent or milder.
fn under(weather: &Value, operation: &Value) -> Value {
    let mut plan = if operation.is_object() { operation.clone() } else { json!({}) };
    let rules =
        [operation, weather].into_iter().filter_map(|plan| plan["rules"].as_array().cloned()).flatten();
    plan["rules"] = Value::Array(rules.collect());
    let lag = [operation, weather].into_iter().filter_map(|plan| plan["list_lag_ms"].as_u64()).max();
    plan["list_lag_ms"] = json!(lag.unwrap_or(0));
    if weather["callbacks"].is_object() {
        plan["callbacks"] = weather["callbacks"].clone();
    }
    plan
}

/// The process that takes callbacks, and the address at which Twilio reaches it.
async fn web(system: &System) -> Result<(Actor, String)> {
    let [port] = facteur_testkit::free_ports()?;
    let callbacks = proxy(&format!("http://127.0.0.1:{port}")).await?;
    let public_url = format!("http://{}", callbacks.addr());
    let mut links = system.links().await?;
    let mut environment = system.environment(Some(&links))?;
    environment.push(("FACTEUR_LISTEN", format!("127.0.0.1:{port}")));
    links.twilio = callbacks;
    Ok((Actor::new("web".to_owned(), &["web"], environment, links), public_url))
}
