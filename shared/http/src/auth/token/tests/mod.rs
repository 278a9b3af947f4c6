//! Tokens that are good, and everything that is tried with others.

mod attacks;
mod published;

use std::fs;
use std::path::PathBuf;

use chrono::TimeDelta;
use jsonwebtoken::{EncodingKey, Header, encode};
use recado_testkit::identity_provider::SigningKey;
use recado_testkit::scratch::ScratchDir;
use recado_types::TenantId;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::auth::{Member, Role};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

fn settings() -> TokenSettings {
    TokenSettings {
        secret: Some(SECRET.to_vec()),
        jwks: None,
        authorities: Authorities::default(),
        issuer: "recado".into(),
        audience: "recado-api".into(),
        claims: ClaimNames::default(),
    }
}

fn issuer() -> TokenIssuer {
    TokenIssuer::new(SECRET, "recado".into(), "recado-api".into(), ClaimNames::default()).unwrap()
}

fn tokens() -> Tokens {
    Tokens::new(settings()).unwrap()
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn ana() -> Identity {
    let tenant = TenantId(Uuid::from_u128(7));
    Identity::Member(Member { tenant, subject: "ana".into(), role: Role::Editor })
}

fn new_token() -> NewToken {
    let membership = Some((TenantId(Uuid::from_u128(7)), Role::Editor));
    NewToken { subject: "ana".into(), membership, lifetime: TimeDelta::minutes(5) }
}

fn claims() -> Value {
    json!({
        "sub": "ana", "tenant_id": Uuid::from_u128(7), "role": "editor", "iss": "recado",
        "aud": "recado-api", "iat": 1_800_000_000, "nbf": 1_800_000_000, "exp": 1_800_000_300,
    })
}

/// The claims with one of them changed, or left out.
fn claims_but(name: &str, value: Option<Value>) -> Value {
    let mut claims = claims();
    match value {
        Some(value) => claims[name] = value,
        None => drop(claims.as_object_mut().unwrap().remove(name)),
    }
    claims
}

fn hs256(claims: &Value, secret: &[u8]) -> String {
    encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(secret)).unwrap()
}

/// A file of published keys, and tokens that are checked with it.
struct Published {
    tokens: Tokens,
    path: PathBuf,
    _directory: ScratchDir,
}

impl Published {
    fn new(set: &Value, secret: Option<&[u8]>) -> Self {
        let directory = ScratchDir::new().unwrap();
        let path = directory.path().join("jwks.json");
        let jwks = Some(JwksSource::File(path.clone()));
        let secret = secret.map(<[u8]>::to_vec);
        let tokens = Tokens::new(TokenSettings { secret, jwks, ..settings() }).unwrap();
        let published = Self { tokens, path, _directory: directory };
        published.publish(set);
        published
    }

    fn publish(&self, set: &Value) {
        fs::write(&self.path, set.to_string()).unwrap();
    }

    async fn verify(&self, token: &str) -> Result<Identity, ApiError> {
        self.tokens.verify(token, now()).await
    }

    /// Does `scenario` while the keys are kept current.
    async fn during(&self, scenario: impl AsyncFnOnce(&Self)) {
        tokio::select! {
            () = self.tokens.keep_current() => unreachable!("it never ends"),
            () = scenario(self) => {}
        }
    }
}

fn is_refused(checked: &Result<Identity, ApiError>) -> bool {
    checked.as_ref().is_err_and(|error| error.problem() == Problem::InvalidToken)
}

async fn refuses(tokens: &Tokens, token: &str) -> bool {
    is_refused(&tokens.verify(token, now()).await)
}

#[tokio::test]
async fn an_issued_token_says_who_is_asking() {
    let operator = NewToken { membership: None, ..new_token() };
    let somebody = Identity::Operator { subject: "ana".into() };
    for (new, identity) in [(new_token(), ana()), (operator, somebody)] {
        let token = issuer().issue(&new, now());
        assert_eq!(tokens().verify(&token, now()).await.unwrap(), identity);
    }
}

#[tokio::test]
async fn a_token_is_good_from_its_beginning_to_its_end_give_or_take_the_leeway() {
    let token = issuer().issue(&new_token(), now());
    for (offset, is_good) in
        [(-31, false), (-30, true), (0, true), (300, true), (329, true), (330, false)]
    {
        let checked = tokens().verify(&token, now() + TimeDelta::seconds(offset)).await;
        assert_eq!(checked.is_ok(), is_good, "{offset}");
    }
}

