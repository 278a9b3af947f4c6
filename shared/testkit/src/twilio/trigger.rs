//! The configuration of a trigger for `WhatsApp` over Twilio.

use serde_json::{Value, json};

use super::Messages;

/// The name of the secret that [`trigger_config`] refers to.
pub const SECRET_REF: &str = "TWILIO_CREDENTIALS";

/// The configuration that the documentation recommends, with callbacks to `twilio`; tests change
/// in it what they are about. Its secret is to hold [`Messages::credentials`].
pub fn trigger_config(twilio: &Messages) -> Value {
    let auth = json!({"type": "basic", "secret_ref": SECRET_REF});
    json!({
        "channel": {"type": "twilio_whatsapp", "auth": auth},
        "execution": {
            "mode": "async",
            "callback": {
                "url": twilio.messages_url(),
                "method": "POST",
                "content_type": "application/x-www-form-urlencoded",
                "auth": auth,
                "body_template": {
                    "To": "{{phoneNumber}}",
                    "Body": "{{agent_response}}",
                    "From": "whatsapp:+14155238886",
                },
                "response_transform": {"max_length": 8000, "strip_markdown": true},
            },
            "ack_response": {
                "body": "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response></Response>",
                "content_type": "text/xml",
            },
            "split_config": {
                "enabled": true,
                "numbering": false,
                "max_chunks": 6,
                "chunk_strategy": "paragraph",
                "max_chunk_size": 1500,
                "inter_chunk_delay_ms": 0,
            },
            "message_buffer": {
                "enabled": true,
                "window_ms": 300,
                "max_messages": 8,
                "concat_separator": "\n",
            },
        },
        "sender_access": {"mode": "any"},
        "context_mapping": {
            "_waId": "$.WaId",
            "_messageSid": "$.MessageSid",
            "phoneNumber": "$.From",
            "profileName": "$.ProfileName",
        },
        "query_extraction": {"mode": "field", "field": "Body"},
        "response_adapter": {"format": "twiml"},
        "session_strategy": {"mode": "derive", "fields": ["phoneNumber"]},
    })
}
