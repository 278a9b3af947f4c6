//! Tokens that are made to be taken for good ones (RFC 8725, 2).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::Jwk;
use recado_testkit::identity_provider::{IdentityProvider, key_set};

use super::*;

struct Keys {
    rsa: SigningKey,
    p256: SigningKey,
    ed25519: SigningKey,
}

impl Keys {
    fn new() -> Self {
        Self {
            rsa: SigningKey::rsa("rsa-1"),
            p256: SigningKey::p256("ec-1"),
            ed25519: SigningKey::ed25519("ed-1"),
        }
    }

    fn all(&self) -> [&SigningKey; 3] {
        [&self.rsa, &self.p256, &self.ed25519]
    }

    fn published(&self, secret: Option<&[u8]>) -> Published {
        Published::new(&key_set(&self.all()), secret)
    }
}

async fn assert_refused(published: &Published, token: &str, what: &str) {
    assert!(is_refused(&published.verify(token).await), "{what}: {token}");
}

/// The three parts of a token.
fn parts(token: &str) -> [&str; 3] {
    token.split('.').collect::<Vec<_>>().try_into().unwrap()
}

fn under(header: &Value, token: &str) -> String {
    let [_, payload, signature] = parts(token);
    format!("{}.{payload}.{signature}", URL_SAFE_NO_PAD.encode(header.to_string()))
}

fn decoded(jwk: &Value, field: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(jwk[field].as_str().unwrap()).unwrap()
}

/// The `SubjectPublicKeyInfo` of a key of P-256 (RFC 5480): its form as DER and, wrapped, as PEM.
fn p256_der(jwk: &Value) -> Vec<u8> {
    let head = hex_bytes("3059301306072a8648ce3d020106082a8648ce3d03010703420004");
    [head, decoded(jwk, "x"), decoded(jwk, "y")].concat()
}

fn hex_bytes(text: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digits).collect()
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}

/// `RSAPublicKey` (RFC 8017, A.1.1) of a modulus of 256 bytes and the exponent 65537.
fn rsa_der(jwk: &Value) -> Vec<u8> {
    [hex_bytes("3082010a0282010100"), decoded(jwk, "n"), hex_bytes("0203010001")].concat()
}

#[tokio::test]
async fn every_kind_of_key_is_good_for_its_own_algorithm_only() {
    let keys = Keys::new();
    keys.published(None)
        .during(async |published| {
            for key in keys.all() {
                let token = key.sign(&claims());
                assert_eq!(published.verify(&token).await.unwrap(), ana());
                let [header, payload, signature] = parts(&token);

                // Somebody else's name for it, and every other algorithm.
                for kid in ["rsa-1", "ec-1", "ed-1"] {
                    for algorithm in ["HS256", "RS256", "RS512", "PS256", "ES256", "ES384", "EdDSA"]
                    {
                        let claimed = json!({"alg": algorithm, "kid": kid});
                        let own = json!(key.header());
                        if claimed["alg"] != own["alg"] || claimed["kid"] != own["kid"] {
                            assert_refused(published, &under(&claimed, &token), "another key")
                                .await;
                        }
                    }
                }
                for name in ["none", "None", "NONE", "nOnE", "", "HS256 ", "rs256"] {
                    let unsigned = json!({"alg": name, "kid": json!(key.header())["kid"]});
                    let head = URL_SAFE_NO_PAD.encode(unsigned.to_string());
                    assert_refused(published, &format!("{head}.{payload}."), name).await;
                    assert_refused(published, &format!("{head}.{payload}.{signature}"), name).await;
                }

                // Another payload, and what is left of the token.
                let owner = claims_but("role", Some(json!("owner")));
                let richer = URL_SAFE_NO_PAD.encode(owner.to_string());
                for changed in [
                    format!("{header}.{richer}.{signature}"),
                    format!("{header}.{payload}.{}", &signature[..signature.len() - 4]),
                    format!("{header}.{payload}.{}", URL_SAFE_NO_PAD.encode([0; 64])),
                    format!("{header}.{payload}."),
                    format!("{header}.{payload}"),
                    format!("{token}."),
                    format!("{token}=="),
                    format!("{header}..{signature}"),
                    String::new(),
                    "..".into(),
                    "a".repeat(MAX_TOKEN_BYTES + 1),
                ] {
                    assert_refused(published, &changed, "changed").await;
                }
            }
        })
        .await;
}

