//! GET `/api/triggers/types`: what kinds of triggers there are.

use actix_web::web::Json;
use serde::Serialize;

use crate::access::{Caller, Read};
use crate::http::Found;

/// A kind of trigger, and the choices its configuration has.
#[derive(Serialize)]
pub(in crate::http) struct TriggerType {
    #[serde(rename = "type")]
    name: &'static str,
    description: &'static str,
    endpoint: &'static str,
    channel_types: &'static [&'static str],
    auth_types: &'static [&'static str],
    query_extraction_modes: &'static [&'static str],
    session_strategy_modes: &'static [&'static str],
    response_formats: &'static [&'static str],
    execution_modes: &'static [&'static str],
}

const WEBHOOK: TriggerType = TriggerType {
    name: "webhook",
    description: "An HTTP POST from another system runs the agent",
    endpoint: "/api/triggers/webhook/{id}",
    channel_types: &["twilio_whatsapp", "twilio_sms"],
    auth_types: &["signature", "api_key", "none"],
    query_extraction_modes: &["field", "full_body"],
    session_strategy_modes: &["derive", "ephemeral"],
    response_formats: &["ebarn", "slack", "teams", "twiml", "raw"],
    execution_modes: &["async"],
};

pub(in crate::http) async fn types(_caller: Caller<Read>) -> Json<Found<[TriggerType; 1]>> {
    Json(Found::new([WEBHOOK]))
}

#[cfg(test)]
mod tests {
    use recado_types::trigger::TriggerConfig;
    use serde_json::{Value, json};

    use super::*;

    /// A configuration in which one choice is made.
    fn choosing(field: &str, key: &str, choice: &str) -> Value {
        let mut config = json!({
            "auth": {"type": "none"},
            "execution": {"mode": "async"},
        });
        config[field][key] = json!(choice);
        if choice == "field" {
            config[field]["field"] = json!("text");
        }
        if choice == "derive" {
            config[field]["fields"] = json!(["from"]);
        }
        config
    }

    #[test]
    fn every_choice_that_is_told_can_be_made() {
        let choices = [
            ("channel", "type", WEBHOOK.channel_types),
            ("auth", "type", WEBHOOK.auth_types),
            ("query_extraction", "mode", WEBHOOK.query_extraction_modes),
            ("session_strategy", "mode", WEBHOOK.session_strategy_modes),
            ("response_adapter", "format", WEBHOOK.response_formats),
            ("execution", "mode", WEBHOOK.execution_modes),
        ];
        for (field, key, words) in choices {
            for word in words {
                let parsed = TriggerConfig::parse(&choosing(field, key, word));
                assert!(parsed.is_ok(), "{field}.{key} = {word}: {parsed:?}");
            }
        }
    }
}
