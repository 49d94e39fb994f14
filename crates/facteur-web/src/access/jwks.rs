//! The public keys of whoever issues tokens: fetched when first needed, kept, and fetched again when a token names one
//! that is not there.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use facteur_twilio::PublicDocument;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Anybody can name a key that does not exist: the set is fetched no more often for that.
const FETCH_EVERY: Duration = Duration::from_secs(60);
/// A key that was withdrawn is known no longer than this.
const KEPT_FOR: Duration = Duration::from_secs(600);
/// Longest set that is read, in bytes.
const BYTES_MAX: u64 = 256 * 1024;

/// Where the set is.
#[derive(Debug, Clone)]
pub enum JwksSource {
    /// Published by the issuer.
    Published(PublicDocument),
    /// A file of this machine.
    File(PathBuf),
}

pub(super) struct Jwks {
    source: JwksSource,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    set: Option<Arc<JwkSet>>,
    fetched_at: Option<Instant>,
    tried_at: Option<Instant>,
}

impl Jwks {
    pub(super) fn new(source: JwksSource) -> Self {
        Self { source, state: Mutex::default() }
    }

    /// The key of this id for that algorithm; `None` if the issuer has none, or can't be asked.
    pub(super) async fn key(&self, id: &str, algorithm: Algorithm) -> Option<DecodingKey> {
        let set = self.set_with(id).await?;
        let key = set.keys.iter().find(|key| key.common.key_id.as_deref() == Some(id))?;
        is_for(key, algorithm).then(|| DecodingKey::from_jwk(key).ok()).flatten()
    }

    /// The set, fetched again if it is old or has no such key. Requests that wait for it share one fetch.
    async fn set_with(&self, id: &str) -> Option<Arc<JwkSet>> {
        let mut state = self.state.lock().await;
        let now = Instant::now();
        let is_fresh = state.fetched_at.is_some_and(|at| now.duration_since(at) < KEPT_FOR);
        let has_key = state.set.as_ref().is_some_and(|set| set.find(id).is_some());
        let may_try = state.tried_at.is_none_or(|at| now.duration_since(at) >= FETCH_EVERY);
        if (is_fresh && has_key) || !may_try {
            return state.set.clone();
        }
        state.tried_at = Some(now);
        match self.fetch().await {
            Ok(set) => (state.set, state.fetched_at) = (Some(Arc::new(set)), Some(now)),
            Err(why) => {
                tracing::warn!(
                    why,
                    "the keys of the issuer of tokens can't be read: those known stay in use"
                );
            }
        }
        state.set.clone()
    }

    async fn fetch(&self) -> Result<JwkSet, String> {
        let bytes = match &self.source {
            JwksSource::Published(document) => document.read().await?,
            JwksSource::File(path) => {
                let size = tokio::fs::metadata(path).await.map_err(|error| error.to_string())?.len();
                if size > BYTES_MAX {
                    return Err(format!("the file has more than {BYTES_MAX} bytes"));
                }
                tokio::fs::read(path).await.map_err(|error| error.to_string())?
            }
        };
        serde_json::from_slice(&bytes).map_err(|_| "it is no JSON Web Key Set".to_owned())
    }
}

/// Whether a key may verify this algorithm: its type, its curve and whatever it says of itself agree.
fn is_for(key: &Jwk, algorithm: Algorithm) -> bool {
    let is_of_type = match (&key.algorithm, algorithm) {
        (AlgorithmParameters::RSA(_), Algorithm::RS256) => true,
        (AlgorithmParameters::EllipticCurve(curve), Algorithm::ES256) => curve.curve == EllipticCurve::P256,
        _ => false,
    };
    let is_said = match (key.common.key_algorithm, algorithm) {
        (None, _)
        | (Some(KeyAlgorithm::RS256), Algorithm::RS256)
        | (Some(KeyAlgorithm::ES256), Algorithm::ES256) => true,
        (Some(_), _) => false,
    };
    let signs = matches!(key.common.public_key_use, None | Some(PublicKeyUse::Signature));
    is_of_type && is_said && signs
}