#[tokio::test]
async fn nothing_public_serves_as_the_shared_secret() {
    let keys = Keys::new();
    let (rsa, p256, ed25519) = (keys.rsa.jwk(), keys.p256.jwk(), keys.ed25519.jwk());
    let public: Vec<Vec<u8>> = vec![
        decoded(&rsa, "n"),
        rsa_der(&rsa),
        pem(&rsa_der(&rsa)).into_bytes(),
        p256_der(&p256),
        pem(&p256_der(&p256)).into_bytes(),
        decoded(&ed25519, "x"),
        rsa.to_string().into_bytes(),
        p256.to_string().into_bytes(),
        key_set(&keys.all()).to_string().into_bytes(),
        Vec::new(),
    ];
    for secret in [None, Some(SECRET)] {
        keys.published(secret)
            .during(async |published| {
                for key in &public {
                    for kid in [None, Some("rsa-1"), Some("ec-1"), Some("ed-1")] {
                        let header =
                            Header { kid: kid.map(str::to_owned), ..Header::new(Algorithm::HS256) };
                        let key = EncodingKey::from_secret(key);
                        let token = encode(&header, &claims(), &key).unwrap();
                        assert_refused(published, &token, "key confusion").await;
                    }
                }
                let ours = published.verify(&hs256(&claims(), SECRET)).await;
                assert_eq!(ours.is_ok(), secret.is_some(), "both kinds of tokens may be good");
            })
            .await;
    }
}

#[tokio::test]
async fn nothing_in_a_header_leads_to_another_key() {
    let ours = SigningKey::p256("ours");
    let theirs = SigningKey::p256("ours");
    let server = IdentityProvider::start(&[&theirs]);
    let jwk: Jwk = serde_json::from_value(theirs.jwk()).unwrap();
    let certificate = STANDARD.encode(b"a certificate");
    let url = server.jwks_url();
    Published::new(&key_set(&[&ours]), Some(SECRET))
        .during(async |published| {
            for kid in ["ours", "theirs", "https://evil.example.com", ""] {
                let kid = Some(kid.to_owned());
                let plain = Header { kid, ..Header::new(Algorithm::ES256) };
                for header in [
                    plain.clone(),
                    Header { jwk: Some(jwk.clone()), ..plain.clone() },
                    Header { jku: Some(url.clone()), ..plain.clone() },
                    Header { x5u: Some(url.clone()), ..plain.clone() },
                    Header { x5c: Some(vec![certificate.clone()]), ..plain.clone() },
                ] {
                    let token = theirs.sign_under(&header, &claims());
                    assert_refused(published, &token, "a key of theirs").await;
                }
            }
            // Neither do they harm a good token: they are nothing to us.
            let header = Header { jku: Some(url.clone()), jwk: Some(jwk.clone()), ..ours.header() };
            assert!(published.verify(&ours.sign_under(&header, &claims())).await.is_ok());
            assert_eq!(server.count(), 0, "we went where a token sent us");

            let critical = Header { crit: Some(vec!["exp".into()]), ..ours.header() };
            assert_refused(published, &ours.sign_under(&critical, &claims()), "crit").await;
            let critical = Header { crit: Some(Vec::new()), ..ours.header() };
            assert_refused(published, &ours.sign_under(&critical, &claims()), "crit").await;
        })
        .await;
}

#[tokio::test]
async fn a_kid_is_a_name_and_nothing_else() {
    let ours = SigningKey::ed25519("ours");
    Published::new(&key_set(&[&ours]), Some(SECRET))
        .during(async |published| {
            let path = published.path.to_str().unwrap().to_owned();
            for kid in [
                "../../../../dev/null",
                "/dev/null",
                &path,
                "file:///dev/null",
                "ours' OR '1'='1",
                "ours'; DROP TABLE api_keys; --",
                "ours\0",
                " ours",
                "OURS",
                "$(id)",
                "{{7*7}}",
                &"a".repeat(2_500),
            ] {
                let header = Header { kid: Some(kid.into()), ..ours.header() };
                assert_refused(published, &ours.sign_under(&header, &claims()), kid).await;
                // The contents of /dev/null as a key.
                let header = Header { kid: Some(kid.into()), ..Header::new(Algorithm::HS256) };
                let token = encode(&header, &claims(), &EncodingKey::from_secret(b"")).unwrap();
                assert_refused(published, &token, kid).await;
            }
            for kid in [json!(["ours"]), json!({"$ne": ""}), json!(7), json!(true)] {
                let header = json!({"alg": "EdDSA", "kid": kid});
                assert_refused(published, &under(&header, &ours.sign(&claims())), "kid").await;
            }
            assert!(published.verify(&ours.sign(&claims())).await.is_ok());
        })
        .await;
}
