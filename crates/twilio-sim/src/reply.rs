//! An answer of the API, before it is put on the wire.

use serde::Serialize;

use crate::refusal::Refusal;

/// Status, body and what else shows on the wire.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    pub(crate) retry_after_s: Option<u32>,
    /// Twilio's code, if this is an error.
    pub(crate) code: Option<u32>,
    /// Where what was asked for is.
    pub(crate) location: Option<String>,
}

impl Reply {
    /// A resource as JSON.
    pub(crate) fn json(status: u16, resource: &impl Serialize) -> Self {
        let body = serde_json::to_vec(resource).unwrap_or_default();
        Self { status, body, retry_after_s: None, code: None, location: None }
    }

    /// 204.
    pub(crate) fn empty() -> Self {
        Self { status: 204, body: Vec::new(), retry_after_s: None, code: None, location: None }
    }

    /// 307.
    pub(crate) fn redirect(location: String) -> Self {
        Self { status: 307, location: Some(location), ..Self::empty() }
    }

    /// The same, its JSON cut off in the middle.
    pub(crate) fn cut_short(mut self) -> Self {
        self.body.truncate(self.body.len() / 2);
        self
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        Self {
            status: refusal.status,
            body: refusal.json(),
            retry_after_s: refusal.retry_after_s,
            code: Some(refusal.code),
            location: None,
        }
    }
}

impl From<Result<Self, Refusal>> for Reply {
    fn from(result: Result<Self, Refusal>) -> Self {
        result.unwrap_or_else(Self::from)
    }
}
