//! JSON Web Tokens: HS256 with a shared secret, RS256 and ES256 with the published keys of an issuer.

use facteur_core::Timestamp;
use facteur_core::ids::Tenant;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tokio::time::Instant;

use super::jwks::{Jwks, JwksSource};
use super::principal::Holds;
use super::{Principal, Role, jwt_ring};

/// Least length of a shared secret, in bytes: as long as what HS256 makes of it (RFC 7518 §3.2).
pub const SECRET_BYTES_MIN: usize = 32;
/// Longest token, in bytes.
const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// How far the clocks of issuer and database may differ, in seconds.
const LEEWAY_S: f64 = 30.0;
/// Longest subject, in characters.
const SUBJECT_CHARS_MAX: usize = 200;

/// How tokens are verified.
#[derive(Clone)]
pub struct JwtSettings {
    /// The shared secret of HS256, at least 32 bytes.
    pub secret: Option<SecretString>,
    /// The issuer's keys, for RS256 and ES256.
    pub jwks: Option<JwksSource>,
    /// What `iss` must be; any, if it is not set.
    pub issuer: Option<String>,
    /// What `aud` must be or hold; if it is not set, a token may name no audience.
    pub audience: Option<String>,
}

pub(super) struct Jwt {
    secret: Option<DecodingKey>,
    jwks: Option<Jwks>,
    issuer: Option<String>,
    audience: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    role: Role,
    #[serde(default)]
    tenant: Option<String>,
    exp: f64,
    #[serde(default)]
    nbf: Option<f64>,
}

impl Jwt {
    pub(super) fn new(settings: JwtSettings) -> Self {
        jwt_ring::install();
        let JwtSettings { secret, jwks, issuer, audience } = settings;
        let secret = secret.map(|secret| DecodingKey::from_secret(secret.expose_secret().as_bytes()));
        Self { secret, jwks: jwks.map(Jwks::new), issuer, audience }
    }

    /// Who bears a token; `None` if it is not valid now, whatever is wrong with it.
    pub(super) async fn bearer(&self, token: &str, now: Timestamp) -> Option<Principal> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let header = decode_header(token).ok()?;
        // The header only chooses among what is configured, and each key verifies the one algorithm it is for.
        let fetched;
        let key = match header.alg {
            Algorithm::HS256 => self.secret.as_ref()?,
            algorithm @ (Algorithm::RS256 | Algorithm::ES256) => {
                fetched = self.jwks.as_ref()?.key(header.kid.as_deref()?, algorithm, Instant::now()).await?;
                &fetched
            }
            _ => return None,
        };
        let claims = decode::<Claims>(token, key, &self.validation(header.alg)).ok()?.claims;
        claims.principal(now)
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        // Our own clock, which follows the database's, decides about these.
        (validation.validate_exp, validation.validate_nbf) = (false, false);
        let mut required = vec!["sub"];
        if let Some(issuer) = &self.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        if let Some(audience) = &self.audience {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        validation.set_required_spec_claims(&required);
        validation
    }
}

impl Claims {
    fn principal(self, now: Timestamp) -> Option<Principal> {
        let now_s = now.as_duration().as_secs_f64();
        let is_valid_now = now_s < self.exp + LEEWAY_S && self.nbf.is_none_or(|nbf| now_s >= nbf - LEEWAY_S);
        let is_named = !self.sub.is_empty()
            && self.sub.chars().count() <= SUBJECT_CHARS_MAX
            && !self.sub.chars().any(char::is_control);
        let tenant = self.tenant.as_deref().map(Tenant::parse).transpose().ok()?;
        let holds = Holds::Until(self.exp + LEEWAY_S);
        (is_valid_now && is_named)
            .then(|| Principal::new(format!("jwt:{}", self.sub), self.role, tenant, holds))?
    }
}

#[cfg(test)]
#[path = "jwt_tests.rs"]
mod tests;
