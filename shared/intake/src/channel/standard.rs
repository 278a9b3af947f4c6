//! Standard Webhooks, and Svix, which is the same under other names: the headers `webhook-id`,
//! `webhook-timestamp` and `webhook-signature`, or `svix-…`. Signed is `<id>.<timestamp>.<body>`,
//! so the id that a retry is known by is as authentic as the body, which may be any bytes.
//!
//! Both kinds of channel take both sets of headers: services send through Svix without saying so.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use recado_types::trigger;
use serde_json::Value;

use super::hmac::is_sha256_of;
use super::signed::{base64_key, is_recent};
use super::{Arrival, Channel, Incoming, Secrets};
use crate::auth::{Keys, Received};
use crate::refusal::Refusal;

/// The adapter of `standard_webhooks` and `svix`. A message is what its payload is.
#[derive(Debug)]
pub(super) struct Standard {
    keys: Keys,
}

impl Standard {
    pub(super) fn new(channel: &trigger::Channel, secrets: &Secrets) -> Self {
        Self { keys: secrets.keys(channel.signing_secret_ref.as_deref(), key) }
    }
}

/// The key in a `whsec_<base64>`.
fn key(line: &str) -> Option<Vec<u8>> {
    base64_key(line.strip_prefix("whsec_").unwrap_or(line))
}

impl Channel for Standard {
    fn is_authentic(&self, request: &Received<'_>) -> bool {
        let Some(Headers { id, timestamp, signature }) = Headers::of(request) else { return false };
        let codes: Vec<_> = signature.split(' ').filter_map(code).collect();
        let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", request.body];
        is_recent(timestamp, request.at)
            && self.keys.any(request.at, |key| is_sha256_of(&codes, key, &signed))
    }

    fn interpret(&self, request: &Received<'_>, payload: Value) -> Result<Arrival, Refusal> {
        let provider_id = Headers::of(request).map(|headers| headers.id.to_owned());
        Ok(Arrival::Messages(vec![Incoming { provider_id, ..Incoming::of(payload) }]))
    }
}

/// The code of one signature. Those of versions that we do not know are somebody else's to check.
fn code(signature: &str) -> Option<Vec<u8>> {
    let code = signature.strip_prefix("v1,")?;
    BASE64.decode(code).ok()
}

/// One set of headers.
struct Headers<'a> {
    /// Without a dot, which would move the border between it and the timestamp.
    id: &'a str,
    timestamp: &'a str,
    signature: &'a str,
}

