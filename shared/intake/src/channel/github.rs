//! GitHub. One event a request, JSON or JSON in a form, signed by `X-Hub-Signature-256`.
//!
//! Only the body is signed. What an event is called and of which kind it is stands in headers
//! beside it: `X-GitHub-Delivery`, the same when somebody presses "Redeliver", which therefore
//! starts nothing again, and `X-GitHub-Event`.

use recado_types::trigger;
use serde_json::Value;

use super::signed::has_hub_signature;
use super::{Arrival, Channel, Incoming, Secrets, form_json, success, text_at};
use crate::auth::{Keys, Received};
use crate::refusal::Refusal;

/// The adapter of `github`. An event is what its payload is, and its sender is an account's login.
#[derive(Debug)]
pub(super) struct Github {
    keys: Keys,
}

impl Github {
    pub(super) fn new(channel: &trigger::Channel, secrets: &Secrets) -> Self {
        Self { keys: secrets.keys_or_own(channel.signing_secret_ref.as_deref()) }
    }
}

impl Channel for Github {
    fn is_authentic(&self, request: &Received<'_>) -> bool {
        has_hub_signature(request, &self.keys)
    }

    fn interpret(&self, request: &Received<'_>, payload: Value) -> Result<Arrival, Refusal> {
        // Sent once, when the webhook is made.
        if request.only_header("X-GitHub-Event") == Some("ping") {
            return Ok(Arrival::Notice(success()));
        }
        let payload = form_json::opened(payload, request.limits)?;
        let provider_id = request.only_header("X-GitHub-Delivery").map(str::to_owned);
        let sender = text_at(&payload, "/sender/login").map(str::to_owned);
        let event = Incoming { provider_id, sender, ..Incoming::of(payload) };
        Ok(Arrival::Messages(vec![event]))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use recado_testkit::providers;
    use serde_json::json;

    use super::super::tampering::{Flip, assert_only_what_was_signed_is_authentic};
    use super::super::tests::{Request, adapter_of, messages, notice};
    use super::*;
    use crate::payload::PayloadLimits;

    const SIGNATURE: &str = "X-Hub-Signature-256";

    fn github() -> Arc<dyn Channel> {
        let channel = json!({"type": "github", "signing_secret_ref": "G"});
        adapter_of(&channel, &[("G", "It's a Secret to Everybody")])
    }

    #[test]
    fn the_published_vector_is_accepted() {
        let code = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let accepts = |signature: &str, body: &str| {
            let request = Request::post(body).header(SIGNATURE, signature);
            github().is_authentic(&request.received())
        };
        assert!(accepts(&format!("sha256={code}"), "Hello, World!"));
        assert!(!accepts(&format!("sha256={code}"), "Hello, World"));
        assert!(!accepts(&format!("sha1={code}"), "Hello, World!"));
        assert!(!accepts(code, "Hello, World!"));
    }

    #[test]
    fn without_a_named_secret_the_triggers_own_is_the_key() {
        let own = adapter_of(&json!({"type": "github"}), &[]);
        let headers = providers::github(b"{}", "whs_test", "push", "1");
        let flip = Flip::default();
        let headers = signature_of(&headers);
        assert_only_what_was_signed_is_authentic(&*own, b"{}", &headers, 0, flip);
    }

    /// The header that is not signed itself is left out: its changes are not noticed.
    fn signature_of(headers: &[(&'static str, String)]) -> providers::Headers {
        headers.iter().filter(|(name, _)| *name == SIGNATURE).cloned().collect()
    }

    #[test]
    fn an_event_is_named_by_its_delivery_and_sent_by_a_login() {
        let payload = json!({"action": "opened", "sender": {"login": "octocat"}});
        let expected = Incoming {
            provider_id: Some("72d3162e".into()),
            sender: Some("octocat".into()),
            ..Incoming::of(payload.clone())
        };
        let form = json!({"payload": payload.to_string()});
        for body in [payload, form] {
            let request = Request::post(body.to_string())
                .header("X-GitHub-Event", "issues")
                .header("X-GitHub-Delivery", "72d3162e");
            assert_eq!(messages(&*github(), &request), std::slice::from_ref(&expected));
        }
    }

    #[test]
    fn json_in_a_form_is_within_the_operators_limits() {
        for (json_fields, is_read) in [(1, true), (0, false)] {
            let limits = PayloadLimits { json_fields, ..PayloadLimits::default() };
            let request = Request::post("").limits(limits);
            let form = json!({"payload": r#"{"a": 1}"#});
            let arrival = github().interpret(&request.received(), form);
            assert_eq!(arrival.is_ok(), is_read, "{arrival:?}");
        }
    }

    #[test]
    fn a_ping_is_a_notice() {
        let ping = Request::post(r#"{"zen": "Design for failure."}"#);
        let answer = notice(&*github(), &ping.header("X-GitHub-Event", "ping"));
        assert_eq!(answer, success());
    }

    proptest! {
        #[test]
        fn exactly_what_was_signed_is_authentic(
            body in prop::collection::vec(any::<u8>(), 0..100), flip in any::<Flip>(),
        ) {
            let headers = providers::github(&body, "It's a Secret to Everybody", "push", "1");
            let headers = signature_of(&headers);
            assert_only_what_was_signed_is_authentic(&*github(), &body, &headers, 0, flip);
        }
    }
}
