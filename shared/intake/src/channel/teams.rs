//! Outgoing webhooks of Microsoft Teams: a channel member mentions the webhook by name, and Teams
//! sends the message, signed by `Authorization: HMAC <base64>`.
//!
//! There is no time in the signature. A recorded request that is sent again has the id of the
//! message it was, and so starts nothing.

mod html;

use actix_web::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use recado_types::trigger;
use serde_json::Value;

use super::hmac::is_sha256_of;
use super::signed::base64_key;
use super::{Arrival, Channel, Incoming, Says, Secrets, described, text_at};
use crate::answer::Answer;
use crate::auth::{Keys, Received};
use crate::refusal::Refusal;

/// More attachments of one message are not described.
const MAX_ATTACHMENTS: usize = 20;

/// The adapter of `teams`.
#[derive(Debug)]
pub(super) struct Teams {
    keys: Keys,
}

impl Teams {
    pub(super) fn new(channel: &trigger::Channel, secrets: &Secrets) -> Self {
        Self { keys: secrets.keys(channel.signing_secret_ref.as_deref(), base64_key) }
    }
}

impl Channel for Teams {
    fn is_authentic(&self, request: &Received<'_>) -> bool {
        let claimed = request
            .only_header("Authorization")
            .and_then(|text| BASE64.decode(text.strip_prefix("HMAC ")?).ok());
        let Some(claimed) = claimed else { return false };
        let claimed = [claimed];
        self.keys.any(request.at, |key| is_sha256_of(&claimed, key, &[request.body]))
    }

    fn interpret(&self, _request: &Received<'_>, payload: Value) -> Result<Arrival, Refusal> {
        if text_at(&payload, "/type") != Some("message") {
            return Ok(Arrival::Notice(nothing_to_say()));
        }
        let owned = |pointer| text_at(&payload, pointer).map(str::to_owned);
        let says = Says::Text(text_at(&payload, "/text").map(html::said).unwrap_or_default());
        let description = describe_attachments(&payload);
        let provider_id = owned("/id");
        let sender = owned("/from/aadObjectId").or_else(|| owned("/from/id"));
        let message = Incoming { provider_id, says, description, sender, ..Incoming::of(payload) };
        Ok(Arrival::Messages(vec![message]))
    }
}

/// Teams expects a message.
fn nothing_to_say() -> Answer {
    let body = r#"{"type":"message","text":""}"#.to_owned();
    Answer::new(StatusCode::OK, "application/json", body)
}

/// One line for each attachment, without the one that repeats the text.
fn describe_attachments(payload: &Value) -> Option<String> {
    let describe = |attachment: &Value| {
        let kind = text_at(attachment, "/contentType")?;
        (kind != "text/html").then(|| described(kind, text_at(attachment, "/name")))
    };
    let attachments = payload.get("attachments")?.as_array()?;
    let lines: Vec<String> =
        attachments.iter().take(MAX_ATTACHMENTS).filter_map(describe).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
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

    /// The bytes 0 to 31.
    const TOKEN: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn teams() -> Arc<dyn Channel> {
        let channel = json!({"type": "teams", "signing_secret_ref": "T"});
        adapter_of(&channel, &[("T", TOKEN)])
    }

    fn message(payload: &Value) -> Incoming {
        messages(&*teams(), &Request::post(payload.to_string())).remove(0)
    }

    #[test]
    fn the_key_is_what_the_token_encodes() {
        // Computed with OpenSSL: `printf '{}' | openssl dgst -sha256 -mac HMAC -macopt hexkey:…`.
        let accepts = |authorization: &str| {
            let request = Request::post("{}").header("Authorization", authorization);
            teams().is_authentic(&request.received())
        };
        assert!(accepts("HMAC hiJ/6WcioiR9z+4SwH2JwbBWe7yapqjYBIOPZqPahD8="));
        for other in [
            "",
            "HMAC",
            "HMAC ",
            "hiJ/6WcioiR9z+4SwH2JwbBWe7yapqjYBIOPZqPahD8=",
            "Bearer hiJ/6WcioiR9z+4SwH2JwbBWe7yapqjYBIOPZqPahD8=",
            "HMAC  hiJ/6WcioiR9z+4SwH2JwbBWe7yapqjYBIOPZqPahD8=",
        ] {
            assert!(!accepts(other), "{other}");
        }
    }

    #[test]
    fn a_message_is_what_was_said_to_the_webhook() {
        let payload = json!({
            "type": "message", "id": "1485983408511", "textFormat": "plain",
            "text": "<at>Recado</at>&nbsp;is it <b>5 &lt; 6</b>?\n",
            "from": {"id": "29:1XJKJ", "name": "Ana", "aadObjectId": "0b1c"},
            "attachments": [{"contentType": "text/html", "content": "<div/>"}],
        });
        let expected = Incoming {
            provider_id: Some("1485983408511".into()),
            says: Says::Text("is it 5 < 6?".into()),
            sender: Some("0b1c".into()),
            ..Incoming::of(payload.clone())
        };
        assert_eq!(message(&payload), expected);
        let guest = message(&json!({"type": "message", "text": "hi", "from": {"id": "29:1"}}));
        assert_eq!(guest.sender.as_deref(), Some("29:1"));
    }

    #[test]
    fn attachments_stand_in_for_a_text() {
        let described =
            message(&json!({"type": "message", "text": "<at>Recado</at>", "attachments": [
                {"contentType": "text/html"}, {"contentType": "image/png", "name": "a.png"},
                {"contentType": "image/*"}, {"name": "odd"},
            ]}));
        assert_eq!(described.says, Says::Text(String::new()));
        assert_eq!(described.description.as_deref(), Some("[image/png] a.png\n[image/*]"));
    }

    #[test]
    fn anything_but_a_message_is_a_notice() {
        for payload in [json!({"type": "conversationUpdate"}), json!({"text": "hi"}), json!([])] {
            let answer = notice(&*teams(), &Request::post(payload.to_string()));
            assert_eq!(answer, nothing_to_say(), "{payload}");
        }
    }

    proptest! {
        #[test]
        fn exactly_what_was_signed_is_authentic(
            body in prop::collection::vec(any::<u8>(), 0..100), flip in any::<Flip>(),
        ) {
            let headers = providers::teams(&body, TOKEN);
            assert_only_what_was_signed_is_authentic(&*teams(), &body, &headers, 0, flip);
        }
    }
}
