//! GET `/api/triggers/types`: what kinds of triggers there are.

use actix_web::web::Json;
use recado_types::trigger::{ChannelKind, TriggerType, config_schema_of};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::access::Caller;
use crate::http::Found;

/// A kind of trigger, with what its configuration looks like.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TriggerKind")]
pub(in crate::http) struct Kind {
    #[serde(rename = "type")]
    name: &'static str,
    description: &'static str,
    /// Where its messages are posted, if they are.
    endpoint: Option<&'static str>,
    /// What `trigger_config` has to be, in JSON Schema (draft 2020-12).
    config_schema: Value,
    /// Configurations that are right.
    examples: Vec<Value>,
    #[serde(flatten)]
    choices: Choices,
}

/// The choices that the configuration has.
#[derive(Default, Serialize, JsonSchema)]
#[schemars(inline)]
struct Choices {
    channel_types: Vec<&'static str>,
    auth_types: &'static [&'static str],
    query_extraction_modes: &'static [&'static str],
    session_strategy_modes: &'static [&'static str],
    sender_access_modes: &'static [&'static str],
    response_formats: &'static [&'static str],
    execution_modes: &'static [&'static str],
}

const ENDPOINT: &str = "/api/triggers/webhook/{id}";
const EXTRACTION_MODES: &[&str] = &["field", "jmespath", "template", "full_body"];
const STRATEGY_MODES: &[&str] = &["derive", "ephemeral", "shared"];
const ACCESS_MODES: &[&str] = &["any", "members", "whitelist"];
const AUTH_TYPES: &[&str] = &["signature", "api_key", "none"];

fn kind(trigger_type: TriggerType) -> Kind {
    let (description, endpoint) = match trigger_type {
        TriggerType::Webhook => ("An HTTP POST from another system runs the agent", Some(ENDPOINT)),
        TriggerType::Schedule => ("The clock runs the agent", None),
        TriggerType::DbEvent => ("What happens in a PostgreSQL database runs the agent", None),
        TriggerType::Email => (
            "A mail runs the agent, by HTTP from a mail provider or from a mailbox",
            Some(ENDPOINT),
        ),
    };
    Kind {
        name: trigger_type.as_str(),
        description,
        endpoint,
        config_schema: config_schema_of(trigger_type),
        examples: examples(trigger_type),
        choices: choices(trigger_type),
    }
}

fn choices(trigger_type: TriggerType) -> Choices {
    let source = Choices {
        query_extraction_modes: EXTRACTION_MODES,
        session_strategy_modes: STRATEGY_MODES,
        execution_modes: &["async"],
        ..Choices::default()
    };
    match trigger_type {
        TriggerType::Schedule | TriggerType::DbEvent => source,
        TriggerType::Email => {
            Choices { auth_types: AUTH_TYPES, sender_access_modes: ACCESS_MODES, ..source }
        }
        TriggerType::Webhook => Choices {
            channel_types: ChannelKind::ALL.iter().map(|(name, _)| *name).collect(),
            auth_types: AUTH_TYPES,
            query_extraction_modes: EXTRACTION_MODES,
            session_strategy_modes: STRATEGY_MODES,
            sender_access_modes: ACCESS_MODES,
            response_formats: &["ebarn", "slack", "teams", "twiml", "raw"],
            execution_modes: &["sync", "async"],
        },
    }
}

fn examples(trigger_type: TriggerType) -> Vec<Value> {
    let answer_to =
        json!({ "mode": "async", "callback": { "url": "https://erp.example.com/answers" } });
    match trigger_type {
        TriggerType::Webhook => vec![json!({
            "auth": { "type": "api_key" },
            "query_extraction": { "mode": "field", "field": "chatInput" },
            "session_strategy": { "mode": "derive", "fields": ["userId"] },
            "execution": { "mode": "sync" },
        })],
        TriggerType::Schedule => vec![
            json!({
                "schedule": {
                    "cron": "0 9 * * MON-FRI",
                    "time_zone": "America/Sao_Paulo",
                    "payload": "Write the sales report of {{date}}.",
                },
                "execution": answer_to,
            }),
            json!({ "schedule": { "interval_seconds": 300, "jitter_seconds": 30, "catch_up": "none" } }),
            json!({ "schedule": { "at": "2030-12-24T09:00:00", "time_zone": "Europe/Berlin" } }),
        ],
        TriggerType::DbEvent => vec![
            json!({
                "db_event": {
                    "secret_ref": "ERP_DATABASE",
                    "outbox": { "table": "public.recado_outbox", "transaction": "txid" },
                    "filter": "row.operation == 'insert'",
                },
                "context_mapping": { "orderId": "$.row.row.id" },
                "execution": answer_to,
            }),
            json!({ "db_event": { "secret_ref": "ERP_DATABASE", "listen": { "channel": "orders" } } }),
        ],
        TriggerType::Email => vec![
            json!({
                "email": {
                    "address": "support@acme.example",
                    "imap": { "host": "imap.acme.example", "secret_ref": "SUPPORT_MAILBOX" },
                    "smtp": { "host": "smtp.acme.example", "secret_ref": "SUPPORT_MAILBOX" },
                },
            }),
            json!({
                "email": { "address": "support@acme.example", "http": { "provider": "mailgun" } },
                "auth": { "type": "api_key" },
            }),
        ],
    }
}

pub(in crate::http) async fn types(_caller: Caller) -> Json<Found<Vec<Kind>>> {
    Json(Found::new(TriggerType::ALL.map(kind).into()))
}

#[cfg(test)]
mod tests {
    use recado_types::trigger::TriggerConfig;

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
        let webhook = kind(TriggerType::Webhook).choices;
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

    #[test]
    fn every_example_can_be_saved() {
        for trigger_type in TriggerType::ALL {
            for example in kind(trigger_type).examples {
                let parsed = TriggerConfig::parse_as(trigger_type, &example);
                assert!(parsed.is_ok(), "{example}: {parsed:?}");
            }
        }
    }
}
