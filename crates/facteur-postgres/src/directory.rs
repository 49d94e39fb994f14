//! The directory: what a job's life must know of senders, pauses, cancelled bulks and tenants. A copy in memory, renewed
//! every second by two queries, so that a change reaches every worker within a second and no message waits for a query.
//! What must hold from its very commit on (pauses, cancellations, what is left of a budget) is tested again by the claim.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use facteur_core::gcra::Rate;
use facteur_core::hold::{Hold, Scope};
use facteur_core::ids::Tenant;
use facteur_core::lane::Lane;
use facteur_core::phone::Country;
use facteur_core::rules::TenantRules;
use facteur_core::sender::Sender;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_postgres::Row;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::batch_error::{BatchFailure, classify};
use crate::pool::Database;
use crate::tenants;

/// How often the copy is renewed.
const REFRESH_EVERY: Duration = Duration::from_secs(1);
/// Most rows of each table that are held in memory.
const ROWS_MAX: i64 = 10_000;
/// Bulks that were cancelled longer ago are refused by the claim alone.
const CANCELS_DAYS: f64 = 7.0;

const LOAD: &str = "(SELECT 'sender' AS kind, address AS key, tenant AS word, rate AS number FROM facteur.senders \
         ORDER BY address LIMIT $1) \
     UNION ALL (SELECT 'pause', scope || ':' || key, NULL, NULL FROM facteur.pauses \
         WHERE ended_at IS NULL AND (until IS NULL OR until > clock_timestamp()) ORDER BY scope, key LIMIT $1) \
     UNION ALL (SELECT 'cancel', bulk_id::text, NULL, NULL FROM facteur.bulk_cancels \
         WHERE created_at > clock_timestamp() - $2::float8 * interval '1 day' ORDER BY created_at DESC LIMIT $1)";

#[derive(Debug, Clone, Default)]
struct SenderEntry {
    tenant: Option<String>,
    rate: Option<Rate>,
}

#[derive(Debug, Default)]
struct Snapshot {
    senders: HashMap<String, SenderEntry>,
    pauses: HashSet<Scope>,
    canceled_bulks: HashSet<Uuid>,
    tenants: HashMap<String, tenants::Entry>,
    countries: Arc<HashMap<String, Country>>,
}

/// What a pause may be about, of one job.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The bulk that it is part of.
    pub bulk_id: Option<Uuid>,
    /// From which sender it leaves.
    pub sender: Option<&'a Sender>,
    /// Whose it is.
    pub tenant: &'a Tenant,
    /// In which lane it travels.
    pub lane: Lane,
    /// Over which account at Twilio, by its SID.
    pub account: &'a str,
}

impl Subject<'_> {
    /// What may be paused of it, the most specific first; the claim asks in the same order.
    fn scopes(&self) -> impl Iterator<Item = Scope> {
        let first = [self.bulk_id.map(Scope::Bulk), self.sender.cloned().map(Scope::Sender)];
        let rest = [
            Scope::Tenant(self.tenant.clone()),
            Scope::Lane(self.lane),
            Scope::Integration(self.account.to_owned()),
        ];
        first.into_iter().flatten().chain(rest)
    }
}

/// The copy in memory; cloning it is cheap. Questions wait for the first load, so that nobody takes a sender
/// for one without a limit while the database is not there yet.
#[derive(Clone)]
pub struct Directory {
    /// `None` until the first load.
    snapshot: Arc<watch::Sender<Option<Arc<Snapshot>>>>,
}

impl Directory {
    /// Loads the copy, and renews it every second until `stopping` is cancelled. While the database is away the last
    /// copy stands.
    #[must_use]
    pub fn start(database: Database, stopping: CancellationToken) -> Self {
        let snapshot = Arc::new(watch::Sender::new(None));
        let renewal = renew(database, Arc::clone(&snapshot));
        tokio::spawn(stopping.run_until_cancelled_owned(renewal));
        Self { snapshot }
    }

    /// The sender's own rate, if it has one.
    pub async fn rate_of(&self, address: &str) -> Option<Rate> {
        self.current().await.senders.get(address)?.rate
    }

    /// The tenant (its slug) that the sender belongs to, if it belongs to one.
    pub async fn tenant_of(&self, address: &str) -> Option<String> {
        self.current().await.senders.get(address)?.tenant.clone()
    }

