//! A simulator on a free port, a client for it, and a webhook receiver.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use twilio_sim::{ACCOUNT_SID, AUTH_TOKEN, Progress, Sim, SimConfig, SimHandle, TEST_ACCOUNT_SID};

/// A test that waits longer than this is broken.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const TO: &str = "+33612345678";
pub(crate) const FROM: &str = "+15005550006";
pub(crate) const SERVICE: &str = "MG00000000000000000000000000000001";

/// A simulator and a client that is logged in.
pub(crate) struct Lab {
    pub(crate) sim: SimHandle,
    pub(crate) http: reqwest::Client,
    account: (String, String),
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// HTTP status and Twilio's code.
    pub(crate) fn error(&self) -> (u16, u64) {
        (self.status, self.json()["code"].as_u64().unwrap_or(0))
    }

    pub(crate) fn sid(&self) -> String {
        assert_eq!(self.status, 201, "{}", self.text);
        self.json()["sid"].as_str().unwrap().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no header {name}")).to_str().unwrap()
    }
}

/// A configuration in which messages are delivered at once.
pub(crate) fn immediate() -> SimConfig {
    SimConfig { progress: Progress::immediate(), ..SimConfig::default() }
}

#[expect(clippy::disallowed_methods, reason = "a test's own client")]
fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .timeout(PATIENCE)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap()
}

impl Lab {
    pub(crate) async fn start(config: SimConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sim = Sim::start(config, listener);
        Self { sim, http: client(), account: (ACCOUNT_SID.to_owned(), AUTH_TOKEN.to_owned()) }
    }

    /// The same simulator, with other credentials.
    pub(crate) fn log_in(mut self, user: &str, password: &str) -> Self {
        self.account = (user.to_owned(), password.to_owned());
        self
    }

    pub(crate) fn messages_path(&self) -> String {
        let sid = if self.account.0 == TEST_ACCOUNT_SID { TEST_ACCOUNT_SID } else { ACCOUNT_SID };
        format!("/2010-04-01/Accounts/{sid}/Messages.json")
    }

    pub(crate) fn message_path(sid: &str) -> String {
        format!("/2010-04-01/Accounts/{ACCOUNT_SID}/Messages/{sid}.json")
    }

    /// A request that may be given headers before it is sent with [`answer`].
    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.sim.url());
        let (user, password) = &self.account;
        self.http.request(method.parse().unwrap(), url).basic_auth(user, Some(password))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.request("GET", path)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        answer(self.request("DELETE", path)).await
    }

    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        answer(self.request("POST", path).form(form)).await
    }

    pub(crate) async fn create(&self, form: &[(&str, &str)]) -> Answer {
        self.post(&self.messages_path(), form).await
    }

    /// A good message with this text.
    pub(crate) async fn send(&self, text: &str) -> Answer {
        self.create(&[("To", TO), ("From", FROM), ("Body", text)]).await
    }

    /// A good message, with an `X-Sim-Fault` header.
    pub(crate) fn send_with_fault(&self, fault: &str, callback: Option<&str>) -> reqwest::RequestBuilder {
        let mut form = vec![("To", TO), ("From", FROM), ("Body", fault)];
        form.extend(callback.map(|url| ("StatusCallback", url)));
        self.request("POST", &self.messages_path()).header("X-Sim-Fault", fault).form(&form)
    }

    /// A control request with JSON.
    pub(crate) async fn control(&self, path: &str, body: Value) -> Answer {
        answer(self.request("POST", &format!("/_sim/{path}")).body(body.to_string())).await
    }

    pub(crate) async fn faults(&self, plan: Value) {
        let answer = self.control("faults", plan).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }

    /// Waits until the statistics are as wanted.
    pub(crate) async fn until(&self, wanted: impl Fn(&twilio_sim::Stats) -> bool) {
        let reached = async {
            while !wanted(&self.sim.stats()) {
                tokio::task::yield_now().await;
            }
        };
        let outcome = tokio::time::timeout(PATIENCE, reached).await;
        assert!(outcome.is_ok(), "never came: {:?}", self.sim.stats());
    }

    /// The SIDs in a list.
    pub(crate) async fn listed(&self, query: &str) -> Vec<String> {
        let page = self.get(&format!("{}?{query}", self.messages_path())).await;
        assert_eq!(page.status, 200, "{}", page.text);
        sids(&page.json())
    }
}

pub(crate) fn sids(page: &Value) -> Vec<String> {
    let messages = page["messages"].as_array().unwrap();
    messages.iter().map(|message| message["sid"].as_str().unwrap().to_owned()).collect()
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, text: response.text().await.unwrap() }
}

/// Whether the connection ended without an answer.
pub(crate) async fn is_lost(request: reqwest::RequestBuilder) -> bool {
    request.send().await.is_err_and(|error| !error.is_timeout() && !error.is_connect())
}

/// A webhook request, received.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) path_and_query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) form: Vec<(String, String)>,
}

impl Received {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn status(&self) -> &str {
        self.field("MessageStatus").unwrap()
    }
}

/// Receives webhooks; answers with the statuses that it was given, then with 200.
pub(crate) struct Receiver {
    pub(crate) url: String,
    received: mpsc::UnboundedReceiver<Received>,
}

type Post = (mpsc::UnboundedSender<Received>, Arc<Mutex<Vec<u16>>>);

impl Receiver {
    pub(crate) async fn start(mut answers: Vec<u16>) -> Self {
        answers.reverse();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, received) = mpsc::unbounded_channel();
        let app = Router::new().fallback(receive).with_state((sender, Arc::new(Mutex::new(answers))));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, received }
    }

    pub(crate) async fn next(&mut self) -> Received {
        tokio::time::timeout(PATIENCE, self.received.recv()).await.unwrap().unwrap()
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.received.is_empty()
    }
}

async fn receive(State((sender, answers)): State<Post>, request: Request) -> (StatusCode, String) {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let received = Received {
        path_and_query: parts.uri.to_string(),
        headers: parts.headers,
        form: form_urlencoded::parse(&body).into_owned().collect(),
    };
    sender.send(received).unwrap();
    let status = answers.lock().await.pop().unwrap_or(200);
    (StatusCode::from_u16(status).unwrap(), "<Response/>".to_owned())
}

/// A fault plan with one rule.
pub(crate) fn rule(fault: &str) -> Value {
    json!({ "rules": [{ "fault": fault }] })
}
