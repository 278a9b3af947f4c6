//! Which of the published keys count, and when they are looked for.

use std::time::Duration;

use recado_testkit::identity_provider::{IdentityProvider, key_set};
use recado_testkit::stub::{Fault, Reply};
use recado_testkit::wait_for;
use tokio::time::advance;

use super::super::keys::KeySet;
use super::*;

fn with(mut jwk: Value, field: &str, value: Value) -> Value {
    jwk[field] = value;
    jwk
}

/// Which of these names are found among `keys`, as names of keys of `algorithm`.
fn found<const N: usize>(
    keys: &[Value],
    algorithm: Algorithm,
    names: [Option<&str>; N],
) -> [bool; N] {
    let set = KeySet::parse(json!({"keys": keys}).to_string().as_bytes()).unwrap();
    names.map(|kid| set.key(algorithm, kid).is_some())
}

fn is_usable(jwk: Value) -> bool {
    found(&[jwk], Algorithm::ES256, [None]) == [true]
}

#[test]
fn a_key_that_is_not_for_tokens_is_passed_over() {
    let jwk = SigningKey::p256("k").jwk();
    let p256 = |field, value| with(jwk.clone(), field, value);
    for good in [
        p256("use", json!(null)),
        p256("alg", json!(null)),
        p256("key_ops", json!(["verify"])),
        p256("x5c", json!(["whatever"])),
        p256("some", json!({"thing": "new"})),
    ] {
        assert!(is_usable(good.clone()), "{good}");
    }
    for bad in [
        p256("use", json!("enc")),
        p256("use", json!("anything")),
        p256("alg", json!("ES384")),
        p256("alg", json!("HS256")),
        p256("alg", json!("ECDH-ES")),
        p256("key_ops", json!(["encrypt"])),
        p256("key_ops", json!([])),
        p256("crv", json!("P-384")),
        p256("crv", json!("secp256k1")),
        p256("kty", json!("OKP")),
        p256("kty", json!("RSA")),
        p256("d", json!("a private half")),
        p256("x", json!("")),
        p256("x", json!("AAAA")),
        p256("x", json!("not base64!")),
        p256("y", json!(7)),
        p256("kid", json!("k".repeat(257))),
        p256("kid", json!(7)),
    ] {
        assert!(!is_usable(bad.clone()), "{bad}");
    }
    let shared = json!({"kty": "oct", "k": "c2VjcmV0", "kid": "k"});
    for algorithm in [Algorithm::HS256, Algorithm::ES256, Algorithm::RS256] {
        assert_eq!(found(std::slice::from_ref(&shared), algorithm, [Some("k"), None]), [false; 2]);
    }
}

#[test]
fn weak_keys_of_rsa_are_passed_over() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let rsa = |bytes: usize, first: u8| {
        let n = [&[first], vec![0xff; bytes - 1].as_slice()].concat();
        let jwk = json!({"kty": "RSA", "kid": "k", "e": "AQAB", "n": URL_SAFE_NO_PAD.encode(n)});
        found(&[jwk], Algorithm::RS256, [Some("k")]) == [true]
    };
    assert!(rsa(256, 0x80) && rsa(512, 0x80));
    assert!(!rsa(128, 0x80) && !rsa(255, 0xff) && !rsa(256, 0x7f) && !rsa(2_048, 0x80));
    // Zeros before a number make it no longer.
    assert!(!rsa(256, 0));
}

#[test]
fn a_set_may_hold_what_nobody_understands() {
    let jwk = SigningKey::ed25519("k").jwk();
    let newer = with(jwk.clone(), "alg", json!("Ed25519"));
    let keys = [json!(null), json!("text"), json!({}), json!({"kty": "AKP"}), newer];
    assert_eq!(found(&keys, Algorithm::EdDSA, [Some("k"), None, Some("")]), [true, true, false]);
    for no_set in ["", "[]", "null", "{}", r#"{"keys": {}}"#, r#"{"keys": [}"#, "\u{feff}"] {
        assert!(KeySet::parse(no_set.as_bytes()).is_err(), "{no_set}");
    }
    let many = vec![json!({"kty": "AKP"}); 100].into_iter().chain([jwk]).collect::<Vec<_>>();
    assert_eq!(found(&many, Algorithm::EdDSA, [Some("k")]), [false], "only so many are read");
}

#[test]
fn a_name_that_two_keys_have_is_nobodys() {
    let (one, other) = (SigningKey::p256("k").jwk(), SigningKey::p256("k").jwk());
    let edwards = SigningKey::ed25519("k").jwk();
    let names = [Some("k"), None];
    assert_eq!(found(&[one.clone(), one.clone()], Algorithm::ES256, names), [true; 2]);
    for pair in [[one.clone(), other.clone()], [other.clone(), one.clone()]] {
        assert_eq!(found(&pair, Algorithm::ES256, names), [false; 2]);
    }
    // Of another algorithm, it is another name.
    let both = [one.clone(), edwards];
    assert_eq!(found(&both, Algorithm::ES256, names), [true; 2]);
    assert_eq!(found(&both, Algorithm::EdDSA, names), [true; 2]);
    // Without a name, only the only one.
    let nameless = [with(one, "kid", json!(null)), with(other, "kid", json!("l"))];
    assert_eq!(
        found(&nameless, Algorithm::ES256, [None, Some("l"), Some("k")]),
        [false, true, false]
    );
}

