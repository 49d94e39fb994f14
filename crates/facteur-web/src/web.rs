//! The web process: what it is made of, how it runs, and whether it can do its work.

use std::sync::Arc;
use std::time::Duration;

use facteur_postgres::accept::Acceptances;
use facteur_postgres::{Callbacks, Database, Directory, TemplateStore, can_commit};
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::bulks::BulksSide;
use crate::pressure::Pressure;
use crate::quarantine::{Filer, quarantine};
use crate::router::routes;
use crate::server;
use crate::state::{App, AppState, JobSettings, Now, TwilioSide};

/// How often the database is asked whether it would commit, and how long it may take to say so.
const PROBE_EVERY: Duration = Duration::from_secs(2);
const PROBE_MAX: Duration = Duration::from_secs(3);

/// What a web process is made of.
pub struct WebParts {
    /// The pool.
    pub database: Database,
    /// The account at Twilio whose webhooks are taken: `AC…`.
    pub account_sid: String,
    /// The auth tokens that may have signed them; empty where only an API key is known.
    pub signing_tokens: Vec<SecretString>,
    /// Where Twilio reaches us; `None` where no callback is asked for.
    pub public_url: Option<Url>,
    /// What jobs take from the configuration.
    pub jobs: JobSettings,
    /// What time it is.
    pub now: Now,
}

/// A web process.
pub struct Web {
    app: App,
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
        let WebParts { database, account_sid, signing_tokens, public_url, jobs, now } = parts;
        let renewing = CancellationToken::new();
        let callbacks = Callbacks::start(database.clone(), account_sid.clone());
        let (quarantine, filer) = quarantine(database.clone());
        let twilio = TwilioSide::new(account_sid, signing_tokens, public_url.as_ref());
        let directory = Directory::start(database.clone(), renewing.clone());
        let templates = TemplateStore::new(database.clone());
        let app = Arc::new(AppState {
            database: database.clone(),
            directory,
            templates,
            acceptances: Acceptances::start(database.clone()),
            pressure: Pressure::default(),
            bulks: BulksSide::new(),
            jobs,
            now,
            twilio,
            callbacks,
            quarantine,
        });
        let (probed, _) = watch::channel(Some("waiting for the database".to_owned()));
        Self { app, database, filer, renewing, probed }
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
        helpers.spawn(probe(self.database, self.probed));
        server::serve(listener, routes(Arc::clone(&self.app)), stop).await;
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
