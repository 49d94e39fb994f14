//! The subcommands, one file each.

mod adapters;
pub mod bulk;
mod bulk_follow;
pub mod cancel;
pub mod completions;
pub mod config;
pub mod dead;
pub mod doctor;
pub mod integrations;
pub mod keys;
pub mod limits;
pub mod migrate;
pub mod pause;
mod process;
pub mod send;
pub mod status;
pub mod tail;
pub mod templates;
pub mod tenants;
pub mod up;
pub mod web;
pub mod worker;

use anyhow::Context;

use crate::cli::{Cli, Command, ConfigCommand, ReferencePage};
use crate::config::{Loaded, Problems, load, reference_page, sample_file, sources};
use crate::exit::Exit;
use crate::output::{Output, print};
use crate::reference::{cli_page, metrics_page, openapi_page, schema_page, states_page};
use crate::stack;
use crate::telemetry::{self, Role};

/// Runs what the command line asks for.
///
/// # Errors
/// Whatever the command says; [`Problems`] if the command line or the configuration is wrong.
pub fn run(cli: &Cli, output: Output) -> anyhow::Result<Exit> {
    let ready = |role| ready(cli, role);
    match &cli.command {
        // What is made from the code alone works under any configuration.
        Command::Completions { shell } => completions::run(*shell),
        Command::Reference { page: ReferencePage::Cli } => printed(&cli_page()),
        Command::Reference { page: ReferencePage::Configuration } => printed(&reference_page()),
        Command::Reference { page: ReferencePage::Metrics } => printed(&metrics_page()),
        Command::Reference { page: ReferencePage::Openapi } => printed(&openapi_page()?),
        Command::Reference { page: ReferencePage::Schema } => printed(&schema_page()?),
        Command::Reference { page: ReferencePage::States } => printed(&states_page()),
        Command::Config(ConfigCommand::Sample) => printed(&sample_file()),
        Command::Config(ConfigCommand::Show) => config::show(&configuration(cli)?, output),
        Command::Config(ConfigCommand::Check) => config::check(&configuration(cli)?, output),
        Command::Up(_) => until_done(up::run(&able(cli)?)),
        Command::Worker(_) => until_done(worker::run(&able(cli)?)),
        Command::Web => until_done(web::run(&able(cli)?)),
        Command::Migrate => until_done(migrate::run(&ready(Role::Command)?.config, output)),
        Command::Send(args) => until_done(send::run(args, &ready(Role::Command)?.config, output)),
        Command::Bulk(args) => until_done(bulk::run(args, &ready(Role::Command)?.config, output)),
        Command::Status(args) => until_done(status::run(args, &ready(Role::Command)?.config, output)),
        Command::Tail(args) => until_done(tail::run(args, &ready(Role::Command)?.config, output)),
        Command::Doctor => until_done(doctor::run(&ready(Role::Command)?, output)),
        Command::Pause(command) => until_done(pause::run(command, &ready(Role::Command)?.config, output)),
        Command::Resume(args) => until_done(pause::resume(args, &ready(Role::Command)?.config, output)),
        Command::Cancel(args) => until_done(cancel::run(args, &ready(Role::Command)?.config, output)),
        Command::Keys(command) => until_done(keys::run(command, &ready(Role::Command)?.config, output)),
        Command::Limits(command) => until_done(limits::run(command, &ready(Role::Command)?.config, output)),
        Command::Integrations(command) => {
            until_done(integrations::run(command, &ready(Role::Command)?.config, output))
        }
        Command::Templates(command) => {
            until_done(templates::run(command, &ready(Role::Command)?.config, output))
        }
        Command::Tenants(command) => until_done(tenants::run(command, &ready(Role::Command)?.config, output)),
        Command::Dead(command) => until_done(dead::run(command, &ready(Role::Command)?.config, output)),
    }
}

fn configuration(cli: &Cli) -> Result<Loaded, Problems> {
    load(&sources(cli.global.config.as_deref(), cli.settings())?)
}

/// What every command needs that goes out to somebody.
fn ready(cli: &Cli, role: Role) -> anyhow::Result<Loaded> {
    let loaded = configuration(cli)?;
    telemetry::start(&loaded, role)?;
    if role == Role::Service {
        stack::deepen();
    }
    // Fails only if a provider is there already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(loaded)
}

/// What a worker and a web process need besides. Missing secrets are told before anything is taken or waited for.
fn able(cli: &Cli) -> anyhow::Result<Loaded> {
    configuration(cli)?.config.twilio.credentials()?;
    ready(cli, Role::Service)
}

fn until_done(command: impl Future<Output = anyhow::Result<Exit>>) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Runtime::new().context("the runtime can't be started")?;
    let ended = runtime.block_on(Box::pin(command));
    // A name lookup that hangs must not hold up the end.
    runtime.shutdown_background();
    ended
}

fn printed(text: &str) -> anyhow::Result<Exit> {
    print(text)?;
    Ok(Exit::Done)
}