    /// What keeps such a job back, if anything does: the most specific pause, or a budget of which nothing is left.
    pub async fn hold(&self, subject: Subject<'_>) -> Option<Hold> {
        let snapshot = self.current().await;
        let paused = || subject.scopes().find(|scope| snapshot.pauses.contains(scope)).map(Hold::Pause);
        let pause = if snapshot.pauses.is_empty() { None } else { paused() };
        let is_spent = || snapshot.tenants.get(subject.tenant.as_str()).is_some_and(|tenant| tenant.is_spent);
        pause.or_else(|| is_spent().then(|| Hold::Budget(subject.tenant.clone())))
    }

    /// What the tenant set; nothing, if it set nothing.
    pub async fn rules_of(&self, tenant: &Tenant) -> Arc<TenantRules> {
        let snapshot = self.current().await;
        snapshot.tenants.get(tenant.as_str()).map(|entry| Arc::clone(&entry.rules)).unwrap_or_default()
    }

    /// Whether everything from that sender, or over that account at Twilio (its SID), is paused.
    pub async fn is_paused(&self, sender: &Sender, account: &str) -> bool {
        let pauses = &self.current().await.pauses;
        !pauses.is_empty()
            && (pauses.contains(&Scope::Sender(sender.clone()))
                || pauses.contains(&Scope::Integration(account.to_owned())))
    }

    /// Whether the bulk was cancelled in the past seven days.
    pub async fn is_canceled(&self, bulk_id: Uuid) -> bool {
        self.current().await.canceled_bulks.contains(&bulk_id)
    }

    /// The countries of numbers without a country code, of those tenants (by slug) that set one.
    pub async fn countries(&self) -> Arc<HashMap<String, Country>> {
        Arc::clone(&self.current().await.countries)
    }

    /// The weight of a tenant among the others: 1 if it has none of its own, or before the first load.
    #[must_use]
    pub fn weight_of(&self, tenant: &str) -> u32 {
        let snapshot = self.snapshot.borrow();
        snapshot.as_ref().and_then(|snapshot| snapshot.tenants.get(tenant)).map_or(1, |entry| entry.weight)
    }

    async fn current(&self) -> Arc<Snapshot> {
        let mut snapshot = self.snapshot.subscribe();
        // We hold the sending side, so it can't close while we wait.
        snapshot.wait_for(Option::is_some).await.ok().and_then(|loaded| loaded.clone()).unwrap_or_default()
    }
}

async fn renew(database: Database, snapshot: Arc<watch::Sender<Option<Arc<Snapshot>>>>) {
    let mut ticks = tokio::time::interval(REFRESH_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_stale = false;
    loop {
        ticks.tick().await;
        match load(&database).await {
            Ok(fresh) => {
                snapshot.send_replace(Some(Arc::new(fresh)));
                is_stale = false;
            }
            Err(error) => {
                if !is_stale {
                    tracing::warn!(
                        "senders, pauses and tenants can't be renewed, the last copy stands: {error}"
                    );
                }
                is_stale = true;
            }
        }
    }
}

async fn load(database: &Database) -> Result<Snapshot, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(LOAD).await.map_err(classify)?;
    let rows = client.query(&statement, &[&ROWS_MAX, &CANCELS_DAYS]).await.map_err(classify)?;
    let tenants = tenants::load(&client, ROWS_MAX).await?;
    let country =
        |(slug, entry): &(String, tenants::Entry)| Some((slug.clone(), entry.rules.default_country?));
    let countries = Arc::new(tenants.iter().filter_map(country).collect());
    let mut snapshot = Snapshot { tenants: tenants.into_iter().collect(), countries, ..Snapshot::default() };
    rows.iter().for_each(|row| snapshot.add(row));
    if i64::try_from(snapshot.senders.len()).is_ok_and(|count| count >= ROWS_MAX) {
        tracing::error!(
            most = ROWS_MAX,
            "facteur.senders holds more rows than are read: the rest has no rate"
        );
    }
    Ok(snapshot)
}

impl Snapshot {
    /// Rows that a newer release means otherwise are passed over; the tables' CHECKs keep numbers in range.
    fn add(&mut self, row: &Row) {
        let (key, number): (&str, Option<f64>) = (row.get("key"), row.get("number"));
        match row.get("kind") {
            "sender" => {
                let rate = number.and_then(|rate| Rate::per_second(rate).ok());
                self.senders.insert(key.to_owned(), SenderEntry { tenant: row.get("word"), rate });
            }
            "pause" => {
                let scope = key.split_once(':').and_then(|(kind, key)| Scope::parse(kind, key));
                self.pauses.extend(scope);
            }
            _ => self.canceled_bulks.extend(key.parse::<Uuid>()),
        }
    }
}
