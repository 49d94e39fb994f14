//! What the lanes and duties of a worker share.

use std::sync::Arc;

use facteur_core::integration::Home;
use facteur_core::lane::Lane;
use facteur_postgres::Directory;
use tokio_util::sync::CancellationToken;

use crate::accounts::Accounts;
use crate::anchor::Anchor;
use crate::breakers::Breakers;
use crate::governor::Governor;
use crate::rate_lines::Bell;
use crate::worker::WorkerParts;

/// What the lanes of a worker share.
pub(crate) struct Shared {
    pub(crate) directory: Directory,
    pub(crate) accounts: Accounts,
    pub(crate) home: Arc<Home>,
    pub(crate) anchor: Arc<Anchor>,
    pub(crate) bell: Arc<Bell>,
    pub(crate) breakers: Breakers,
    pub(crate) governor: Governor,
}

impl Shared {
    /// What lives ask on their way to the end is renewed until `closing` is cancelled.
    pub(crate) fn new(parts: &WorkerParts, closing: CancellationToken) -> Self {
        let permits = Lane::ALL.map(|lane| u32::from(parts.permits.of(lane).max(1)));
        let (database, keyring) = (parts.database.clone(), Arc::clone(&parts.keyring));
        let directory = Directory::start_with_keys(database, keyring, closing);
        Self {
            accounts: Accounts::new(parts.twilio.clone(), directory.clone()),
            home: Arc::new(parts.home.clone()),
            directory,
            anchor: Arc::new(Anchor::new()),
            bell: Arc::new(Bell::default()),
            breakers: Breakers::new(parts.clock.clone()),
            governor: Governor::new(permits, parts.clock.clone()),
        }
    }
}
