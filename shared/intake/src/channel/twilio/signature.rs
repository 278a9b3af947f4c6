//! `X-Twilio-Signature`: base64 of an HMAC-SHA1, under the auth token, over the URL that Twilio
//! was given and the fields of the form, sorted, without anything between them.
//!
//! A JSON body is not part of that: its SHA-256 stands in the URL, as `bodySHA256`.
//!
//! Twilio may add fields at any time, so all that came are signed, never a fixed list. Whether the
//! port belongs to the URL is inconsistent on their side; both are tried, as their own libraries do.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::Hmac;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use url::form_urlencoded;

use super::super::hmac::is_code_of;
use crate::auth::{Keys, Received};
use crate::payload::form;

const HEADER: &str = "X-Twilio-Signature";
const BODY_HASH: &str = "bodySHA256";

/// Whether Twilio, or somebody else with one of the auth tokens, made `request`.
pub(super) fn is_authentic(request: &Received<'_>, auth_tokens: &Keys) -> bool {
    let claimed = request.only_header(HEADER).and_then(|text| BASE64.decode(text.trim()).ok());
    let Some(claimed) = claimed else { return false };
    let claimed = [claimed];
    let Some(signed_after_url) = signed_after_url(request) else { return false };
    let urls = [
        request.public_url.without_port(request.path_and_query),
        request.public_url.with_port(request.path_and_query),
    ];
    auth_tokens.any(request.at, |auth_token| {
        urls.iter().any(|url| {
            let signed = [url.as_bytes(), signed_after_url.as_bytes()];
            is_code_of::<Hmac<Sha1>>(&claimed, auth_token, &signed)
        })
    })
}

/// What is signed beside the URL; `None` if the body is not the one that was signed, or no form
/// that we would read.
fn signed_after_url(request: &Received<'_>) -> Option<String> {
    let body_hash = form_urlencoded::parse(request.query().as_bytes())
        .find(|(name, _)| name.as_ref() == BODY_HASH);
    match body_hash {
        Some((_, hash)) => is_hash_of(&hash, request.body).then(String::new),
        None => form::pairs(request.body, request.limits.form_fields).ok().map(sorted),
    }
}

fn is_hash_of(hash: &str, body: &[u8]) -> bool {
    let Ok(claimed) = hex::decode(hash) else { return false };
    let digest = Sha256::digest(body);
    claimed.ct_eq(digest.as_slice()).into()
}