impl<'a> Headers<'a> {
    /// The first set that is whole.
    fn of(request: &Received<'a>) -> Option<Self> {
        let named = |id, timestamp, signature| {
            Some(Self {
                id: request.only_header(id).filter(|id| !id.is_empty() && !id.contains('.'))?,
                timestamp: request.only_header(timestamp)?,
                signature: request.only_header(signature)?,
            })
        };
        named("webhook-id", "webhook-timestamp", "webhook-signature")
            .or_else(|| named("svix-id", "svix-timestamp", "svix-signature"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use recado_testkit::providers;
    use serde_json::json;

    use super::super::Says;
    use super::super::tampering::{Flip, assert_only_what_was_signed_is_authentic, signed_request};
    use super::super::tests::{Request, adapter_of, messages};
    use super::*;

    /// The vector of the specification.
    const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    const ID: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
    const AT: i64 = 1_649_367_553;
    const BODY: &str = r#"{"email":"test@example.com","username":"test_user"}"#;
    const SIGNATURE: &str = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";

    fn standard(kind: &str, secrets: &str) -> Arc<dyn Channel> {
        let channel = json!({"type": kind, "signing_secret_ref": "S"});
        adapter_of(&channel, &[("S", secrets)])
    }

    fn request(set: &str, id: &str, timestamp: &str, signature: &str) -> Request {
        Request::post(BODY)
            .header(&format!("{set}-id"), id)
            .header(&format!("{set}-timestamp"), timestamp)
            .header(&format!("{set}-signature"), signature)
            .at(AT)
    }

    fn is_authentic(secrets: &str, request: &Request) -> bool {
        standard("standard_webhooks", secrets).is_authentic(&request.received())
    }

    #[test]
    fn the_published_vector_is_accepted_under_both_names_by_both_kinds() {
        for kind in ["standard_webhooks", "svix"] {
            for set in ["webhook", "svix"] {
                let request = request(set, ID, &AT.to_string(), SIGNATURE);
                let bare = SECRET.strip_prefix("whsec_").unwrap();
                for secret in [SECRET, bare] {
                    assert!(
                        standard(kind, secret).is_authentic(&request.received()),
                        "{kind} {set}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_headers_are_of_one_set() {
        let mixed = Request::post(BODY)
            .header("webhook-id", ID)
            .header("svix-timestamp", &AT.to_string())
            .header("svix-signature", SIGNATURE)
            .at(AT);
        assert!(!is_authentic(SECRET, &mixed));
        let beside = mixed.header("svix-id", ID);
        assert!(is_authentic(SECRET, &beside));
        let first = messages(&*standard("svix", SECRET), &beside).remove(0);
        assert_eq!(first.provider_id.as_deref(), Some(ID));
    }

    #[test]
    fn one_of_several_signatures_under_one_of_several_secrets_is_enough() {
        let timestamp = AT.to_string();
        let rotating = format!("whsec_bmV3\n{SECRET}\n");
        for signatures in
            [format!("v1,AAAA {SIGNATURE}"), format!("v2,xyz v1a,AAAA== {SIGNATURE} v1,not-base64")]
        {
            assert!(is_authentic(&rotating, &request("webhook", ID, &timestamp, &signatures)));
        }
        for signatures in ["", "v1,", "v2,xyz", &SIGNATURE[3..], &SIGNATURE.replace("v1,", "v1a,")]
        {
            let request = request("webhook", ID, &timestamp, signatures);
            assert!(!is_authentic(&rotating, &request), "{signatures}");
        }
    }

    #[test]
    fn an_id_has_no_dot_and_is_not_empty() {
        // `a.1649367553` and `1` would be the same bytes as `a` and `1649367553.1`.
        for id in ["a.b", "", "."] {
            let headers = providers::standard_webhooks(id, AT, b"{}", SECRET);
            let request = signed_request(b"{}", &headers, AT);
            assert!(!is_authentic(SECRET, &request), "{id}");
        }
    }

    #[test]
    fn a_signature_is_good_for_five_minutes() {
        for (timestamp, is_good) in
            [(AT - 300, true), (AT + 300, true), (AT - 301, false), (AT + 301, false)]
        {
            let headers = providers::svix("msg_1", timestamp, b"{}", SECRET);
            assert_eq!(is_authentic(SECRET, &signed_request(b"{}", &headers, AT)), is_good);
        }
    }

    #[test]
    fn a_secret_that_is_no_key_authenticates_nobody() {
        let timestamp = AT.to_string();
        for secret in ["", "whsec_", "whsec_not base64", "whpk_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"] {
            assert!(!is_authentic(secret, &request("webhook", ID, &timestamp, SIGNATURE)));
        }
    }

    #[test]
    fn a_message_is_named_by_its_header_and_is_its_payload() {
        let message = messages(
            &*standard("svix", SECRET),
            &request("svix", "msg_1", &AT.to_string(), SIGNATURE),
        );
        let expected = Incoming {
            provider_id: Some("msg_1".into()),
            ..Incoming::of(serde_json::from_str(BODY).unwrap())
        };
        assert_eq!(message, [expected]);
        assert_eq!(message[0].says, Says::Payload);
    }

    proptest! {
        #[test]
        fn exactly_what_was_signed_is_authentic(
            body in prop::collection::vec(any::<u8>(), 0..100),
            id in "[A-Za-z0-9_-]{1,30}",
            flip in any::<Flip>(),
        ) {
            let channel = standard("svix", SECRET);
            for headers in [
                providers::standard_webhooks(&id, AT, &body, SECRET),
                providers::svix(&id, AT, &body, SECRET),
            ] {
                assert_only_what_was_signed_is_authentic(&*channel, &body, &headers, AT, flip);
            }
        }
    }
}
