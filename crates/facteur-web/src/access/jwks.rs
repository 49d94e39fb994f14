//! The public keys of whoever issues tokens: fetched when first needed, kept, and fetched again when a token names one
//! that is not there.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
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
    known: Arc<RwLock<Known>>,
    /// When the set was last asked for. Whoever asks holds it: the others wait, and share the answer.
    tried_at: Arc<Mutex<Option<Instant>>>,
}

#[derive(Default)]
struct Known {
    set: Option<Arc<JwkSet>>,
    fetched_at: Option<Instant>,
}

impl Known {
    /// The set, if it is not old and has such a key.
    fn fresh_with(&self, id: &str, now: Instant) -> Option<Arc<JwkSet>> {
        let is_fresh = self.fetched_at.is_some_and(|at| now.duration_since(at) < KEPT_FOR);
        self.set.as_ref().filter(|set| is_fresh && set.find(id).is_some()).cloned()
    }
}

impl Jwks {
    pub(super) fn new(source: JwksSource) -> Self {
        Self { source, known: Arc::default(), tried_at: Arc::default() }
    }

    /// The key of this id for that algorithm; `None` if the issuer has none, or can't be asked.
    pub(super) async fn key(&self, id: &str, algorithm: Algorithm, now: Instant) -> Option<DecodingKey> {
        let set = self.set_with(id, now).await?;
        let key = set.keys.iter().find(|key| key.common.key_id.as_deref() == Some(id))?;
        is_for(key, algorithm).then(|| DecodingKey::from_jwk(key).ok()).flatten()
    }

    /// The set, fetched again if it is old or has no such key. Requests that wait for it share one fetch; a key that is
    /// known waits for none that somebody else made necessary.
    async fn set_with(&self, id: &str, now: Instant) -> Option<Arc<JwkSet>> {
        let fresh = || read(&self.known).fresh_with(id, now);
        if let Some(set) = fresh() {
            return Some(set);
        }
        let mut tried_at = Arc::clone(&self.tried_at).lock_owned().await;
        if let Some(set) = fresh() {
            return Some(set);
        }
        if tried_at.is_none_or(|at| now.duration_since(at) >= FETCH_EVERY) {
            *tried_at = Some(now);
            let (source, known) = (self.source.clone(), Arc::clone(&self.known));
            // Whoever goes away does not end it: the next one may not ask for a minute.
            let fetching = tokio::spawn(async move {
                let _others_wait = tried_at;
                match fetch(&source).await {
                    Ok(set) => {
                        let mut known = known.write().unwrap_or_else(PoisonError::into_inner);
                        *known = Known { set: Some(Arc::new(set)), fetched_at: Some(now) };
                    }
                    Err(why) => tracing::warn!(
                        why,
                        "the keys of the issuer of tokens can't be read: those known stay in use"
                    ),
                }
            });
            // It ends early only with the process.
            let _ = fetching.await;
        }
        read(&self.known).set.clone()
    }
}

fn read(known: &RwLock<Known>) -> std::sync::RwLockReadGuard<'_, Known> {
    known.read().unwrap_or_else(PoisonError::into_inner)
}

async fn fetch(source: &JwksSource) -> Result<JwkSet, String> {
    let bytes = match source {
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// A point of the curve is not needed to find a key, only to use it.
    fn set(ids: &[&str]) -> String {
        let key = |id| serde_json::json!({"kty": "EC", "crv": "P-256", "kid": id, "x": "AA", "y": "AA"});
        serde_json::json!({ "keys": ids.iter().map(key).collect::<Vec<_>>() }).to_string()
    }

    #[tokio::test]
    async fn an_unknown_key_is_looked_for_once_a_minute_and_a_withdrawn_one_is_forgotten() {
        let path = std::env::temp_dir().join(format!("facteur-jwks-{}.json", uuid::Uuid::new_v4()));
        std::fs::write(&path, set(&["a"])).unwrap();
        let (jwks, begin) = (Jwks::new(JwksSource::File(path.clone())), Instant::now());
        let has = async |id: &str, s: u64| {
            jwks.key(id, Algorithm::ES256, begin + Duration::from_secs(s)).await.is_some()
        };
        assert!(has("a", 0).await);
        std::fs::write(&path, set(&["b"])).unwrap();
        assert!(!has("b", 59).await, "not yet asked again");
        assert!(has("a", 59).await);
        assert!(has("b", 60).await);
        assert!(!has("a", 120).await);
        std::fs::write(&path, "nonsense").unwrap();
        assert!(has("b", 1_000).await, "what can't be read changes nothing");
        std::fs::write(&path, set(&["c"])).unwrap();
        assert!(!has("b", 1_060).await, "an old set is read again");
        assert!(has("c", 1_060).await);
        std::fs::remove_file(path).unwrap();
    }

    /// Takes one request, and returns the stream to answer it on.
    async fn asked(listener: &TcpListener) -> TcpStream {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut head).await.unwrap(), 0);
        }
        stream
    }

    async fn answer(mut stream: TcpStream, body: &str) {
        let length = body.len();
        let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
        stream.write_all(text.as_bytes()).await.unwrap();
    }

    #[tokio::test]
    async fn who_goes_away_ends_no_fetch_and_who_names_an_unknown_key_holds_up_no_other() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap()).parse().unwrap();
        let jwks = Jwks::new(JwksSource::Published(PublicDocument::new(url).unwrap()));
        let begin = Instant::now();
        let at = |s| begin + Duration::from_secs(s);
        let key = |id, s| jwks.key(id, Algorithm::ES256, at(s));
        // A stranger asks, and is gone before the issuer answers.
        let stream = {
            let mut stranger = Box::pin(key("nobody", 0));
            tokio::select! {
                _ = &mut stranger => panic!("the issuer has not answered"),
                stream = asked(&listener) => stream,
            }
        };
        let keys = set(&["a"]);
        let (found, ()) = tokio::join!(key("a", 1), answer(stream, &keys));
        assert!(found.is_some(), "within the minute in which nobody asks again");
        // While the issuer is asked for a key that nobody has, those known are known.
        let mut stranger = Box::pin(key("nobody", 61));
        let stream = tokio::select! {
            _ = &mut stranger => panic!("the issuer has not answered"),
            stream = asked(&listener) => stream,
        };
        assert!(key("a", 61).await.is_some());
        answer(stream, &keys).await;
        assert!(stranger.await.is_none());
    }
}
