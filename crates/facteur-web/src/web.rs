//! The web process: what it is made of, how it runs, and whether it can do its work.

use std::sync::Arc;
use std::time::Duration;

use facteur_core::integration::Home;
use facteur_core::price::Prices;
use facteur_core::reconcile::EvidenceRules;
use facteur_core::vault::Keyring;
use facteur_postgres::accept::Acceptances;
use facteur_postgres::{Callbacks, Database, Directory, TemplateStore, can_commit};
use facteur_twilio::TwilioClient;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::access::{Access, AccessSettings};
use crate::bodies::Bodies;
use crate::bulks::BulksSide;
use crate::cors::Cors;
use crate::pressure::{AcceptLimits, Pressure};
use crate::quarantine::{Filer, quarantine};
use crate::router::routes;
use crate::state::{App, AppState, JobSettings, Now, TwilioSide};
use crate::v1::media::MediaSide;
use crate::waiting::Waiters;
use crate::{duties, server};

/// How often the database is asked whether it would commit, and how long it may take to say so.
const PROBE_EVERY: Duration = Duration::from_secs(2);
const PROBE_MAX: Duration = Duration::from_secs(3);

/// What a web process is made of.
pub struct WebParts {
    /// The pool.
    pub database: Database,
    /// The account of the environment, and who sends over it.
    pub home: Home,
    /// Seals and opens the credentials of tenants' accounts.
    pub keyring: Arc<Keyring>,
    /// Looks at accounts and reads media when somebody asks for that; it sends nothing.
    pub client: TwilioClient,
    /// The auth tokens that may have signed webhooks of that account; empty where only an API key is known.
    pub signing_tokens: Vec<SecretString>,
    /// Where Twilio reaches us; `None` where no callback is asked for.
    pub public_url: Option<Url>,
    /// Who may ask, and how it is known.
    pub access: AccessSettings,
    /// What jobs take from the configuration.
    pub jobs: JobSettings,
    /// What is accepted at most.
    pub limits: AcceptLimits,
    /// How evidence about uncertain messages is judged: the same as in the workers.
    pub evidence: EvidenceRules,
    /// What messages cost, for estimates.
    pub prices: Prices,
    /// What time it is.
    pub now: Now,
}

/// A web process.
pub struct Web {
    app: App,
    cors: Cors,
    database: Database,
    filer: Filer,
    /// Ends what renews itself in the background.
    renewing: CancellationToken,
    probed: watch::Sender<Option<String>>,
}

/// Tells whether the process can do its work; cloning it is cheap.
#[derive(Clone)]
pub struct Readiness {
    app: App,
    probed: watch::Receiver<Option<String>>,
}

impl Readiness {
    /// What is missing, for a person; empty if the process is ready.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let database = self.probed.borrow().clone();
        let twilio = self.app.twilio.missing().filter(|_| self.app.twilio.is_asked_for());
        database.into_iter().chain(twilio.map(str::to_owned)).collect()
    }
}

impl Web {
    /// Puts the parts together; nothing is connected yet.
    #[must_use]
    pub fn new(parts: WebParts) -> Self {
        let WebParts {
            database,
            home,
            keyring,
            client,
            signing_tokens,
            public_url,
            access,
            jobs,
            limits,
            evidence,
            prices,
            now,
        } = parts;
        let renewing = CancellationToken::new();
        let callbacks = Callbacks::start(database.clone());
        let (quarantine, filer) = quarantine(database.clone());
        let twilio = TwilioSide::new(home.account.clone(), signing_tokens, public_url.as_ref());
        let directory = Directory::start_with_keys(database.clone(), Arc::clone(&keyring), renewing.clone());
        let templates = TemplateStore::new(database.clone());
        let (cors, access) = (Cors::new(&access), Access::new(access, database.clone()));
        let app = Arc::new(AppState {
            access,
            database: database.clone(),
            directory,
            templates,
            acceptances: Acceptances::start(database.clone()),
            pressure: Pressure::new(limits),
            bodies: Bodies::new(),
            bulks: BulksSide::new(),
            media: MediaSide::new(),
            waiters: Waiters::default(),
            evidence,
            prices,
            jobs,
            home,
            keyring,
            client,
            now,
            twilio,
            callbacks,
            quarantine,
        });
        let (probed, _) = watch::channel(Some("waiting for the database".to_owned()));
        Self { app, cors, database, filer, renewing, probed }
    }

    pub(crate) fn app(&self) -> &App {
        &self.app
    }

    /// Whether it can do its work.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        Readiness { app: Arc::clone(&self.app), probed: self.probed.subscribe() }
    }

    /// Serves until `stop` is cancelled, answers what was begun, and ends.
    pub async fn run(self, listener: TcpListener, stop: CancellationToken) {
        if let Some(why) = self.app.twilio.missing() {
            tracing::warn!(why, "status webhooks are refused");
        }
        let mut helpers = JoinSet::new();
        helpers.spawn(self.filer.run());
        helpers.spawn(duties::forget_old_keys(self.database.clone()));
        let (app, database) = (Arc::clone(&self.app), self.database.clone());
        helpers.spawn(async move { app.pressure.watch_outbox(database).await });
        let (app, database, stopping) = (Arc::clone(&self.app), self.database.clone(), stop.clone());
        helpers.spawn(async move { app.waiters.serve(database, stopping).await });
        helpers.spawn(probe(self.database, self.probed));
        let app = Arc::clone(&self.app);
        helpers.spawn(async move { app.access.keys.write_uses().await });
        let (app, stopping) = (Arc::clone(&self.app), stop.clone());
        helpers.spawn(async move {
            stopping.cancelled().await;
            app.bulks.stopping.cancel();
        });
        server::serve(listener, routes(Arc::clone(&self.app), self.cors), stop).await;
        self.app.access.keys.write_uses_now().await;
        tokio::join!(self.app.callbacks.shutdown(), self.app.acceptances.shutdown());
        self.renewing.cancel();
        helpers.shutdown().await;
    }
}

/// Keeps asking the database whether it would commit.
async fn probe(database: Database, probed: watch::Sender<Option<String>>) {
    let mut ticks = tokio::time::interval(PROBE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let missing = match timeout(PROBE_MAX, can_commit(&database)).await {
            Ok(Ok(missing)) => missing.map(str::to_owned),
            Ok(Err(failure)) => Some(failure.to_string()),
            Err(_) => Some("the database does not answer".to_owned()),
        };
        probed.send_replace(missing);
    }
}
