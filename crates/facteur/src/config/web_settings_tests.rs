use std::collections::BTreeMap;

use crate::config::{Jwks, Loaded, Sources, load};

const ID: &str = "0197c1de-6b1c-7c3e-9a53-5a3f0a5f2f11";
const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn loaded(variables: &[(&str, &str)]) -> Result<Loaded, String> {
    let environment: BTreeMap<_, _> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect();
    load(&Sources { environment, ..Sources::default() }).map_err(|problems| problems.to_string())
}

#[test]
fn who_may_use_the_api_is_read_into_types() {
    let default_key = format!("/twilio {ID} https://app.example.org 10.0.0.0/8");
    let loaded = loaded(&[
        ("FACTEUR_CORS_ORIGINS", "https://app.example.org, http://localhost:3000"),
        ("FACTEUR_TRUSTED_PROXIES", "10.0.0.0/8 ::1"),
        ("FACTEUR_DEFAULT_KEYS", &default_key),
        ("FACTEUR_JWT_SECRET", SECRET),
        ("FACTEUR_JWT_JWKS_URL", "https://id.example.org/keys"),
        ("FACTEUR_JWT_ISSUER", "https://id.example.org/"),
        ("FACTEUR_JWT_AUDIENCE", "facteur"),
    ]);
    let web = loaded.unwrap().config.web;
    assert_eq!(web.cors_origins, ["https://app.example.org", "http://localhost:3000"]);
    assert_eq!((web.trusted_proxies.len(), web.default_keys.len()), (2, 1));
    assert_eq!(web.default_keys[0].origins(), ["https://app.example.org"]);
    assert!(matches!(web.jwks, Some(Jwks::Url(_))) && !format!("{web:?}").contains(SECRET));
}

#[test]
fn what_would_let_strangers_in_or_means_nothing_is_refused() {
    let bound = [("FACTEUR_JWT_ISSUER", "i"), ("FACTEUR_JWT_AUDIENCE", "a")];
    for (name, value, says) in [
        ("FACTEUR_CORS_ORIGINS", "*", "no origin"),
        ("FACTEUR_CORS_ORIGINS", "https://app.example.org/x", "no origin"),
        ("FACTEUR_TRUSTED_PROXIES", "proxy", "no network"),
        ("FACTEUR_DEFAULT_KEYS", "/v1 x", "in no family"),
        ("FACTEUR_JWT_SECRET", "short", "less than 32 bytes"),
        ("FACTEUR_JWT_JWKS_URL", "http://id.example.org/keys", "neither an https URL"),
        ("FACTEUR_JWT_JWKS_URL", "keys.json", "neither an https URL"),
    ] {
        let why = loaded(&[&bound[..], &[(name, value)]].concat()).err().unwrap();
        assert!(why.contains(name) && why.contains(says), "{name}={value}: {why}");
        assert!(name != "FACTEUR_JWT_SECRET" || !why.contains(value), "{why}");
    }
    let unbound = loaded(&[("FACTEUR_JWT_JWKS_URL", "https://id.example.org/keys"), bound[0]]).err().unwrap();
    assert!(unbound.contains("FACTEUR_JWT_AUDIENCE"), "{unbound}");
}
