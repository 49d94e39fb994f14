use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const NOW_S: i64 = 1_800_000_000;

fn token(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

fn hmac(secret: &[u8]) -> impl Fn(&[u8]) -> Vec<u8> {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
    move |message| ring::hmac::sign(&key, message).as_ref().to_vec()
}

fn claims(changes: &Value) -> Value {
    let mut claims = json!({"sub": "ana", "role": "admin", "tenant": "acme", "exp": NOW_S + 300, "iss": "https://id", "aud": "facteur"});
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

fn jwt(secret: Option<&str>, jwks: Option<JwksSource>) -> Jwt {
    Jwt::new(JwtSettings {
        secret: secret.map(Into::into),
        jwks,
        issuer: Some("https://id".to_owned()),
        audience: Some("facteur".to_owned()),
    })
}

async fn actor(jwt: &Jwt, token: &str) -> Option<String> {
    let now = Timestamp::from_second(NOW_S).unwrap();
    jwt.bearer(token, now)
        .await
        .map(|bearer| format!("{} {:?} {:?}", bearer.actor, bearer.role, bearer.scope()))
}

#[tokio::test]
async fn a_token_of_the_shared_secret_says_who_it_is() {
    let jwt = jwt(Some(SECRET), None);
    let header = json!({"alg": "HS256", "typ": "JWT"});
    let of = |changes: Value| token(&header, &claims(&changes), hmac(SECRET.as_bytes()));
    let ana = Some("jwt:ana Admin Some(\"acme\")".to_owned());
    assert_eq!(actor(&jwt, &of(json!({}))).await, ana);
    assert_eq!(
        actor(&jwt, &of(json!({"exp": NOW_S - 20, "nbf": NOW_S + 20, "aud": ["x", "facteur"]}))).await,
        ana
    );
    let all = of(json!({"role": "superadmin", "tenant": null}));
    assert_eq!(actor(&jwt, &all).await, Some("jwt:ana Superadmin None".to_owned()));
    for wrong in [
        json!({"exp": NOW_S - 31}),
        json!({"exp": null}),
        json!({"exp": "soon"}),
        json!({"nbf": NOW_S + 31}),
        json!({"iss": "https://other"}),
        json!({"iss": null}),
        json!({"aud": "other"}),
        json!({"aud": null}),
        json!({"sub": null}),
        json!({"sub": ""}),
        json!({"sub": "a\nb"}),
        json!({"sub": "x".repeat(201)}),
        json!({"role": "root"}),
        json!({"role": null}),
        json!({"tenant": "No Slug"}),
        json!({"tenant": null}),
        json!({"role": "superadmin"}),
    ] {
        assert_eq!(actor(&jwt, &of(wrong.clone())).await, None, "{wrong}");
    }
    let good = of(json!({}));
    for wrong in ["", "..", "a.b.c", &good[1..], &good[..good.len() - 2], &"x".repeat(9_000)] {
        assert_eq!(actor(&jwt, wrong).await, None, "{wrong}");
    }
    let other = token(&header, &claims(&json!({})), hmac(b"another secret of thirty-two byt"));
    assert_eq!(actor(&jwt, &other).await, None);
}

#[tokio::test]
async fn an_issuers_keys_are_read_and_no_key_verifies_another_algorithm() {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
    let point = pair.public_key().as_ref().to_vec();
    let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
    let oct = URL_SAFE_NO_PAD.encode(SECRET);
    let set = json!({"keys": [
        {"kty": "EC", "crv": "P-256", "kid": "ec", "use": "sig", "alg": "ES256", "x": x, "y": y},
        {"kty": "EC", "crv": "P-256", "kid": "enc", "use": "enc", "x": x, "y": y},
        {"kty": "EC", "crv": "P-256", "kid": "es384", "alg": "ES384", "x": x, "y": y},
        {"kty": "oct", "kid": "oct", "k": oct},
    ]});
    let path = std::env::temp_dir().join(format!("facteur-jwks-{}.json", uuid::Uuid::new_v4()));
    std::fs::write(&path, set.to_string()).unwrap();
    let jwt = jwt(Some(SECRET), Some(JwksSource::File(path.clone())));
    let ec = |message: &[u8]| pair.sign(&random, message).unwrap().as_ref().to_vec();
    let claims = claims(&json!({}));
    let header = |alg: &str, kid: &str| json!({"alg": alg, "kid": kid});
    let good = token(&header("ES256", "ec"), &claims, ec);
    assert_eq!(actor(&jwt, &good).await, Some("jwt:ana Admin Some(\"acme\")".to_owned()));
    for kid in ["enc", "es384", "oct", "nobody"] {
        assert_eq!(actor(&jwt, &token(&header("ES256", kid), &claims, ec)).await, None, "{kid}");
    }
    assert_eq!(actor(&jwt, &token(&json!({"alg": "ES256"}), &claims, ec)).await, None, "no kid");
    assert_eq!(actor(&jwt, &token(&header("RS256", "ec"), &claims, ec)).await, None);
    // The public key as a shared secret, and no signature at all.
    for secret in [&point[..], &point[1..], x.as_bytes()] {
        assert_eq!(actor(&jwt, &token(&header("HS256", "ec"), &claims, hmac(secret))).await, None);
    }
    for alg in ["none", "None", "HS384", "EdDSA"] {
        assert_eq!(actor(&jwt, &token(&header(alg, "ec"), &claims, |_| vec![])).await, None, "{alg}");
    }
    std::fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn without_a_secret_no_shared_one_is_taken() {
    let jwt = jwt(None, None);
    for secret in ["", SECRET] {
        let token = token(&json!({"alg": "HS256"}), &claims(&json!({})), hmac(secret.as_bytes()));
        assert_eq!(actor(&jwt, &token).await, None);
    }
}
