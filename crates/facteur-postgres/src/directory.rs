//! The directory: what a job's life must know of senders, pauses, cancelled bulks and tenants. A copy in memory, renewed
//! every second by two queries, so that a change reaches every worker within a second and no message waits for a query.
//! What must hold from its very commit on (pauses, cancellations, what is left of a budget) is tested again by the claim.

mod accounts;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use facteur_core::gcra::Rate;
use facteur_core::hold::{Hold, Scope};
use facteur_core::ids::Tenant;
use facteur_core::integration::{Choice, Home, Integration, IntegrationType, Via, Way, choose};
use facteur_core::job::Recipient;
use facteur_core::lane::Lane;
use facteur_core::phone::Country;
use facteur_core::rules::TenantRules;
use facteur_core::sender::Sender;
use facteur_core::vault::Keyring;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_postgres::Row;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::batch_error::{BatchFailure, classify};
use crate::pool::Database;
use crate::tenants;
pub use accounts::Account;
use accounts::Accounts;

/// How often the copy is renewed.
const REFRESH_EVERY: Duration = Duration::from_secs(1);
/// Most rows of each table that are held in memory.
const ROWS_MAX: i64 = 10_000;
/// Bulks that were cancelled longer ago are refused by the claim alone.
const CANCELS_DAYS: f64 = 7.0;

const LOAD: &str = "(SELECT 'sender' AS kind, address AS key, tenant AS word, rate AS number, \
         integration_id AS integration, pool FROM facteur.senders \
         ORDER BY address LIMIT $1) \
     UNION ALL (SELECT 'pause', scope || ':' || key, NULL, NULL, NULL, NULL FROM facteur.pauses \
         WHERE ended_at IS NULL AND (until IS NULL OR until > clock_timestamp()) ORDER BY scope, key LIMIT $1) \
     UNION ALL (SELECT 'cancel', bulk_id::text, NULL, NULL, NULL, NULL FROM facteur.bulk_cancels \
         WHERE created_at > clock_timestamp() - $2::float8 * interval '1 day' ORDER BY created_at DESC LIMIT $1)";

#[derive(Debug, Clone, Default)]
struct SenderEntry {
    tenant: Option<String>,
    rate: Option<Rate>,
    integration: Option<Uuid>,
}

#[derive(Debug, Default)]
struct Snapshot {
    senders: HashMap<String, SenderEntry>,
    pauses: HashSet<Scope>,
    canceled_bulks: HashSet<Uuid>,
    tenants: HashMap<String, tenants::Entry>,
    countries: Arc<HashMap<String, Country>>,
    accounts: Accounts,
    /// The senders of each tenant's pools, by name.
    pools: BTreeMap<(String, String), Vec<Sender>>,
}

/// What the directory is asked about a message's way.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Whose message it is.
    pub tenant: &'a Tenant,
    /// To whom it goes.
    pub recipient: &'a Recipient,
    /// The sender that it names, or that an earlier turn settled.
    pub named: Option<&'a Sender>,
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
    /// Over what, if that is known.
    pub via: Option<&'a Via>,
}

impl Subject<'_> {
    /// What may be paused of it, the most specific first; the claim asks in the same order.
    fn scopes(&self) -> impl Iterator<Item = Scope> {
        let first = [self.bulk_id.map(Scope::Bulk), self.sender.cloned().map(Scope::Sender)];
        let rest = [Scope::Tenant(self.tenant.clone()), Scope::Lane(self.lane)];
        first.into_iter().flatten().chain(rest).chain(self.via.into_iter().flat_map(scopes_of))
    }
}