/// Names in order, each with its values in order and without repetitions.
fn sorted(pairs: Vec<(String, String)>) -> String {
    let mut fields: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, value) in pairs {
        fields.entry(name).or_default().insert(value);
    }
    let of_field = |(name, values): (&String, &BTreeSet<String>)| -> String {
        values.iter().flat_map(|value| [name.as_str(), value.as_str()]).collect()
    };
    fields.iter().map(of_field).collect()
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
    use chrono::DateTime;
    use hmac::{KeyInit, Mac};
    use proptest::prelude::*;

    use super::*;
    use crate::payload::PayloadLimits;
    use crate::public_url::PublicUrl;

    const MAX_FIELDS: usize = 8;

    /// The vectors that Twilio's own libraries are tested with.
    const TOKEN: &str = "12345";
    const PATH: &str = "/myapp.php?foo=1&bar=2";
    const FORM: &str = "CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&\
                        From=%2B14158675309&To=%2B18005551212";
    const SIGNATURE: &str = "RSOYDt4T1cUTdK1PDd93/VVr8B8=";

    fn accepts(base: &str, path: &str, signature: &str, body: &[u8]) -> bool {
        let public_url: PublicUrl = base.parse().unwrap();
        let mut headers = HeaderMap::new();
        let signature = HeaderValue::from_str(signature).unwrap();
        headers.insert(HeaderName::from_static("x-twilio-signature"), signature);
        let request = Received {
            public_url: &public_url,
            path_and_query: path,
            headers: &headers,
            body,
            at: DateTime::UNIX_EPOCH,
            limits: PayloadLimits { form_fields: MAX_FIELDS, ..PayloadLimits::default() },
        };
        is_authentic(&request, &Keys::own(TOKEN, None))
    }

    fn signed(url: &str, rest: &str) -> String {
        let mac = Hmac::<Sha1>::new_from_slice(TOKEN.as_bytes()).unwrap();
        BASE64.encode(mac.chain_update(url).chain_update(rest).finalize().into_bytes())
    }

    #[test]
    fn the_published_vectors_are_accepted() {
        let base = "https://mycompany.com";
        assert!(accepts(base, PATH, SIGNATURE, FORM.as_bytes()));
        // Signed with the port, although nobody gave one.
        assert!(accepts(base, PATH, "kvajT1Ptam85bY51eRf/AJRuM3w=", FORM.as_bytes()));

        let repeated = b"Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234&Digits=1234";
        assert!(accepts(base, PATH, "IK+Dwps556ElfBT0I3Rgjkr1wJU=", repeated));

        let body = br#"{"property": "value", "boolean": true}"#;
        let path = format!("{PATH}&{BODY_HASH}={}", hex::encode(Sha256::digest(body)));
        assert!(path.contains("0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"));
        assert!(accepts(base, &path, "a9nBmqA0ju/hNViExpshrM61xv4=", body));
        assert!(!accepts(base, &path, "a9nBmqA0ju/hNViExpshrM61xv4=", b"{}"));
    }

    #[test]
    fn a_port_in_the_public_address_may_be_signed_or_not() {
        for url in ["https://mycompany.com:8443/x", "https://mycompany.com/x"] {
            assert!(accepts("https://mycompany.com:8443", "/x", &signed(url, "a1"), b"a=1"));
        }
        let other_port = signed("https://mycompany.com:9443/x", "a1");
        assert!(!accepts("https://mycompany.com:8443", "/x", &other_port, b"a=1"));
    }

    #[test]
    fn anything_else_is_refused() {
        let base = "https://mycompany.com";
        for (path, signature, body) in [
            (PATH, "", FORM.to_owned()),
            (PATH, "not base64!", FORM.to_owned()),
            (PATH, "AAAA", FORM.to_owned()),
            (PATH, SIGNATURE, FORM.replace("1234", "1235")),
            (PATH, SIGNATURE, format!("{FORM}&extra=")),
            (PATH, SIGNATURE, format!("{FORM}&extra=%ff")),
            ("/myapp.php?foo=1&bar=3", SIGNATURE, FORM.to_owned()),
        ] {
            assert!(!accepts(base, path, signature, body.as_bytes()), "{path} {signature} {body}");
        }
        assert!(!accepts("https://other.com", PATH, SIGNATURE, FORM.as_bytes()));
        assert!(!accepts("http://mycompany.com", PATH, SIGNATURE, FORM.as_bytes()));
    }

    #[test]
    fn a_body_cannot_be_added_to_a_url_that_was_signed_alone() {
        let url = "https://mycompany.com/x";
        assert!(accepts("https://mycompany.com", "/x", &signed(url, ""), b""));
        assert!(!accepts("https://mycompany.com", "/x", &signed(url, ""), b"a=1"));
        let hashed = "/x?bodySHA256=";
        let signature = signed("https://mycompany.com/x?bodySHA256=", "");
        assert!(!accepts("https://mycompany.com", hashed, &signature, b""));
    }

    #[test]
    fn no_more_fields_are_read_than_a_form_may_have() {
        for (n_fields, is_read) in [(MAX_FIELDS, true), (MAX_FIELDS + 1, false)] {
            let signature = signed("https://h/x", "a1");
            let body = vec!["a=1"; n_fields].join("&");
            assert_eq!(accepts("https://h", "/x", &signature, body.as_bytes()), is_read);
        }
    }

    proptest! {
        #[test]
        fn every_form_that_twilio_signs_is_accepted_and_its_changes_are_not(
            fields in prop::collection::vec(("[A-Za-z]{1,6}", "\\PC{0,12}"), 1..8),
            extra in "[a-z]{1,8}",
        ) {
            let signature = signed("https://h/x", &sorted(fields.clone()));
            let body = serde_urlencoded::to_string(&fields).unwrap();
            prop_assert!(accepts("https://h", "/x", &signature, body.as_bytes()));
            let changed = format!("{body}{extra}");
            prop_assert!(!accepts("https://h", "/x", &signature, changed.as_bytes()));
        }
    }
}
