//! The document, as clients read it: its operations and their examples.

use serde_json::Value;

use crate::lab::{Answer, Lab};

/// What a path parameter is where nothing must be found.
const NOWHERE: &str = "00000000-0000-4000-8000-000000000000";

pub(crate) struct Document(Value);

/// A method on a path.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) method: String,
    pub(crate) path: String,
    /// `any`, `read`, `send`, `admin` or `superadmin`; `None` where the route is open.
    pub(crate) permission: Option<String>,
    body: Value,
}

impl Document {
    pub(crate) async fn read(lab: &Lab) -> Self {
        let answer = lab.api("GET", "/v1/openapi.json", "", &Value::Null).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        Self(answer.json())
    }

    /// Every operation: those that only look first, those that remove last.
    pub(crate) fn operations(&self) -> Vec<Operation> {
        let rank = |method: &str| ["GET", "PUT", "PATCH", "POST", "DELETE"].iter().position(|m| *m == method);
        let mut all: Vec<Operation> = self.0["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| {
                item.as_object().unwrap().iter().map(|(method, body)| Operation {
                    method: method.to_uppercase(),
                    path: path.clone(),
                    permission: body["x-permission"].as_str().map(str::to_owned),
                    body: body.clone(),
                })
            })
            .collect();
        all.sort_by_key(|operation| rank(&operation.method));
        all
    }

    /// Those that say who they are from in this way alone.
    pub(crate) fn secured_by(&self, scheme: &str) -> Vec<Operation> {
        let is_so = |operation: &Operation| operation.body["security"][0].get(scheme).is_some();
        self.operations().into_iter().filter(is_so).collect()
    }

    /// The first example of its body, with its content type; `None` if it takes no body.
    pub(crate) fn body_example(&self, operation: &Operation) -> Option<(String, String)> {
        let content = operation.body["requestBody"]["content"].as_object()?;
        let (kind, media) = content.iter().next()?;
        let example = self.example_of(media);
        let example = example.unwrap_or_else(|| {
            panic!(
                "{operation}: its body has no example; add `example = json!(…)` to `request_body(…)`, or \
                 `#[schema(example = json!(…))]` to its type"
            )
        });
        let text = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
        Some((kind.clone(), text))
    }

    fn example_of(&self, media: &Value) -> Option<Value> {
        let named = media["examples"].as_object().and_then(|all| all.values().next());
        let schema = self.resolved(&media["schema"]);
        let first = schema["examples"].as_array().and_then(|all| all.first());
        media
            .get("example")
            .or_else(|| named.and_then(|named| named.get("value")))
            .or_else(|| schema.get("example"))
            .or(first)
            .cloned()
    }

    fn resolved<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let pointer = schema["$ref"].as_str().and_then(|name| name.strip_prefix('#'));
        pointer.and_then(|pointer| self.0.pointer(pointer)).unwrap_or(schema)
    }
}

impl Operation {
    /// The parameters of one place (`path`, `query`, `header`): name, whether it is required, example.
    fn parameters(&self, place: &str) -> Vec<(String, bool, Option<String>)> {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let all = self.body["parameters"].as_array().into_iter().flatten();
        all.filter(|parameter| parameter["in"] == place)
            .map(|parameter| {
                let example = parameter.get("example").or_else(|| parameter["schema"].get("example"));
                let name = parameter["name"].as_str().unwrap().to_owned();
                (name, parameter["required"] == true, example.map(text))
            })
            .collect()
    }

    /// The examples of its path parameters: ids of objects that the seeds make.
    pub(crate) fn path_examples(&self) -> Vec<String> {
        self.parameters("path").into_iter().filter_map(|(.., example)| example).collect()
    }

    /// Its address, with the examples of its parameters.
    pub(crate) fn example_path(&self) -> String {
        let filled = self.filled(|name, example| {
            example.unwrap_or_else(|| panic!("{self}: the path parameter {name} has no `example = …`"))
        });
        let mut query = form_urlencoded::Serializer::new(String::new());
        let mut asks = false;
        for (name, _, example) in self.parameters("query").iter().filter(|(_, is_required, _)| *is_required) {
            let example = example.as_deref().unwrap_or_else(|| panic!("{self}: {name} has no `example = …`"));
            query.append_pair(name, example);
            asks = true;
        }
        if asks { format!("{filled}?{}", query.finish()) } else { filled }
    }

    /// Its address, with this (already written for a path) in the place of each parameter.
    pub(crate) fn path_with(&self, text: &str) -> String {
        let names = self.parameters("path").into_iter().map(|(name, ..)| format!("{{{name}}}"));
        names.fold(self.path.clone(), |path, name| path.replace(&name, text))
    }

    /// The names of its query parameters.
    pub(crate) fn query_names(&self) -> Vec<String> {
        self.parameters("query").into_iter().map(|(name, ..)| name).collect()
    }

    /// Its address, leading to nothing that exists; only the tenant is one.
    pub(crate) fn path_to_nothing(&self) -> String {
        self.filled(|name, example| match example {
            Some(example) if name.starts_with("tenant") => example,
            _ => NOWHERE.to_owned(),
        })
    }

    fn filled(&self, value: impl Fn(&str, Option<String>) -> String) -> String {
        self.parameters("path").into_iter().fold(self.path.clone(), |path, (name, _, example)| {
            let value: String = form_urlencoded::byte_serialize(value(&name, example).as_bytes()).collect();
            path.replace(&format!("{{{name}}}"), &value)
        })
    }

    /// The statuses that are documented.
    pub(crate) fn statuses(&self) -> Vec<u16> {
        let statuses = self.body["responses"].as_object().unwrap().keys();
        statuses.filter_map(|status| status.parse().ok()).collect()
    }

    /// The statuses of success that are documented.
    pub(crate) fn successes(&self) -> Vec<u16> {
        self.statuses().into_iter().filter(|status| (200..300).contains(status)).collect()
    }

    /// Asks, with this body and content type.
    pub(crate) async fn ask(
        &self,
        lab: &Lab,
        path: &str,
        key: Option<&str>,
        body: Option<&(String, String)>,
    ) -> Answer {
        self.ask_as(lab, (path, "example"), key, body).await
    }

    /// Asks in a request of this name.
    pub(crate) async fn ask_as(
        &self,
        lab: &Lab,
        (path, request_id): (&str, &str),
        key: Option<&str>,
        body: Option<&(String, String)>,
    ) -> Answer {
        let key = key.map(|key| format!("Authorization: Bearer {key}\r\n")).unwrap_or_default();
        let kind = body.map(|(kind, _)| format!("Content-Type: {kind}\r\n")).unwrap_or_default();
        let body = body.map_or("", |(_, text)| text);
        lab.raw(&format!(
            "{} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Request-Id: {request_id}\r\n{key}{kind}\
             Content-Length: {}\r\n\r\n{body}",
            self.method,
            body.len()
        ))
        .await
    }
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}
