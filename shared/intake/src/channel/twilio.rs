//! Twilio: WhatsApp and SMS. Messages and delivery reports come to the same URL, as forms.

mod signature;

use std::borrow::Cow;

use recado_types::trigger;
use serde_json::Value;

use super::{Arrival, Channel, Incoming, Says, Secrets, described, without};
use crate::answer::Answer;
use crate::auth::{Keys, Received};
use crate::refusal::Refusal;

/// Twilio attaches at most ten media to a message.
const MAX_MEDIA: u64 = 10;

/// The adapter of `twilio_whatsapp` and `twilio_sms`.
#[derive(Debug)]
pub(super) struct Twilio {
    keys: Keys,
}

impl Twilio {
    pub(super) fn new(channel: &trigger::Channel, secrets: &Secrets) -> Self {
        Self { keys: secrets.keys(channel.credential_ref.as_deref(), auth_token) }
    }
}

/// The auth token of `<AccountSID>:<AuthToken>`.
fn auth_token(credential: &str) -> Option<Vec<u8>> {
    let (_account_sid, auth_token) = credential.split_once(':')?;
    Some(auth_token.as_bytes().to_vec())
}

impl Channel for Twilio {
    fn is_authentic(&self, request: &Received<'_>) -> bool {
        signature::is_authentic(request, &self.keys)
    }

    fn interpret(&self, _request: &Received<'_>, payload: Value) -> Result<Arrival, Refusal> {
        if is_status_callback(&payload) {
            return Ok(Arrival::Notice(Answer::empty_twiml()));
        }
        let owned = |field| text(&payload, field).map(str::to_owned);
        let (provider_id, sender) = (owned("MessageSid"), owned("From"));
        let says = Says::Text(said(&payload).unwrap_or_default().to_owned());
        let description = describe_media(&payload).or_else(|| describe_location(&payload));
        let message = Incoming { provider_id, says, description, sender, ..Incoming::of(payload) };
        Ok(Arrival::Messages(vec![message]))
    }

    /// Twilio tells the fallback URL, which may be the same, what went wrong with the first try.
    fn essence<'p>(&self, payload: &'p Value) -> Cow<'p, Value> {
        without(payload, &["ErrorCode", "ErrorUrl"])
    }
}

fn text<'v>(payload: &'v Value, field: &str) -> Option<&'v str> {
    payload.get(field).and_then(Value::as_str)
}

/// A pressed button says what stands on it, as a rule in `Body` too.
fn said(payload: &Value) -> Option<&str> {
    let body = text(payload, "Body").filter(|body| !body.trim().is_empty());
    body.or_else(|| text(payload, "ButtonText"))
}

/// A report on a message that we sent: it has a status other than `received`, and no text.
fn is_status_callback(payload: &Value) -> bool {
    let status = text(payload, "MessageStatus").or_else(|| text(payload, "SmsStatus"));
    payload.get("Body").is_none() && status.is_some_and(|status| status != "received")
}

