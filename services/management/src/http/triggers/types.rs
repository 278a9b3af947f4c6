//! GET `/api/triggers/types`: what kinds of triggers there are.

use actix_web::web::Json;
use recado_types::trigger::ChannelKind;
use schemars::JsonSchema;
use serde::Serialize;

use crate::access::Caller;
use crate::http::Found;

/// A kind of trigger, and the choices its configuration has.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TriggerType")]
pub(in crate::http) struct TriggerType {
    #[serde(rename = "type")]
    name: &'static str,
    description: &'static str,
    endpoint: &'static str,
    channel_types: [&'static str; ChannelKind::ALL.len()],
    auth_types: &'static [&'static str],
    query_extraction_modes: &'static [&'static str],
    session_strategy_modes: &'static [&'static str],
    sender_access_modes: &'static [&'static str],
    response_formats: &'static [&'static str],
    execution_modes: &'static [&'static str],
}

fn webhook() -> TriggerType {
    TriggerType {
        name: "webhook",
        description: "An HTTP POST from another system runs the agent",
        endpoint: "/api/triggers/webhook/{id}",
        channel_types: ChannelKind::ALL.map(|(name, _)| name),
        auth_types: &["signature", "api_key", "none"],
        query_extraction_modes: &["field", "jmespath", "template", "full_body"],
        session_strategy_modes: &["derive", "ephemeral", "shared"],
        sender_access_modes: &["any", "members", "whitelist"],
        response_formats: &["ebarn", "slack", "teams", "twiml", "raw"],
        execution_modes: &["sync", "async"],
    }
}

pub(in crate::http) async fn types(_caller: Caller) -> Json<Found<[TriggerType; 1]>> {
    Json(Found::new([webhook()]))
}

#[cfg(test)]
mod tests {
    use recado_types::trigger::TriggerConfig;
    use serde_json::{Value, json};

    use super::*;

    /// A configuration in which one choice is made, with what that choice needs.
    fn choosing(field: &str, key: &str, choice: &str) -> Value {
        let mut config = json!({
            "auth": {"type": "none"},
            "execution": {"mode": "async"},
        });
        config[field][key] = json!(choice);
        let needs = match choice {
            "field" => json!({"field": "text"}),
            "jmespath" => json!({"expression": "text"}),
            "template" => json!({"template": "{{text}}"}),
            "derive" => json!({"fields": ["from"]}),
            "members" => json!({"identity_field": "from"}),
            "whitelist" => json!({"identity_field": "from", "identifiers": ["+5511999990000"]}),
            _ => json!({}),
        };
        let chosen = config[field].as_object_mut().unwrap();
        chosen.extend(needs.as_object().unwrap().clone());
        config
    }

    #[test]
    fn every_choice_that_is_told_can_be_made() {
        let webhook = webhook();
        let choices: [(&str, &str, &[&str]); 7] = [
            ("channel", "type", &webhook.channel_types),
            ("auth", "type", webhook.auth_types),
            ("query_extraction", "mode", webhook.query_extraction_modes),
            ("session_strategy", "mode", webhook.session_strategy_modes),
            ("sender_access", "mode", webhook.sender_access_modes),
            ("response_adapter", "format", webhook.response_formats),
            ("execution", "mode", webhook.execution_modes),
        ];
        for (field, key, words) in choices {
            for word in words {
                let parsed = TriggerConfig::parse(&choosing(field, key, word));
                assert!(parsed.is_ok(), "{field}.{key} = {word}: {parsed:?}");
            }
        }
    }
}
