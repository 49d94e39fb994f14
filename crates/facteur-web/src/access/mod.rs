//! Who may what: the bearer of a key or a token is known, and the table of routes says what it takes.

mod brake;
mod default_keys;
mod jwks;
mod jwt;
mod jwt_ring;
mod keys;
mod principal;
mod remote;
pub(crate) mod rules;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use facteur_core::{Timestamp, api_key};
use facteur_postgres::Database;
use facteur_postgres::api_keys::KeyDigest;
use ipnet::IpNet;
use moka::sync::Cache;
use tokio::time::Instant;

pub use default_keys::{DefaultKey, network, origin};
pub use jwks::JwksSource;
pub use jwt::{JwtSettings, SECRET_BYTES_MIN};
pub(crate) use principal::{Principal, Role};

use crate::error::ApiError;
use crate::metrics::{self, Authentication};
use crate::state::App;
use crate::term::Term;
use brake::Brake;
use jwt::Jwt;
use keys::{Asked, Keys};
use principal::Holds;

const UNAUTHENTICATED: ApiError = ApiError::new(
    StatusCode::UNAUTHORIZED,
    "unauthenticated",
    "this route wants `Authorization: Bearer` with an API key or a token that is valid",
);
const FORBIDDEN: ApiError =
    ApiError::new(StatusCode::FORBIDDEN, "forbidden", "the key's role does not allow this");
const BRAKED: ApiError = ApiError::new(
    StatusCode::TOO_MANY_REQUESTS,
    "too_many_failures",
    "too many requests from this network had a key or token that is not valid: wait, then send one that is",
);

/// Whoever was known within this time is not held up by what others of its network do.
const WELCOME_FOR: Duration = Duration::from_secs(600);
const WELCOME_MAX: u64 = 20_000;

/// What the configuration says about who may ask.
#[derive(Clone, Default)]
pub struct AccessSettings {
    /// How tokens are verified; `None` where none is taken.
    pub jwt: Option<JwtSettings>,
    /// As whom those are taken who send no key.
    pub default_keys: Vec<DefaultKey>,
    /// Pages of other origins that may call us, as browsers write them: `https://app.example.org`.
    pub origins: Vec<String>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}

/// Knows who asks.
pub(crate) struct Access {
    pub(crate) keys: Keys,
    jwt: Option<Jwt>,
    default_keys: Vec<DefaultKey>,
    trusted_proxies: Vec<IpNet>,
    brake: Brake,
    welcome: Cache<KeyDigest, ()>,
}

impl Access {
    pub(crate) fn new(settings: AccessSettings, database: Database) -> Self {
        Self {
            keys: Keys::new(database),
            jwt: settings.jwt.map(Jwt::new),
            default_keys: settings.default_keys,
            trusted_proxies: settings.trusted_proxies,
            brake: Brake::new(),
            welcome: Cache::builder().max_capacity(WELCOME_MAX).time_to_live(WELCOME_FOR).build(),
        }
    }

    /// Who asks.
    async fn principal(&self, app: &App, asks: Asks) -> Result<Principal, ApiError> {
        let from = asks.from;
        let Some(bearer) = asks.bearer.as_deref() else {
            let found = self.by_default(&asks).await?;
            metrics::authenticated(
                found.as_ref().map_or(Authentication::Missing, |_| Authentication::Default),
            );
            return found.ok_or(UNAUTHENTICATED);
        };
        let (digest, now) = (KeyDigest::of(bearer), Instant::now());
        let is_welcome = || self.welcome.contains_key(&digest);
        if let Some(wait_s) = from.and_then(|from| self.brake.wait_s(from, now)).filter(|_| !is_welcome()) {
            metrics::authenticated(Authentication::Braked);
            return Err(ApiError { retry_after_s: Some(wait_s), ..BRAKED });
        }
        let (found, how) = if bearer.starts_with(api_key::PREFIX) {
            (self.by_key(bearer, digest).await?, Authentication::Key)
        } else {
            let jwt = self.jwt.as_ref();
            let found = match jwt {
                Some(jwt) => jwt.bearer(bearer, (app.now)()).await,
                None => None,
            };
            (found, Authentication::Token)
        };
        if found.is_some() {
            if !is_welcome() {
                self.welcome.insert(digest, ());
            }
            metrics::authenticated(how);
        } else {
            if let Some(from) = from {
                self.brake.failed(from, now);
            }
            metrics::authenticated(Authentication::Refused);
        }
        found.ok_or(UNAUTHENTICATED)
    }

    /// Whether somebody who was let in would still be: its key is not revoked, its token has not ended.
    ///
    /// # Errors
    /// If the database can't be asked.
    pub(crate) async fn still_lets_in(
        &self,
        principal: &Principal,
        now: Timestamp,
    ) -> Result<bool, ApiError> {
        Ok(match principal.holds {
            Holds::Always => true,
            Holds::Until(end_s) => now.as_duration().as_secs_f64() < end_s,
            Holds::WithKey(id) => self.keys.find(Asked::ById(id)).await?.is_some(),
        })
    }

    async fn by_key(&self, key: &str, digest: KeyDigest) -> Result<Option<Principal>, ApiError> {
        if !api_key::is_well_formed(key) {
            return Ok(None);
        }
        Ok(self.keys.find(Asked::Bearer(digest)).await?.and_then(Principal::of_key))
    }

    /// Nobody administers all tenants without a key.
    async fn by_default(&self, asks: &Asks) -> Result<Option<Principal>, ApiError> {
        // A proxy of the network is not the network: whoever it lets in would come with its address.
        let from = asks.from.filter(|_| !asks.is_passed_on);
        let id = DefaultKey::of(&self.default_keys, &asks.path, asks.origin.as_deref(), from);
        let Some(id) = id else { return Ok(None) };
        let found = self.keys.find(Asked::ById(id)).await?.and_then(Principal::of_key);
        Ok(found.filter(|principal| principal.role < Role::Superadmin))
    }
}

/// What a request says of who asks.
struct Asks {
    bearer: Option<String>,
    path: String,
    origin: Option<String>,
    from: Option<IpAddr>,
    /// Whether `from` is a proxy that is not trusted, and not who asks.
    is_passed_on: bool,
}

impl Asks {
    fn of(request: &Request, trusted_proxies: &[IpNet]) -> Self {
        let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        let bearer = text(header::AUTHORIZATION).and_then(|value| {
            let (scheme, key) = value.split_once(' ').unwrap_or((value, ""));
            scheme.eq_ignore_ascii_case("bearer").then(|| key.trim().to_owned())
        });
        Self {
            bearer,
            path: request.uri().path().to_owned(),
            origin: text(header::ORIGIN).map(str::to_owned),
            from: remote::client(request, trusted_proxies),
            is_passed_on: remote::is_passed_on(request, trusted_proxies),
        }
    }
}

/// Lets a request through to its route if its bearer may do what the route does, and tells the route who it is.
pub(crate) async fn authorise(
    State(app): State<App>,
    path: MatchedPath,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    // HEAD is what GET answers, without its body.
    let method = if request.method() == "HEAD" { "GET" } else { request.method().as_str() };
    let needed = rules::needed(method, path.as_str()).ok_or(FORBIDDEN)?;
    let asks = Asks::of(&request, &app.access.trusted_proxies);
    let mut principal = app.access.principal(&app, asks).await?;
    if !principal.role.may(needed) {
        return Err(FORBIDDEN);
    }
    principal.request_id = crate::headers::request_id(request.headers());
    principal.term = request.extensions().get::<Arc<Term>>().cloned();
    request.extensions_mut().insert(principal);
    Ok(next.run(request).await)
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
