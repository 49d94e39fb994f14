//! Settings of the web process that say who may use it.

use facteur_web::{DefaultKey, network, origin};
use url::Url;

use super::parse;
use super::sections::{Config, Jwks};
use super::settings::{Form, Secrecy, Setting};

pub(super) const CORS_ORIGINS: Setting = Setting {
    key: "web.cors_origins",
    env: "FACTEUR_CORS_ORIGINS",
    default: None,
    form: Form::Text,
    secrecy: Secrecy::Public,
    doc: "Origins whose pages may call the API, such as https://app.example.org, with commas or spaces between them. \
          Pages of other origins are told nothing.",
    store: |config, text| {
        let origins = words(text).map(origin).collect::<Result<_, _>>()?;
        config.web.cors_origins = origins;
        Ok(())
    },
};

pub(super) const TRUSTED_PROXIES: Setting = Setting {
    key: "web.trusted_proxies",
    env: "FACTEUR_TRUSTED_PROXIES",
    default: None,
    form: Form::Text,
    secrecy: Secrecy::Public,
    doc: "Networks or addresses of the proxies before the web process, such as 10.0.0.0/8, with commas or spaces \
          between them: their X-Forwarded-For is believed, nobody else's.",
    store: |config, text| {
        let networks =
            words(text).map(|word| network(word).ok_or("holds what is no network such as 10.0.0.0/8"));
        config.web.trusted_proxies = networks.collect::<Result<_, _>>()?;
        Ok(())
    },
};

pub(super) const DEFAULT_KEYS: Setting = Setting {
    key: "web.default_keys",
    env: "FACTEUR_DEFAULT_KEYS",
    default: None,
    form: Form::Text,
    secrecy: Secrecy::Public,
    doc: "As whom requests without Authorization are taken, for front ends that send none: a path of a route family \
          (/twilio, /api/sms, /api/templates, /inbox or /api/v1), the id of an API key (not the key), and the origins \
          or networks for which it holds; `;` before the next one. An origin keeps other pages out, not other \
          programs: name networks where you can. No superadmin's key is taken.",
    store: |config, text| {
        config.web.default_keys = DefaultKey::parse_all(text)?;
        Ok(())
    },
};

pub(super) const JWT_SECRET: Setting = Setting {
    key: "web.jwt_secret",
    env: "FACTEUR_JWT_SECRET",
    default: None,
    form: Form::Text,
    secrecy: Secrecy::Secret,
    doc: "Shared secret of JSON Web Tokens (HS256) that are taken in an API key's place, at least 32 bytes. Their claims \
          are sub, role, tenant (none for a superadmin) and exp.",
    store: |config, text| {
        if text.trim().len() < facteur_web::SECRET_BYTES_MIN {
            return Err(format!("has less than {} bytes", facteur_web::SECRET_BYTES_MIN));
        }
        config.web.jwt_secret = Some(parse::secret(text)?);
        Ok(())
    },
};

pub(super) const JWT_JWKS_URL: Setting = Setting {
    key: "web.jwt_jwks_url",
    env: "FACTEUR_JWT_JWKS_URL",
    default: None,
    form: Form::Text,
    secrecy: Secrecy::Public,
    doc: "Where an issuer publishes the keys of its JSON Web Tokens (RS256, ES256): an https URL, or file:///… for a file. \
          Takes jwt_issuer and jwt_audience, for the issuer signs for others too.",
    store: |config, text| jwks(text).map(|jwks| config.web.jwks = Some(jwks)),
};

pub(super) const JWT_ISSUER: Setting = Setting {
    key: "web.jwt_issuer",
    env: "FACTEUR_JWT_ISSUER",
    default: None,
    form: Form::Text,
    secrecy: Secrecy::Public,
    doc: "What the claim iss of a JSON Web Token must be. Unset, it is not looked at.",
    store: |config, text| parse::line(text).map(|text| config.web.jwt_issuer = Some(text)),
};

pub(super) const JWT_AUDIENCE: Setting = Setting {
    key: "web.jwt_audience",
    env: "FACTEUR_JWT_AUDIENCE",
    default: None,
    form: Form::Text,
    secrecy: Secrecy::Public,
    doc: "What the claim aud of a JSON Web Token must be or hold. Unset, a token that names an audience is not taken.",
    store: |config, text| parse::line(text).map(|text| config.web.jwt_audience = Some(text)),
};

/// An issuer that signs for many says for whom: without that, a token for another application would do.
pub(super) fn unbound_issuer(config: &Config) -> Option<String> {
    let web = &config.web;
    let is_unbound = web.jwks.is_some() && (web.jwt_issuer.is_none() || web.jwt_audience.is_none());
    is_unbound.then(|| {
        "FACTEUR_JWT_JWKS_URL (web.jwt_jwks_url) is set, but FACTEUR_JWT_ISSUER or FACTEUR_JWT_AUDIENCE is not: the issuer \
         signs for other applications too, so set both"
            .to_owned()
    })
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty())
}

fn jwks(text: &str) -> Result<Jwks, String> {
    let form = || "is neither an https URL (http on this machine) nor file:///…".to_owned();
    let url = Url::parse(text.trim()).map_err(|_| form())?;
    match url.scheme() {
        "file" => url.to_file_path().map(Jwks::File).map_err(|()| form()),
        "https" => Ok(Jwks::Url(url)),
        "http" if facteur_twilio::is_loopback(&url) => Ok(Jwks::Url(url)),
        _ => Err(form()),
    }
}

#[cfg(test)]
#[path = "web_settings_tests.rs"]
mod tests;
