//! Migrations: the numbered files of `migrations/`, embedded, each applied once and in its own transaction.
//! How to write one stands beside them in `migrations/README.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio_postgres::Client;

use crate::batch_error::{BatchFailure, classify};
use crate::connect_error::ConnectError;
use crate::pool::{self, PostgresConfig};

macro_rules! migrations {
    ($( $version:literal $name:literal ),+ $(,)?) => {
        &[ $( Migration {
            version: $version,
            name: $name,
            sql: include_str!(concat!("../../../migrations/", $name, ".sql")),
        } ),+ ]
    };
}

/// Every migration, in order. A file that was released is never changed again.
const MIGRATIONS: &[Migration] = migrations![
    1 "0001_spine", 2 "0002_waiting_lines", 3 "0003_holds", 4 "0004_reconciliations", 5 "0005_callbacks",
    6 "0006_receipts", 7 "0007_workers", 8 "0008_oldest_waiting", 9 "0009_access", 10 "0010_accepting", 11 "0011_bulks",
    12 "0012_templates", 13 "0013_integrations", 14 "0014_inbox", 15 "0015_rules", 16 "0016_urgent_debts",
    17 "0017_erasing", 18 "0018_bulk_costs", 19 "0019_pages",
];

/// `facteur` in ASCII: whoever migrates holds this session lock.
const LOCK_KEY: i64 = 0x0066_6163_7465_7572;
/// The lock is polled: a waiter that blocks inside Postgres holds a snapshot, for which a `CREATE INDEX
/// CONCURRENTLY` of the holder would wait in turn.
const LOCK_POLL_EVERY: Duration = Duration::from_millis(200);
const LOCK_POLLS_MAX: u32 = 300;

const TABLE: &str = "CREATE SCHEMA IF NOT EXISTS facteur; \
     CREATE TABLE IF NOT EXISTS facteur.schema_migrations ( \
         version integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, \
         applied_at timestamptz NOT NULL DEFAULT clock_timestamp())";

struct Migration {
    version: i32,
    name: &'static str,
    sql: &'static str,
}

impl Migration {
    fn checksum(&self) -> String {
        Sha256::digest(self.sql.as_bytes()).iter().fold(String::new(), |mut hex, byte| {
            // Writing to a String can't fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

/// Why the schema could not be brought up to date. What was applied before stays applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MigrateError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Somebody else has been migrating for a minute.
    #[error("another process has been migrating this database for over a minute: wait for it, or end it")]
    Locked,
    /// An applied file is not what it was.
    #[error(
        "migration {name} was changed after it had been applied to this database: restore the file, \
         and put the change into a new one"
    )]
    Changed {
        /// Which.
        name: String,
    },
    /// A file failed; its transaction was rolled back.
    #[error("migration {name} failed and was rolled back: {why}")]
    Failed {
        /// Which.
        name: String,
        /// What Postgres said.
        why: String,
    },
    /// The table of migrations could not be read or written.
    #[error("the table facteur.schema_migrations can't be used: {0}")]
    Table(#[from] BatchFailure),
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Names of the files that were applied now.
    pub applied: Vec<String>,
    /// How many had been applied before.
    pub already: usize,
    /// Names of migrations in the database that this release doesn't know: a newer one has been here. That is
    /// allowed, for migrations never break the previous release, but worth a warning.
    pub newer: Vec<String>,
}

/// How far a database is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SchemaStatus {
    /// How many of our files are applied.
    pub applied: usize,
    /// Names of those that are not.
    pub pending: Vec<String>,
    /// As [`Report::newer`].
    pub newer: Vec<String>,
}

impl SchemaStatus {
    /// One line for a person.
    #[must_use]
    pub fn sentence(&self) -> String {
        match (self.pending.len(), self.newer.len()) {
            (0, 0) => format!("up to date ({} applied)", self.applied),
            (0, newer) => format!("newer than this release: {newer} unknown migrations (that is allowed)"),
            (pending, _) => format!("{pending} pending: run `facteur migrate`"),
        }
    }
}

/// Applies what is pending. Any number of processes may try at once: one works, the others wait for it.
///
/// # Errors
/// [`MigrateError`].
pub async fn run(config: &PostgresConfig) -> Result<Report, MigrateError> {
    apply(config, MIGRATIONS).await
}

/// How far the database is; changes nothing.
///
/// # Errors
/// [`MigrateError`], but `Locked` and `Failed`.
pub async fn status(config: &PostgresConfig) -> Result<SchemaStatus, MigrateError> {
    let client = pool::connect_alone(config).await?;
    let exists = "SELECT to_regclass('facteur.schema_migrations') IS NOT NULL";
    let exists: bool = client.query_one(exists, &[]).await.map_err(classify)?.get(0);
    let done = if exists { applied(&client).await? } else { BTreeMap::new() };
    verify(MIGRATIONS, &done)?;
    let pending: Vec<String> =
        pending(MIGRATIONS, &done).map(|migration| migration.name.to_owned()).collect();
    Ok(SchemaStatus { applied: MIGRATIONS.len() - pending.len(), pending, newer: newer(MIGRATIONS, &done) })
}

async fn apply(config: &PostgresConfig, migrations: &[Migration]) -> Result<Report, MigrateError> {
    let mut client = pool::connect_alone(config).await?;
    lock(&client).await?;
    // Building an index may take long; waiting for somebody else's lock must not, for others queue behind it.
    let limits = "SET statement_timeout = 0; SET lock_timeout = '10s'";
    client.batch_execute(limits).await.map_err(classify)?;
    client.batch_execute(TABLE).await.map_err(classify)?;
    let done = applied(&client).await?;
    verify(migrations, &done)?;
    let mut report = Report { newer: newer(migrations, &done), ..Report::default() };
    for migration in pending(migrations, &done) {
        apply_one(&mut client, migration)
            .await
            .map_err(|error| MigrateError::Failed { name: migration.name.to_owned(), why: told(&error) })?;
        report.applied.push(migration.name.to_owned());
    }
    report.already = migrations.len() - report.applied.len();
    // The session lock ends with the connection, which is dropped here.
    Ok(report)
}

async fn lock(client: &Client) -> Result<(), MigrateError> {
    for _ in 0..LOCK_POLLS_MAX {
        let row =
            client.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK_KEY]).await.map_err(classify)?;
        if row.get(0) {
            return Ok(());
        }
        tokio::time::sleep(LOCK_POLL_EVERY).await;
    }
    Err(MigrateError::Locked)
}

