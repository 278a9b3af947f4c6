//! Stripe. One JSON event a request, signed with its time by `Stripe-Signature`:
//! `t=<unix seconds>,v1=<hex>`, with a `v1` for each secret while one is being replaced.

use std::borrow::Cow;

use recado_types::trigger;
use serde_json::Value;

use super::hmac::is_sha256_of;
use super::signed::is_recent;
use super::{Arrival, Channel, Incoming, Secrets, as_it_is, text_at, without};
use crate::auth::{Keys, Received};
use crate::refusal::Refusal;

const HEADER: &str = "Stripe-Signature";

/// The adapter of `stripe`. An event is what its payload is; it has no sender.
#[derive(Debug)]
pub(super) struct Stripe {
    keys: Keys,
}

impl Stripe {
    pub(super) fn new(channel: &trigger::Channel, secrets: &Secrets) -> Self {
        // All of `whsec_…` is the key, as it is written.
        Self { keys: secrets.keys(channel.signing_secret_ref.as_deref(), as_it_is) }
    }
}

impl Channel for Stripe {
    fn is_authentic(&self, request: &Received<'_>) -> bool {
        let Some(signature) = request.only_header(HEADER).and_then(Signature::read) else {
            return false;
        };
        let Signature { timestamp, codes } = signature;
        is_recent(timestamp, request.at)
            && self.keys.any(request.at, |key| {
                is_sha256_of(&codes, key, &[timestamp.as_bytes(), b".", request.body])
            })
    }

    fn interpret(&self, _request: &Received<'_>, payload: Value) -> Result<Arrival, Refusal> {
        let provider_id = text_at(&payload, "/id").map(str::to_owned);
        let event = Incoming { provider_id, ..Incoming::of(payload) };
        Ok(Arrival::Messages(vec![event]))
    }

    /// How many webhooks have not had the event yet: less at each try.
    fn essence<'p>(&self, payload: &'p Value) -> Cow<'p, Value> {
        without(payload, &["pending_webhooks"])
    }
}

/// What the header says.
struct Signature<'a> {
    timestamp: &'a str,
    /// Of the scheme `v1`. Another one would be easier to forge, or we could not check it.
    codes: Vec<Vec<u8>>,
}

impl<'a> Signature<'a> {
    fn read(header: &'a str) -> Option<Self> {
        let (mut timestamp, mut codes) = (None, Vec::new());
        for part in header.split(',') {
            match part.trim().split_once('=')? {
                ("t", seconds) if timestamp.is_none() => timestamp = Some(seconds),
                ("t", _another) => return None,
                ("v1", code) => codes.push(hex::decode(code).ok()?),
                _ => {}
            }
        }
        Some(Self { timestamp: timestamp?, codes })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use recado_testkit::providers;
    use serde_json::json;

    use super::super::Says;
    use super::super::tampering::{Flip, assert_only_what_was_signed_is_authentic};
    use super::super::tests::{Request, adapter_of, messages};
    use super::*;

    const NOW: i64 = 1_800_000_000;
    const BODY: &str = r#"{"id": "evt_1", "object": "event"}"#;

    fn stripe(secrets: &str) -> Arc<dyn Channel> {
        let channel = json!({"type": "stripe", "signing_secret_ref": "S"});
        adapter_of(&channel, &[("S", secrets)])
    }

    fn accepts(header: &str) -> bool {
        let request = Request::post(BODY).header(HEADER, header).at(NOW);
        stripe("whsec_new\nwhsec_old").is_authentic(&request.received())
    }

    fn code(secret: &str, timestamp: i64) -> String {
        let headers = providers::stripe(BODY.as_bytes(), secret, timestamp);
        headers[0].1.split_once("v1=").unwrap().1.to_owned()
    }

    #[test]
    fn any_of_several_signatures_is_enough() {
        let (new, old, other) =
            (code("whsec_new", NOW), code("whsec_old", NOW), code("whsec_x", NOW));
        assert!(accepts(&format!("t={NOW},v1={new}")));
        assert!(accepts(&format!("t={NOW},v1={other},v1={old}")));
        assert!(accepts(&format!("v0=anything,v1={new},t={NOW}")));
        assert!(!accepts(&format!("t={NOW},v1={other}")));
        assert!(!accepts(&format!("t={NOW},v0={new}")));
    }

    #[test]
    fn a_header_of_another_form_is_refused() {
        let code = code("whsec_new", NOW);
        for header in [
            String::new(),
            format!("t={NOW}"),
            format!("v1={code}"),
            format!("t={NOW},t={NOW},v1={code}"),
            format!("t={NOW},v1={code},v1=xyz"),
            format!("t={NOW},v1"),
            format!("t={NOW}.0,v1={code}"),
            format!("t={},v1={code}", NOW + 1),
        ] {
            assert!(!accepts(&header), "{header}");
        }
    }

    #[test]
    fn a_signature_is_good_for_five_minutes() {
        for (timestamp, is_good) in
            [(NOW - 300, true), (NOW + 300, true), (NOW - 301, false), (NOW + 301, false)]
        {
            let header = format!("t={timestamp},v1={}", code("whsec_new", timestamp));
            assert_eq!(accepts(&header), is_good, "{timestamp}");
        }
    }

    #[test]
    fn an_event_is_named_by_its_id_and_is_its_payload() {
        let event = messages(&*stripe("whsec_1"), &Request::post(BODY)).remove(0);
        assert_eq!(event.provider_id.as_deref(), Some("evt_1"));
        assert_eq!((event.says, event.sender), (Says::Payload, None));
    }

    #[test]
    fn how_many_webhooks_are_pending_is_not_of_the_event() {
        let stripe = stripe("whsec_1");
        let (first, last) = (json!({"id": "evt_1", "pending_webhooks": 2}), json!({"id": "evt_1"}));
        assert_eq!(stripe.essence(&first), stripe.essence(&last));
        assert_eq!(*stripe.essence(&last), last);
    }

    proptest! {
        #[test]
        fn exactly_what_was_signed_is_authentic(
            body in prop::collection::vec(any::<u8>(), 0..100),
            flip in any::<Flip>(),
        ) {
            let headers = providers::stripe(&body, "whsec_1", NOW);
            assert_only_what_was_signed_is_authentic(&*stripe("whsec_1"), &body, &headers, NOW, flip);
        }
    }
}
