//! A part of the broker that belongs to one test.

use url::Url;
use uuid::Uuid;

use crate::leftovers;
use crate::management::Management;
use crate::services;

/// A vhost of its own, removed with everything in it when dropped. On a broker that is not ours there is only a
/// prefix of its own, and what has that prefix stays behind: a test names its objects with [`Self::prefix`].
#[derive(Debug)]
pub struct TestBroker {
    /// Where to connect, vhost included.
    pub url: String,
    /// The vhost.
    pub vhost: String,
    /// What the names of exchanges and queues begin with.
    pub prefix: String,
    management: Option<Management>,
}

/// A broker for one test.
///
/// # Panics
/// If no broker runs; the sentence says how to start one.
pub async fn broker() -> TestBroker {
    let made = tokio::task::spawn_blocking(make).await;
    #[expect(clippy::expect_used, reason = "a test without its broker can't go on")]
    made.expect("a broker for this test")
}

#[expect(clippy::expect_used, reason = "a test without its broker can't go on")]
fn make() -> TestBroker {
    let service = services::broker();
    let management = services::management_url().filter(|_| service.is_private);
    let mut url = Url::parse(&service.url).expect("the broker's address is a URL");
    let Some(management) = management else {
        let prefix = format!("t{}", Uuid::new_v4().simple());
        let vhost = url.path().trim_start_matches('/').replace("%2f", "/").replace("%2F", "/");
        return TestBroker { url: service.url, vhost, prefix, management: None };
    };
    let management =
        Management::new(&management).expect("the address of the broker's HTTP interface is a URL");
    sweep(&management);
    let vhost = leftovers::new_name();
    management.create_vhost(&vhost).expect("the broker makes a vhost");
    url.set_path(&vhost);
    TestBroker { url: url.into(), vhost, prefix: "facteur".to_owned(), management: Some(management) }
}

/// Removes the vhosts of tests that were killed. Two tests may try the same one; either may find it gone.
fn sweep(management: &Management) {
    for name in management.vhosts().unwrap_or_default() {
        if leftovers::is_leftover(&name, true) {
            let _ = management.delete_vhost(&name);
        }
    }
}

impl Drop for TestBroker {
    fn drop(&mut self) {
        if let Some(management) = &self.management {
            // What stays is swept by a later test.
            let _ = management.delete_vhost(&self.vhost);
        }
    }
}
