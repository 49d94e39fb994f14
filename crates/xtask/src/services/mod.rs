//! RabbitMQ and PostgreSQL for development and tests: those of `AMQP_URL` and `DATABASE_URL` if set, else private
//! ones of this checkout.

mod apt;
mod postgres;
mod programs;
mod rabbit;
mod state;

use std::path::Path;

use anyhow::{Context, Result};

use crate::{env, say};
use state::{Instance, Paths, State};

/// What a call of [`up`] started, and [`stop`] stops again.
#[derive(Debug)]
pub(crate) struct Started {
    broker: bool,
    database: bool,
}

/// Services that somebody else runs for us.
#[derive(Debug, Clone, Default)]
struct Foreign {
    amqp_url: Option<String>,
    database_url: Option<String>,
}

impl Foreign {
    fn of_environment() -> Self {
        Self { amqp_url: env::amqp_url(), database_url: env::database_url() }
    }
}

/// Makes sure that both services answer, starting what is not there.
pub(crate) async fn up(root: &Path) -> Result<Started> {
    up_beside(root, Foreign::of_environment()).await
}

async fn up_beside(root: &Path, foreign: Foreign) -> Result<Started> {
    let paths = Paths::of(root);
    state::directory(&paths.directory)?;
    let _lock = paths.lock().await?;
    let mut state = State::load(&paths);
    let broker = match foreign.amqp_url {
        Some(url) => {
            rabbit::check(&url).await.map(|()| false).context("the broker of AMQP_URL doesn't answer")?
        }
        None => broker(&paths, &mut state).await?,
    };
    let database = match foreign.database_url {
        Some(url) => postgres::check(&url)
            .await
            .map(|()| false)
            .context("the database of DATABASE_URL doesn't answer")?,
        None => database(&paths, &mut state).await?,
    };
    Ok(Started { broker, database })
}

async fn broker(paths: &Paths, state: &mut State) -> Result<bool> {
    if let (Some(url), true) = (&state.amqp_url, state.broker.as_ref().is_some_and(Instance::is_alive))
        && rabbit::check(url).await.is_ok()
    {
        return Ok(false);
    }
    stop_broker(paths, state).await?;
    if let Err(error) = rabbit::start(paths, state).await {
        stop_processes(state.broker.as_ref()).await?;
        return Err(error);
    }
    Ok(true)
}

async fn database(paths: &Paths, state: &mut State) -> Result<bool> {
    if let (Some(url), true) = (&state.database_url, state.database.as_ref().is_some_and(Instance::is_alive))
        && postgres::check(url).await.is_ok()
    {
        return Ok(false);
    }
    stop_database(paths, state).await?;
    if let Err(error) = postgres::start(paths, state).await {
        stop_processes(state.database.as_ref()).await?;
        return Err(error);
    }
    Ok(true)
}

/// Stops everything that runs for this checkout and removes its data; what others run stays as it is.
pub(crate) async fn down(root: &Path) -> Result<()> {
    stop(root, &Started { broker: true, database: true }).await
}

/// Stops what was started and removes its data.
pub(crate) async fn stop(root: &Path, started: &Started) -> Result<()> {
    let paths = Paths::of(root);
    let _lock = paths.lock().await?;
    let mut state = State::load(&paths);
    if started.broker {
        stop_broker(&paths, &mut state).await?;
    }
    if started.database {
        stop_database(&paths, &mut state).await?;
    }
    Ok(())
}

/// Stops the services and removes everything they left.
pub(crate) async fn clean(root: &Path) -> Result<()> {
    down(root).await?;
    let paths = Paths::of(root);
    let _lock = paths.lock().await?;
    if paths.directory.exists() {
        std::fs::remove_dir_all(&paths.directory)
            .with_context(|| format!("can't remove {}", paths.directory.display()))?;
    }
    Ok(())
}

async fn stop_broker(paths: &Paths, state: &mut State) -> Result<()> {
    (state.amqp_url, state.management_url) = (None, None);
    state.save(paths)?;
    if let Some(instance) = &state.broker {
        instance.stop().await?;
    }
    state.broker = None;
    state.save(paths)
}

async fn stop_database(paths: &Paths, state: &mut State) -> Result<()> {
    state.database_url = None;
    state.save(paths)?;
    if let Some(instance) = &state.database {
        instance.stop().await?;
    }
    state.database = None;
    state.save(paths)
}

/// Stops a service that did not come up, but keeps its logs for whoever wants to know why.
async fn stop_processes(instance: Option<&Instance>) -> Result<()> {
    match instance {
        Some(instance) => instance.stop_processes().await,
        None => Ok(()),
    }
}

/// Prints where the services are.
pub(crate) async fn status(root: &Path) -> Result<bool> {
    let (state, foreign) = (State::load(&Paths::of(root)), Foreign::of_environment());
    let mut all_answer = true;
    let rows = [
        ("RabbitMQ", "AMQP_URL", foreign.amqp_url, &state.amqp_url, &state.broker),
        ("PostgreSQL", "DATABASE_URL", foreign.database_url, &state.database_url, &state.database),
    ];
    for (name, variable, foreign, own, instance) in rows {
        let Some(url) = foreign.as_ref().or(own.as_ref()) else {
            all_answer = false;
            say::result(&format!("{name}: not running; start it with `cargo xtask services up`"));
            continue;
        };
        let answer = if name == "RabbitMQ" { rabbit::check(url).await } else { postgres::check(url).await };
        let word = if answer.is_ok() { "answers" } else { "does not answer" };
        all_answer &= answer.is_ok();
        match (foreign.is_some(), instance) {
            (false, Some(instance)) => describe(name, word, variable, url, instance),
            _ => say::result(&format!("{name}: {word}; the one that {variable} names")),
        }
    }
    Ok(all_answer)
}

fn describe(name: &str, word: &str, variable: &str, url: &str, instance: &Instance) {
    let processes: Vec<String> = instance.processes.iter().map(|p| format!("{} {}", p.name, p.pid)).collect();
    say::result(&format!(
        "{name}: {word} ({}); data and logs in {}",
        processes.join(", "),
        instance.directory.display()
    ));
    say::result(&format!("  export {variable}='{url}'"));
    if let Some(control) = instance.environment.get("RABBITMQCTL") {
        let names = ["HOME", "ERL_EPMD_PORT", "RABBITMQ_NODENAME"];
        let settings =
            names.iter().filter_map(|name| Some(format!("{name}='{}'", instance.environment.get(*name)?)));
        say::result(&format!("  {} {control} list_queues", settings.collect::<Vec<_>>().join(" ")));
    }
}

#[cfg(test)]
#[path = "services_tests.rs"]
mod tests;