async fn apply_one(client: &mut Client, migration: &Migration) -> Result<(), tokio_postgres::Error> {
    let transaction = client.transaction().await?;
    transaction.batch_execute(migration.sql).await?;
    let note = "INSERT INTO facteur.schema_migrations (version, name, checksum) VALUES ($1, $2, $3)";
    transaction.execute(note, &[&migration.version, &migration.name, &migration.checksum()]).await?;
    transaction.commit().await
}

/// What the database says is applied: name and checksum by version.
async fn applied(client: &Client) -> Result<BTreeMap<i32, (String, String)>, BatchFailure> {
    let rows = client.query("SELECT version, name, checksum FROM facteur.schema_migrations", &[]).await;
    Ok(rows.map_err(classify)?.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect())
}

fn verify(migrations: &[Migration], done: &BTreeMap<i32, (String, String)>) -> Result<(), MigrateError> {
    let changed = |migration: &&Migration| {
        done.get(&migration.version).is_some_and(|(_, checksum)| *checksum != migration.checksum())
    };
    match migrations.iter().find(changed) {
        Some(migration) => Err(MigrateError::Changed { name: migration.name.to_owned() }),
        None => Ok(()),
    }
}

fn pending<'a>(
    migrations: &'a [Migration],
    done: &BTreeMap<i32, (String, String)>,
) -> impl Iterator<Item = &'a Migration> {
    migrations.iter().filter(|migration| !done.contains_key(&migration.version))
}

fn newer(migrations: &[Migration], done: &BTreeMap<i32, (String, String)>) -> Vec<String> {
    let is_unknown = |version: &i32| migrations.iter().all(|migration| migration.version != *version);
    done.iter().filter(|(version, _)| is_unknown(version)).map(|(_, (name, _))| name.clone()).collect()
}

/// A migration holds no personal data, so what Postgres says about it may be shown whole.
fn told(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(answer) => format!("{} (SQLSTATE {})", answer.message(), answer.code().code()),
        None => error.to_string(),
    }
}

#[cfg(test)]
#[path = "migrate_tests.rs"]
mod tests;
