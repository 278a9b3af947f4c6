//! Twilio: WhatsApp and SMS. Messages and delivery reports come to the same URL, as forms.

mod signature;

use serde_json::Value;

use super::{Arrival, Channel, Hints};
use crate::answer::Answer;
use crate::auth::Received;

/// Twilio attaches at most ten media to a message.
const MAX_MEDIA: u64 = 10;

/// The adapter of `twilio_whatsapp` and `twilio_sms`.
#[derive(Debug)]
pub(super) struct Twilio;

impl Channel for Twilio {
    /// The auth token of `<AccountSID>:<AuthToken>`.
    fn signing_key<'s>(&self, secret: &'s str) -> Option<&'s str> {
        let (_account_sid, auth_token) = secret.trim().split_once(':')?;
        (!auth_token.is_empty()).then_some(auth_token)
    }

    fn is_authentic(&self, request: &Received<'_>, key: &str) -> bool {
        signature::is_authentic(request, key)
    }

    fn interpret(&self, payload: &Value) -> Arrival {
        if is_status_callback(payload) {
            return Arrival::Notice(Answer::empty_twiml());
        }
        let provider_id = text(payload, "MessageSid").map(str::to_owned);
        Arrival::Message(Hints { provider_id, description: describe_media(payload) })
    }
}

fn text<'v>(payload: &'v Value, field: &str) -> Option<&'v str> {
    payload.get(field).and_then(Value::as_str)
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
        match text(payload, &format!("MediaUrl{index}")) {
            Some(url) => format!("[{kind}] {url}"),
            None => format!("[{kind}]"),
        }
    };
    let lines: Vec<String> = (0..n_media.min(MAX_MEDIA)).map(describe).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hints(payload: &Value) -> Hints {
        match Twilio.interpret(payload) {
            Arrival::Message(hints) => hints,
            Arrival::Notice(answer) => panic!("{answer:?}"),
        }
    }

    #[test]
    fn the_secret_holds_account_and_token() {
        assert_eq!(Twilio.signing_key("AC123:12345"), Some("12345"));
        assert_eq!(Twilio.signing_key(" AC123:a:b\n"), Some("a:b"));
        for malformed in ["", "12345", "AC123:"] {
            assert_eq!(Twilio.signing_key(malformed), None, "{malformed}");
        }
    }

    #[test]
    fn a_message_is_named_by_its_sid() {
        let message = json!({"MessageSid": "SM1", "SmsStatus": "received", "Body": "Olá",
                             "NumMedia": "0"});
        let expected = Hints { provider_id: Some("SM1".into()), description: None };
        assert_eq!(hints(&message), expected);
    }

    #[test]
    fn a_report_on_a_message_of_ours_is_a_notice() {
        for report in [
            json!({"MessageSid": "SM1", "MessageStatus": "delivered", "SmsStatus": "delivered"}),
            json!({"SmsSid": "SM1", "SmsStatus": "sent"}),
        ] {
            assert!(matches!(Twilio.interpret(&report), Arrival::Notice(_)), "{report}");
        }
        for message in [
            json!({"SmsStatus": "received"}),
            json!({"SmsStatus": "received", "Body": ""}),
            json!({"MessageStatus": "delivered", "Body": "text wins"}),
            json!({}),
        ] {
            assert!(matches!(Twilio.interpret(&message), Arrival::Message(_)), "{message}");
        }
    }

    #[test]
    fn media_are_described_line_by_line() {
        let message = json!({
            "NumMedia": "3", "Body": "",
            "MediaContentType0": "image/jpeg", "MediaUrl0": "https://api.twilio.com/m0",
            "MediaUrl1": "https://api.twilio.com/m1",
            "MediaContentType2": "audio/ogg",
        });
        let description = hints(&message).description.unwrap();
        assert_eq!(
            description,
            "[image/jpeg] https://api.twilio.com/m0\n[media] https://api.twilio.com/m1\n[audio/ogg]"
        );
    }

    #[test]
    fn a_made_up_number_of_media_is_bounded() {
        let message = json!({"NumMedia": u64::MAX.to_string()});
        assert_eq!(hints(&message).description.unwrap().lines().count(), 10);
        assert_eq!(hints(&json!({"NumMedia": "-1"})).description, None);
    }
}