#[tokio::test]
async fn a_token_of_an_identity_provider_may_leave_out_nbf_and_nothing_else() {
    let key = SigningKey::ed25519("k");
    Published::new(&key_set(&[&key]), None)
        .during(async |published| {
            for name in ["nbf", "iat"] {
                let token = key.sign(&claims_but(name, None));
                assert_eq!(published.verify(&token).await.unwrap(), ana());
            }
            for name in ["sub", "tenant_id", "role", "iss", "aud", "exp"] {
                let token = key.sign(&claims_but(name, None));
                assert!(is_refused(&published.verify(&token).await), "without {name}");
            }
            for (name, value) in [
                ("iss", json!("other")),
                ("aud", json!(["other"])),
                ("exp", json!(1_799_999_970)),
                ("nbf", json!(1_800_000_031)),
            ] {
                let token = key.sign(&claims_but(name, Some(value)));
                assert!(is_refused(&published.verify(&token).await), "wrong {name}");
            }
            let mut operator = claims_but("tenant_id", None);
            operator["role"] = json!("operator");
            let found = published.verify(&key.sign(&operator)).await.unwrap();
            assert_eq!(found, Identity::Operator { subject: "ana".into() });

            let nameless = Header::new(Algorithm::EdDSA);
            assert!(published.verify(&key.sign_under(&nameless, &claims())).await.is_ok());
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_looked_for_but_not_for_everybody_who_makes_one_up() {
    let [a, b, c] = ["a", "b", "c"].map(SigningKey::ed25519);
    Published::new(&key_set(&[&a]), None)
        .during(async |published| {
            let is_good =
                async |key: &SigningKey| published.verify(&key.sign(&claims())).await.is_ok();
            assert!(is_good(&a).await && !is_good(&b).await);

            published.publish(&key_set(&[&a, &b]));
            assert!(!is_good(&b).await, "was looked for just now");
            advance(Duration::from_secs(30)).await;
            assert!(is_good(&b).await && is_good(&a).await);

            // A key that is taken away is gone with the next regular look, whatever is asked for.
            published.publish(&key_set(&[&b, &c]));
            assert!(is_good(&a).await, "known ones are not looked for");
            tokio::time::sleep(Duration::from_mins(11)).await;
            assert!(!is_good(&a).await && is_good(&b).await && is_good(&c).await);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn the_last_good_keys_stay_good_while_there_are_no_others() {
    let [a, b] = ["a", "b"].map(SigningKey::ed25519);
    Published::new(&key_set(&[&a]), None)
        .during(async |published| {
            let is_good =
                async |key: &SigningKey| published.verify(&key.sign(&claims())).await.is_ok();
            assert!(is_good(&a).await);
            let huge = with(key_set(&[&b]), "padding", json!("x".repeat(256 * 1024)));
            let none = json!({"keys": []});
            let useless = json!({"keys": [with(b.jwk(), "use", json!("enc"))]});
            for broken in [json!("no set"), huge, none, useless] {
                published.publish(&broken);
                tokio::time::sleep(Duration::from_mins(11)).await;
                assert!(is_good(&a).await && !is_good(&b).await);
            }
            fs::remove_file(&published.path).unwrap();
            tokio::time::sleep(Duration::from_mins(11)).await;
            assert!(is_good(&a).await);

            published.publish(&key_set(&[&b]));
            tokio::time::sleep(Duration::from_secs(31)).await;
            assert!(
                is_good(&b).await && !is_good(&a).await,
                "after a failure it is looked again soon"
            );
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn keys_that_are_not_there_yet_lock_nobody_in() {
    let key = SigningKey::ed25519("k");
    let published = Published::new(&json!(null), Some(SECRET));
    fs::remove_file(&published.path).unwrap();
    published
        .during(async |published| {
            assert!(is_refused(&published.verify(&key.sign(&claims())).await));
            assert!(published.verify(&hs256(&claims(), SECRET)).await.is_ok());
            published.publish(&key_set(&[&key]));
            tokio::time::sleep(Duration::from_secs(31)).await;
            assert!(published.verify(&key.sign(&claims())).await.is_ok());
        })
        .await;
}

#[tokio::test]
async fn a_provider_that_answers_nonsense_is_asked_again() {
    let key = SigningKey::ed25519("k");
    let provider = IdentityProvider::start(&[&key]);
    let elsewhere = Reply::text(302, "").with_header("Location", &provider.jwks_url());
    for fault in [
        Fault::status(503),
        Fault::status(404),
        Fault::malformed_json(),
        Fault::Answer(elsewhere),
        Fault::Answer(Reply::text(200, &"x".repeat(300 * 1024))),
        Fault::Cut,
        Fault::Break(10),
    ] {
        let looks = provider.count();
        provider.fail_next(1, &fault);
        let jwks = Some(JwksSource::Url(provider.jwks_url().parse().unwrap()));
        let tokens = Tokens::new(TokenSettings { secret: None, jwks, ..settings() }).unwrap();
        let checked = async {
            let first = async || (provider.count() > looks).then_some(());
            wait_for("the first look", Duration::from_secs(20), first).await.unwrap();
            tokens.verify(&key.sign(&claims()), now()).await
        };
        tokio::select! {
            () = tokens.keep_current() => unreachable!("it never ends"),
            found = checked => assert_eq!(found.unwrap(), ana(), "after {fault:?}"),
        }
        assert_eq!(provider.count(), looks + 2, "{fault:?}");
    }
}