#[tokio::test]
async fn every_claim_is_required_and_checked() {
    let tokens = tokens();
    assert!(!refuses(&tokens, &hs256(&claims(), SECRET)).await);
    for name in ["sub", "tenant_id", "role", "iss", "aud", "nbf", "exp"] {
        let without = hs256(&claims_but(name, None), SECRET);
        assert!(refuses(&tokens, &without).await, "without {name}");
        let null = hs256(&claims_but(name, Some(Value::Null)), SECRET);
        assert!(refuses(&tokens, &null).await, "null {name}");
    }
    let wrong = [
        ("iss", json!("other")),
        ("iss", json!(["recado"])),
        ("aud", json!("other")),
        ("aud", json!([])),
        ("aud", json!(["other", 7])),
        ("sub", json!("")),
        ("sub", json!("a".repeat(1_025))),
        ("sub", json!("a\0b")),
        ("sub", json!("\u{1b}[31ma")),
        ("role", json!("root")),
        // An operator is nobody's.
        ("role", json!("operator")),
        ("role", json!(["editor"])),
        ("tenant_id", json!("*")),
        ("tenant_id", json!("")),
        ("exp", json!("never")),
        ("exp", json!(1_799_999_970)),
        ("exp", json!(-1)),
        ("exp", json!(1e300)),
        ("exp", json!(u64::MAX)),
        // The year 10000, and a time in milliseconds.
        ("exp", json!(253_402_300_800_i64)),
        ("exp", json!(1_800_000_300_000_i64)),
        ("exp", json!(true)),
        ("nbf", json!(-1)),
        ("nbf", json!(-1e300)),
        ("nbf", json!("1800000000")),
        ("iat", json!(1e300)),
        ("iat", json!(-0.5)),
        ("iat", json!("now")),
        ("iat", Value::Null),
        ("nbf", json!(1_800_000_031)),
        ("nbf", json!(1e300)),
    ];
    for (name, value) in wrong {
        let token = hs256(&claims_but(name, Some(value.clone())), SECRET);
        assert!(refuses(&tokens, &token).await, "{name}: {value}");
    }
    let also_good = [
        ("aud", json!(["other", "recado-api"])),
        ("exp", json!(1_800_000_300.75)),
        ("exp", json!(253_402_300_799_i64)),
        ("nbf", json!(0)),
        ("iat", json!(1_799_999_999.25)),
        ("role", json!("owner")),
    ];
    for (name, value) in also_good {
        let token = hs256(&claims_but(name, Some(value.clone())), SECRET);
        assert!(!refuses(&tokens, &token).await, "{name}: {value}");
    }
}

#[tokio::test]
async fn claims_of_ours_may_have_other_names() {
    let names =
        ClaimNames { tenant: "https://e.com/tenant".into(), role: "https://e.com/role".into() };
    let tokens = Tokens::new(TokenSettings { claims: names.clone(), ..settings() }).unwrap();
    let issuer = TokenIssuer::new(SECRET, "recado".into(), "recado-api".into(), names).unwrap();
    let token = issuer.issue(&new_token(), now());
    assert_eq!(tokens.verify(&token, now()).await.unwrap(), ana());
    assert!(refuses(&tokens, &hs256(&claims(), SECRET)).await);
    // Without the tenant's claim under its own name it is no operator's either.
    assert!(refuses(&tokens, &hs256(&claims_but("role", Some(json!("operator"))), SECRET)).await);
}

#[tokio::test]
async fn what_is_not_configured_is_refused() {
    let nothing = Tokens::new(TokenSettings { secret: None, ..settings() }).unwrap();
    assert!(refuses(&nothing, &hs256(&claims(), SECRET)).await);
    assert!(refuses(&nothing, &hs256(&claims(), b"")).await);
    let key = SigningKey::ed25519("k");
    assert!(refuses(&tokens(), &key.sign(&claims())).await);
}

#[test]
fn a_short_secret_is_refused() {
    let weak = TokenSettings { secret: Some(SECRET[1..].to_vec()), ..settings() };
    assert!(matches!(Tokens::new(weak), Err(TokenError::WeakSecret)));
    let shown = format!("{:?} {:?} {:?}", settings(), tokens(), issuer());
    assert!(!shown.contains("0123") && !shown.contains("48, 49"), "{shown}");
}
