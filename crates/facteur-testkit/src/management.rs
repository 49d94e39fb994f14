//! The broker's HTTP interface: makes and removes vhosts in hundredths of a second.

use std::time::Duration;

use serde_json::{Value, json};
use url::Url;

const CALL_MAX: Duration = Duration::from_secs(30);

/// A way to one broker's HTTP interface.
#[derive(Debug, Clone)]
pub(crate) struct Management {
    url: Url,
    agent: ureq::Agent,
}

impl Management {
    pub(crate) fn new(url: &str) -> Result<Self, String> {
        let agent =
            ureq::Agent::config_builder().timeout_global(Some(CALL_MAX)).proxy(None).build().new_agent();
        Ok(Self { url: Url::parse(url).map_err(|error| error.to_string())?, agent })
    }

    /// The names of all vhosts.
    pub(crate) fn vhosts(&self) -> Result<Vec<String>, String> {
        let mut answer = self.agent.get(self.path(&["vhosts"])).call().map_err(|error| error.to_string())?;
        let vhosts: Vec<Value> = answer.body_mut().read_json().map_err(|error| error.to_string())?;
        Ok(vhosts.iter().filter_map(|vhost| Some(vhost.get("name")?.as_str()?.to_owned())).collect())
    }

    /// Makes a vhost in which our user may do everything.
    pub(crate) fn create_vhost(&self, name: &str) -> Result<(), String> {
        self.put(&["vhosts", name], &json!({}))?;
        let everything = json!({"configure": ".*", "write": ".*", "read": ".*"});
        self.put(&["permissions", name, self.url.username()], &everything)
    }

    /// Removes a vhost with everything in it.
    pub(crate) fn delete_vhost(&self, name: &str) -> Result<(), String> {
        self.agent.delete(self.path(&["vhosts", name])).call().map(drop).map_err(|error| error.to_string())
    }

    fn put(&self, path: &[&str], body: &Value) -> Result<(), String> {
        self.agent.put(self.path(path)).send_json(body).map(drop).map_err(|error| error.to_string())
    }

    fn path(&self, segments: &[&str]) -> String {
        let mut url = self.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.push("api").extend(segments);
        }
        url.into()
    }
}