/// One line for each attachment, such as `[image/jpeg] https://api.twilio.com/…`: what an agent
/// is told where there is no text.
fn describe_media(payload: &Value) -> Option<String> {
    let n_media: u64 = text(payload, "NumMedia")?.parse().ok()?;
    let describe = |index: u64| {
        let kind = text(payload, &format!("MediaContentType{index}")).unwrap_or("media");
        described(kind, text(payload, &format!("MediaUrl{index}")))
    };
    let lines: Vec<String> = (0..n_media.min(MAX_MEDIA)).map(describe).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// `[location] -23.5614,-46.6559 MASP, Av. Paulista 1578`, of `WhatsApp`.
fn describe_location(payload: &Value) -> Option<String> {
    let (latitude, longitude) = (text(payload, "Latitude")?, text(payload, "Longitude")?);
    let place: Vec<&str> = ["Label", "Address"]
        .into_iter()
        .filter_map(|part| text(payload, part).filter(|part| !part.is_empty()))
        .collect();
    let what = format!("{latitude},{longitude} {}", place.join(", "));
    Some(described("location", Some(what.trim_end())))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use recado_testkit::twilio::sign;
    use serde_json::json;

    use super::super::tampering::{Flip, assert_only_what_was_signed_is_authentic};
    use super::super::tests::{Request, adapter_of, messages, notice};
    use super::*;

    fn twilio() -> Arc<dyn Channel> {
        let channel = json!({"type": "twilio_sms", "auth": {"type": "basic", "secret_ref": "T"}});
        adapter_of(&channel, &[("T", "AC123:12345")])
    }

    fn message(payload: &Value) -> Incoming {
        messages(&*twilio(), &Request::post(payload.to_string())).remove(0)
    }

    #[test]
    fn the_secret_holds_account_and_token() {
        assert_eq!(auth_token("AC123:12345").unwrap(), b"12345");
        assert_eq!(auth_token("AC123:a:b").unwrap(), b"a:b");
        assert_eq!(auth_token("12345"), None);
    }

    #[test]
    fn a_message_is_named_by_its_sid() {
        let payload = json!({"MessageSid": "SM1", "SmsStatus": "received", "Body": "Olá",
                             "From": "+5511", "NumMedia": "0"});
        let expected = Incoming {
            provider_id: Some("SM1".into()),
            says: Says::Text("Olá".into()),
            sender: Some("+5511".into()),
            ..Incoming::of(payload.clone())
        };
        assert_eq!(message(&payload), expected);
    }

    #[test]
    fn a_report_on_a_message_of_ours_is_a_notice() {
        for report in [
            json!({"MessageSid": "SM1", "MessageStatus": "delivered", "SmsStatus": "delivered"}),
            json!({"SmsSid": "SM1", "SmsStatus": "sent"}),
        ] {
            let answer = notice(&*twilio(), &Request::post(report.to_string()));
            assert_eq!(answer, Answer::empty_twiml(), "{report}");
        }
        for payload in [
            json!({"SmsStatus": "received"}),
            json!({"SmsStatus": "received", "Body": ""}),
            json!({"MessageStatus": "delivered", "Body": "text wins"}),
            json!({}),
        ] {
            assert_eq!(message(&payload).payload, payload);
        }
    }

    #[test]
    fn media_are_described_line_by_line() {
        let payload = json!({
            "NumMedia": "3", "Body": "",
            "MediaContentType0": "image/jpeg", "MediaUrl0": "https://api.twilio.com/m0",
            "MediaUrl1": "https://api.twilio.com/m1",
            "MediaContentType2": "audio/ogg",
        });
        let description = message(&payload).description.unwrap();
        assert_eq!(
            description,
            "[image/jpeg] https://api.twilio.com/m0\n[media] https://api.twilio.com/m1\n[audio/ogg]"
        );
    }

    #[test]
    fn a_location_is_described() {
        let place = json!({"NumMedia": "0", "Body": "", "Latitude": "-23.5", "Longitude": "-46.6",
                           "Label": "MASP", "Address": "Av. Paulista 1578"});
        let expected = "[location] -23.5,-46.6 MASP, Av. Paulista 1578";
        assert_eq!(message(&place).description.unwrap(), expected);
        let point = json!({"Latitude": "-23.5", "Longitude": "-46.6", "Label": ""});
        assert_eq!(message(&point).description.unwrap(), "[location] -23.5,-46.6");
        assert_eq!(message(&json!({"Latitude": "-23.5"})).description, None);
    }

    #[test]
    fn a_button_says_what_stands_on_it() {
        let says = |payload: Value| message(&payload).says;
        assert_eq!(says(json!({"Body": "", "ButtonText": "Yes"})), Says::Text("Yes".into()));
        assert_eq!(says(json!({"Body": "Sim", "ButtonText": "Yes"})), Says::Text("Sim".into()));
        assert_eq!(says(json!({"Body": " "})), Says::Text(String::new()));
    }

    #[test]
    fn a_made_up_number_of_media_is_bounded() {
        let endless = json!({"NumMedia": u64::MAX.to_string()});
        assert_eq!(message(&endless).description.unwrap().lines().count(), 10);
        assert_eq!(message(&json!({"NumMedia": "-1"})).description, None);
    }

    proptest! {
        #[test]
        fn exactly_what_was_signed_is_authentic(
            fields in prop::collection::vec(("[A-Z][a-z]{0,6}", "[a-z0-9]{0,8}"), 1..6),
            flip in any::<Flip>(),
        ) {
            let body = serde_urlencoded::to_string(&fields).unwrap();
            let url = "https://recado.example.com/api/triggers/webhook/1";
            let headers = vec![("X-Twilio-Signature", sign("12345", url, &fields))];
            let body = body.as_bytes();
            assert_only_what_was_signed_is_authentic(&*twilio(), body, &headers, 0, flip);
        }
    }
}