/// What may be paused of a way.
fn scopes_of(via: &Via) -> impl Iterator<Item = Scope> {
    let integration = via.integration.map(|id| Scope::Integration(id.to_string()));
    integration.into_iter().chain([Scope::Integration(via.account.clone())])
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
    /// copy stands. It opens no credentials.
    #[must_use]
    pub fn start(database: Database, stopping: CancellationToken) -> Self {
        Self::start_with_keys(database, Arc::new(Keyring::default()), stopping)
    }

    /// The same, with keys that open the credentials of accounts.
    #[must_use]
    pub fn start_with_keys(database: Database, keyring: Arc<Keyring>, stopping: CancellationToken) -> Self {
        let snapshot = Arc::new(watch::Sender::new(None));
        let renewal = renew(database, keyring, Arc::clone(&snapshot));
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

    /// Whether everything from that sender, or over that way, is paused.
    pub async fn is_paused(&self, sender: &Sender, via: Option<&Via>) -> bool {
        let pauses = &self.current().await.pauses;
        !pauses.is_empty()
            && (pauses.contains(&Scope::Sender(sender.clone()))
                || via.into_iter().flat_map(scopes_of).any(|scope| pauses.contains(&scope)))
    }

    /// The way of a message: its sender and its account.
    pub async fn way(&self, asked: Asked<'_>, home: &Home) -> Way {
        let snapshot = self.current().await;
        let Asked { tenant, recipient, named } = asked;
        let kind = IntegrationType::of(recipient.channel);
        let (own, pool) = (snapshot.own(tenant.as_str()), snapshot.default_pool(tenant.as_str(), kind));
        let integration_of = |sender: &Sender| snapshot.senders.get(sender.as_str())?.integration;
        choose(Choice { tenant, recipient, named, own, pool, home }, integration_of)
    }

    /// Whose contact wrote to one of these addresses (a number, or the service behind it) over an account (its SID), and to
    /// which integration: the owner of the address, else of the account.
    pub async fn written_to(&self, account: &str, addresses: &[&str]) -> (Option<String>, Option<Uuid>) {
        let snapshot = self.current().await;
        let is_theirs = |one: &&Integration| {
            one.account == account && one.senders.iter().any(|sender| addresses.contains(&sender.as_str()))
        };
        let integrations = snapshot.accounts.of_tenants.iter();
        let found =
            integrations.flat_map(|(tenant, all)| all.iter().find(is_theirs).map(|one| (tenant, one.id)));
        if let Some((tenant, id)) = found.into_iter().next() {
            return (Some(tenant.clone()), Some(id));
        }
        let owned = addresses.iter().find_map(|address| snapshot.senders.get(*address)?.tenant.clone());
        let of_account = || snapshot.accounts.by_sid.get(account).map(|account| account.tenant.clone());
        (owned.or_else(of_account), None)
    }

    /// Over what a sender's messages leave, if that is the same for all of them.
    pub async fn way_of(&self, sender: &Sender, home: &Home) -> Option<Via> {
        let snapshot = self.current().await;
        if snapshot.accounts.of_tenants.is_empty() {
            return Some(Via { account: home.account.clone(), integration: None });
        }
        let id = snapshot.senders.get(sender.as_str())?.integration?;
        let found = snapshot.accounts.of_tenants.values().flatten().find(|one| one.id == id)?;
        Some(Via { account: found.account.clone(), integration: Some(id) })
    }

    /// The tenant's account with this SID, if there is one.
    pub async fn account(&self, sid: &str) -> Option<Arc<Account>> {
        self.current().await.accounts.by_sid.get(sid).cloned()
    }

    /// The same, of the copy that there is: before the first load there is none.
    #[must_use]
    pub fn account_now(&self, sid: &str) -> Option<Arc<Account>> {
        self.snapshot.borrow().as_ref()?.accounts.by_sid.get(sid).cloned()
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

async fn renew(
    database: Database,
    keyring: Arc<Keyring>,
    snapshot: Arc<watch::Sender<Option<Arc<Snapshot>>>>,
) {
    let mut ticks = tokio::time::interval(REFRESH_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_stale = false;
    loop {
        ticks.tick().await;
        let before = snapshot.borrow().clone();
        match load(&database, &keyring, before.as_deref()).await {
            Ok(fresh) => {
                snapshot.send_replace(Some(Arc::new(fresh)));
                is_stale = false;
            }
            Err(error) => {
                if !is_stale {
                    tracing::warn!(
                        "senders, integrations, pauses and tenants can't be renewed, the last copy stands: {error}"
                    );
                }
                is_stale = true;
            }
        }
    }
}

async fn load(
    database: &Database,
    keyring: &Keyring,
    before: Option<&Snapshot>,
) -> Result<Snapshot, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(LOAD).await.map_err(classify)?;
    let rows = client.query(&statement, &[&ROWS_MAX, &CANCELS_DAYS]).await.map_err(classify)?;
    let tenants = tenants::load(&client, ROWS_MAX).await?;
    let country =
        |(slug, entry): &(String, tenants::Entry)| Some((slug.clone(), entry.rules.default_country?));
    let countries = Arc::new(tenants.iter().filter_map(country).collect());
    let mut snapshot = Snapshot { tenants: tenants.into_iter().collect(), countries, ..Snapshot::default() };
    rows.iter().for_each(|row| snapshot.add(row));
    // After the senders, so that an integration which one of them names is there.
    let accounts = before.map(|before| &before.accounts);
    snapshot.accounts = accounts::load(&client, keyring, accounts, ROWS_MAX).await?;
    if i64::try_from(snapshot.senders.len()).is_ok_and(|count| count >= ROWS_MAX) {
        tracing::error!(
            most = ROWS_MAX,
            "facteur.senders holds more rows than are read: the rest has no rate"
        );
    }
    Ok(snapshot)
}

impl Snapshot {
    fn own(&self, tenant: &str) -> &[Integration] {
        self.accounts.of_tenants.get(tenant).map_or(&[], Vec::as_slice)
    }

    fn default_pool(&self, tenant: &str, kind: IntegrationType) -> &[Sender] {
        if self.accounts.default_pools.is_empty() {
            return &[];
        }
        let name = self.accounts.default_pools.get(&(tenant.to_owned(), kind));
        let pool = name.and_then(|name| self.pools.get(&(tenant.to_owned(), name.clone())));
        pool.map_or(&[], Vec::as_slice)
    }

    /// Rows that a newer release means otherwise are passed over; the tables' CHECKs keep numbers in range.
    fn add(&mut self, row: &Row) {
        let (key, number): (&str, Option<f64>) = (row.get("key"), row.get("number"));
        match row.get("kind") {
            "sender" => {
                let rate = number.and_then(|rate| Rate::per_second(rate).ok());
                let (tenant, pool): (Option<String>, Option<String>) = (row.get("word"), row.get("pool"));
                if let (Some(tenant), Some(pool), Ok(sender)) = (&tenant, pool, Sender::parse(key)) {
                    self.pools.entry((tenant.clone(), pool)).or_default().push(sender);
                }
                let integration = row.get("integration");
                self.senders.insert(key.to_owned(), SenderEntry { tenant, rate, integration });
            }
            "pause" => {
                let scope = key.split_once(':').and_then(|(kind, key)| Scope::parse(kind, key));
                self.pauses.extend(scope);
            }
            _ => self.canceled_bulks.extend(key.parse::<Uuid>()),
        }
    }
}
