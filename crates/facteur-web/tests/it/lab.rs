//! A web process on a port of its own, and a client that signs as Twilio does.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use facteur_core::ids::{AttemptNumber, ClaimToken, JobId, MessageSid};
use facteur_core::reconcile::{EvidenceRules, Policies};
use facteur_postgres::api_keys::{self, NewKey};
use facteur_postgres::{Database, PostgresConfig, connect, migrate};
use facteur_testkit::{FaultProxy, TestDatabase};
use facteur_twilio::{Auth, TwilioClient, TwilioConfig};
use facteur_web::{AcceptLimits, AccessSettings, Readiness, Web, WebParts};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use twilio_sim::{Sim, SimConfig, SimHandle};
use uuid::Uuid;

pub(crate) const ACCOUNT: &str = "AC00000000000000000000000000000000";
pub(crate) const TOKEN: &str = "5ecre7token";
pub(crate) const OLD_TOKEN: &str = "0ldtoken";
pub(crate) const PUBLIC: &str = "https://sms.example.org/facteur";
pub(crate) const PATH: &str = "/twilio/webhook/status";
/// Messages that may wait for the broker.
pub(crate) const OUTBOX_ROWS_MAX: i64 = 2_000;
/// What seals credentials here.
pub(crate) const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Lab {
    pub(crate) address: SocketAddr,
    pub(crate) readiness: Readiness,
    pub(crate) proxy: FaultProxy,
    pub(crate) database: Database,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<()>,
    /// Where accounts are looked at.
    pub(crate) simulator: SimHandle,
    _database: TestDatabase,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

impl Lab {
    pub(crate) async fn start() -> Self {
        Self::with(vec![TOKEN, OLD_TOKEN], Some(PUBLIC)).await
    }

    pub(crate) async fn with(tokens: Vec<&str>, public_url: Option<&str>) -> Self {
        Self::with_access(tokens, public_url, AccessSettings::default()).await
    }

    /// The process reaches the database through a proxy, the test goes directly.
    pub(crate) async fn with_access(
        tokens: Vec<&str>,
        public_url: Option<&str>,
        access: AccessSettings,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let simulator = Sim::start(with_both_tokens(), listener);
        let test_database = facteur_testkit::database().await;
        let config = |url: String| PostgresConfig {
            url,
            pool_size: 4,
            application_name: "test".to_owned(),
            publishes_events: false,
        };
        migrate::run(&config(test_database.url.clone())).await.unwrap();
        let mut url = url::Url::parse(&test_database.url).unwrap();
        let host = url.host_str().unwrap().parse().unwrap_or(Ipv4Addr::LOCALHOST);
        let proxy = FaultProxy::start(SocketAddr::from((host, url.port().unwrap()))).await;
        url.set_ip_host(proxy.addr().ip()).unwrap();
        url.set_port(Some(proxy.addr().port())).unwrap();
        let web = Web::new(WebParts {
            database: Database::open(&config(url.into())).unwrap(),
            home: facteur_core::integration::Home {
                account: ACCOUNT.to_owned(),
                sms: Some(facteur_core::sender::Sender::parse("+15005550006").unwrap()),
                whatsapp: None,
                is_shared: true,
            },
            keyring: std::sync::Arc::new(facteur_core::vault::Keyring::parse(KEY).unwrap()),
            client: client(simulator.url()),
            signing_tokens: tokens.into_iter().map(Into::into).collect(),
            public_url: public_url.map(|url| url.parse().unwrap()),
            access,
            jobs: facteur_web::JobSettings {
                defaults: facteur_core::job::JobDefaults { country: facteur_core::phone::Country::FRANCE },
            },
            limits: AcceptLimits { tenant_rate: None, outbox_rows_max: OUTBOX_ROWS_MAX },
            evidence: EvidenceRules { grace: Duration::from_mins(30), policies: Policies::default() },
            prices: prices(),
            now: clock(),
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (address, readiness, stop) =
            (listener.local_addr().unwrap(), web.readiness(), CancellationToken::new());
        let task = tokio::spawn(web.run(listener, stop.clone()));
        let database = connect(&config(test_database.url.clone())).await.unwrap();
        Self { address, readiness, proxy, database, stop, task, simulator, _database: test_database }
    }

    /// Makes the objects that the examples of the document name.
    pub(crate) async fn seed(&self) {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/seeds");
        let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> =
            entries.filter(|path| path.extension().is_some_and(|end| end == "sql")).collect();
        files.sort();
        for file in files {
            self.sql(&std::fs::read_to_string(file).unwrap()).await;
        }
        let url = self.picture("x.png").await;
        self.sql(&format!("UPDATE facteur.media SET url = '{url}'")).await;
    }

    /// The URL of a medium that the simulator has: what it is, its name's ending says.
    pub(crate) async fn picture(&self, name: &str) -> String {
        let url = self.simulator.url();
        let body = serde_json::json!({
            "from": "+33612345678", "to": "+15005550006", "media": [format!("https://example.org/{name}")],
            // Whoever is called there refuses it: the message is there all the same.
            "url": format!("{url}/healthz"),
        });
        let body = body.to_string();
        let address = url.strip_prefix("http://").unwrap();
        let request = format!(
            "POST /_sim/inbound HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = raw_to(address.parse().unwrap(), &request).await;
        answer.json()["media_urls"][0].as_str().unwrap().to_owned()
    }

    /// A job whose first attempt is in flight.
    pub(crate) async fn sending(&self) -> JobId {
        let (id, token) = (JobId(Uuid::new_v4()), ClaimToken(Uuid::new_v4()));
        let sql = format!(
            "INSERT INTO facteur.jobs (id, fingerprint, tenant, lane, status, reason, attempt, claim_token, deadline) \
             VALUES ('{id}', '', 'default', 'normal', 'sending', 'sending', 1, '{}', now() + interval '1 hour')",
            token.0
        );
        self.sql(&sql).await;
        id
    }

    pub(crate) async fn sql(&self, statement: &str) {
        self.database.client().await.unwrap().batch_execute(statement).await.unwrap();
    }

    pub(crate) async fn text(&self, query: &str) -> Option<String> {
        let row = self.database.client().await.unwrap().query_opt(query, &[]).await.unwrap();
        row.and_then(|row| row.get::<_, Option<String>>(0))
    }

    pub(crate) async fn status(&self, id: JobId) -> String {
        self.text(&format!("SELECT status FROM facteur.jobs WHERE id = '{id}'")).await.unwrap_or_default()
    }

    /// Waits until a query gives what it must become.
    pub(crate) async fn until(&self, query: &str, expected: &str) {
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        let waited = tokio::time::timeout(PATIENCE, async {
            while self.text(query).await.as_deref() != Some(expected) {
                looks.tick().await;
            }
        });
        assert!(waited.await.is_ok(), "{query} did not become {expected}");
    }

    /// Waits until the process's copy of senders, tenants and accounts is newer than this call: from then on it answers by
    /// what was written before.
    pub(crate) async fn renewed(&self) {
        let mark = "+33700999999";
        let key = self.key("sender", Some("another-marks")).await;
        let bulk = serde_json::json!({"body": "x", "from": mark, "recipients": [{"to": "+33612345678"}]});
        self.sql(&format!("INSERT INTO facteur.senders (address, tenant) VALUES ('{mark}', 'marks')")).await;
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        let waited = tokio::time::timeout(PATIENCE, async {
            while self.api("POST", "/v1/bulks?dry_run=true", &key, &bulk).await.code() != "sender_foreign" {
                looks.tick().await;
            }
        });
        assert!(waited.await.is_ok(), "the copy of senders is not renewed");
        self.sql(&format!(
            "DELETE FROM facteur.senders WHERE address = '{mark}'; DELETE FROM facteur.api_keys WHERE tenant = 'another-marks'"
        ))
        .await;
    }

    /// Posts a form with this signature.
    pub(crate) async fn post(&self, path_and_query: &str, form: &str, signature: Option<&str>) -> Answer {
        post_to(self.address, path_and_query, form, signature).await
    }

    /// Writes these bytes and reads until the end.
    pub(crate) async fn raw(&self, request: &str) -> Answer {
        raw_to(self.address, request).await
    }

    /// Makes a key of that role; a superadmin's is for all tenants.
    pub(crate) async fn key(&self, role: &str, tenant: Option<&str>) -> String {
        let tenant = tenant.filter(|_| role != "superadmin");
        let new =
            NewKey { name: "test", tenant, role, created_by: "test", expires_at: None, request_id: None };
        api_keys::create(&self.database, &new).await.unwrap().key
    }

    /// Posts a JSON text as it is, with these headers (each with its end of line).
    pub(crate) async fn json(&self, path: &str, key: &str, headers: &str, body: &str) -> Answer {
        self.raw(&format!(
            "POST {path} HTTP/1.1\r\nHost: whatever.internal:8080\r\nConnection: close\r\n\
             Authorization: Bearer {key}\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await
    }

    /// Asks the API; a body that is not null goes as JSON.
    pub(crate) async fn api(&self, method: &str, path: &str, key: &str, body: &serde_json::Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        self.raw(&format!(
            "{method} {path} HTTP/1.1\r\nHost: whatever.internal:8080\r\nConnection: close\r\n\
             Authorization: Bearer {key}\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await
    }

    /// Posts as Twilio does: signed with the token, over the public URL.
    pub(crate) async fn twilio(&self, callback: &Callback) -> Answer {
        self.post(&callback.path_and_query, &callback.encoded(), Some(&callback.signature(TOKEN))).await
    }
}

/// The account of the environment has a token of these tests' beside the simulator's, as while one is rotated.
fn with_both_tokens() -> SimConfig {
    let mut config = SimConfig::default();
    config.accounts[0].api_keys.insert(ACCOUNT.to_owned(), TOKEN.to_owned());
    config
}

fn client(url: &str) -> TwilioClient {
    TwilioClient::new(TwilioConfig {
        base_url: url.parse().unwrap(),
        account_sid: ACCOUNT.to_owned(),
        auth: Auth::Token(TOKEN.into()),
        public_url: None,
        call_timeout: Duration::from_secs(10),
        connect_timeout: Duration::from_secs(5),
        connections_max: 1,
    })
    .unwrap()
}

/// Posts a form with this signature to a web process.
pub(crate) async fn post_to(
    address: SocketAddr,
    path_and_query: &str,
    form: &str,
    signature: Option<&str>,
) -> Answer {
    let signature = signature.map(|s| format!("X-Twilio-Signature: {s}\r\n")).unwrap_or_default();
    let request = format!(
        "POST {path_and_query} HTTP/1.1\r\nHost: whatever.internal:8080\r\nConnection: close\r\n{signature}\
         Content-Type: application/x-www-form-urlencoded; charset=UTF-8\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    );
    raw_to(address, &request).await
}

async fn raw_to(address: SocketAddr, request: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The answer to what is too long may come, and the connection end, before all of it is written.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut text = Vec::new();
    // What streams its events never ends: its head is the answer.
    while stream.read_buf(&mut text).await.is_ok_and(|bytes| bytes > 0) {
        let so_far = String::from_utf8_lossy(&text);
        if so_far.split_once("\r\n\r\n").is_some_and(|(head, _)| head.contains("text/event-stream")) {
            break;
        }
    }
    let text = String::from_utf8_lossy(&text);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

/// A status callback.
#[derive(Clone)]
pub(crate) struct Callback {
    pub(crate) path_and_query: String,
    pub(crate) form: Vec<(String, String)>,
}

impl Callback {
    pub(crate) fn new(job: JobId, sid: &MessageSid, status: &str) -> Self {
        let form = [
            ("AccountSid", ACCOUNT),
            ("ApiVersion", "2010-04-01"),
            ("From", "+15005550006"),
            ("MessageSid", sid.as_str()),
            ("MessageStatus", status),
            ("SmsSid", sid.as_str()),
            ("SmsStatus", status),
            ("To", "+33612345678"),
            ("SomethingNew", "Twilio adds parameters, é"),
        ];
        let form = form.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { path_and_query: format!("{PATH}?message={job}&attempt={}", AttemptNumber(1)), form }
    }

    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.form.retain(|(known, _)| known != name);
        self.form.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn at(mut self, path_and_query: &str) -> Self {
        path_and_query.clone_into(&mut self.path_and_query);
        self
    }

    pub(crate) fn encoded(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.form).finish()
    }

    pub(crate) fn signature(&self, token: &str) -> String {
        facteur_twilio::signature::sign(token, &format!("{PUBLIC}{}", self.path_and_query), &self.form)
    }
}

pub(crate) fn sid(number: u32) -> MessageSid {
    MessageSid::parse(&format!("SM{number:032x}")).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "the clock that is handed to the product")]
fn clock() -> facteur_web::Now {
    std::sync::Arc::new(facteur_core::Timestamp::now)
}

/// A price for one country, and none for the others.
fn prices() -> facteur_core::price::Prices {
    facteur_core::price::Prices {
        currency: Some("EUR".parse().unwrap()),
        sms: "FR=0.0725".parse().unwrap(),
        mms: "0.2".parse().unwrap(),
        ..facteur_core::price::Prices::default()
    }
}
