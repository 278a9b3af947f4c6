//! The conversation: what is configured, posted, waited for, and told.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use chrono::{DateTime, Utc};
use recado_service::Context;
use recado_testkit::http_client;
use recado_testkit::twilio::{Inbound, Messages};
use recado_testkit::wait_for;
use reqwest::Client;
use serde_json::{Value, json};

use super::timeline::Timeline;
use crate::dev::Demo;

const ACCOUNT_SID: &str = "AC00000000000000000000000000000000";
const AUTH_TOKEN: &str = "the-auth-token-of-the-demo";
const SENDER: &str = "+5562999990000";

/// What the lead writes, in a hurry.
const MESSAGES: [&str; 3] = [
    "Olá! Vocês ainda têm horário com a dra. Marta na quinta-feira à tarde? 🙂",
    "Se não tiver, pode ser sexta cedo. Preciso levar os exames do meu pai também.",
    "Ah, e o convênio mudou: agora é o outro, aquele que vocês aceitavam no ano passado.",
];
/// The pause between two of them: shorter than the window, so the window stays open.
const TYPING: Duration = Duration::from_millis(400);
const WINDOW_MS: u32 = 1_500;
/// From the last message to the last callback, on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_mins(1);

/// Runs it; answers the timeline to print.
pub(super) async fn run(context: &Context, demo: &Demo) -> anyhow::Result<String> {
    let twilio = Messages::start(ACCOUNT_SID, AUTH_TOKEN);
    let api = Api::of(context, demo)?;
    let trigger = api.configure(&twilio).await?;

    let mut timeline = Timeline::default();
    for (index, text) in MESSAGES.iter().enumerate() {
        if index > 0 {
            tokio::time::sleep(TYPING).await;
        }
        api.post(context, &trigger, index, text, &mut timeline).await?;
    }

    let detail = wait_for("the answer to be delivered", PATIENCE, async || {
        api.finished_execution(&trigger.id).await.ok().flatten()
    })
    .await?;
    check(&detail, &twilio)?;
    timeline.add_execution(&detail)?;
    Ok(timeline.print(&how_to_look(&trigger.id, &detail)))
}

/// A trigger, and the address that Twilio would be given.
struct Trigger {
    id: String,
    webhook_url: String,
}

/// The REST API, as the demo tenant's owner.
struct Api {
    client: Client,
    base: String,
    jwt: String,
    agent_id: String,
}

impl Api {
    fn of(context: &Context, demo: &Demo) -> anyhow::Result<Self> {
        let announced = |key| {
            let value = context.announced(key);
            let text = value.and_then(|value| value.as_str().map(str::to_owned));
            text.with_context(|| format!("{key} was not announced"))
        };
        Ok(Self {
            client: http_client(),
            base: announced("management_url")?.trim_end_matches('/').to_owned(),
            jwt: announced("jwt")?,
            agent_id: demo.agent_id.to_string(),
        })
    }

    /// Makes the secret and the trigger, as an admin would.
    async fn configure(&self, twilio: &Messages) -> anyhow::Result<Trigger> {
        let secret = json!({"name": "TWILIO_CREDENTIALS", "value": twilio.credentials()});
        self.create("/api/secrets", &secret).await?;
        let created = self
            .create(
                "/api/triggers",
                &json!({
                    "agent_id": self.agent_id,
                    "name": "WhatsApp Twilio Demo",
                    "trigger_type": "webhook",
                    "trigger_config": whatsapp(&twilio.messages_url()),
                }),
            )
            .await?;
        let text = |pointer: &str| {
            let value = created.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
            value.with_context(|| format!("the new trigger has no {pointer}"))
        };
        Ok(Trigger { id: text("/data/id")?, webhook_url: text("/webhook_url")? })
    }

    async fn create(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self.client.post(format!("{}{path}", self.base)).bearer_auth(&self.jwt);
        let response = request.json(body).send().await?;
        let status = response.status();
        let answer: Value = response.json().await?;
        ensure!(status.is_success(), "POST {path} was answered {status}: {answer}");
        Ok(answer)
    }

    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let request = self.client.get(format!("{}{path}", self.base)).bearer_auth(&self.jwt);
        Ok(request.send().await?.error_for_status()?.json().await?)
    }

    /// Posts a message as Twilio does.
    async fn post(
        &self,
        context: &Context,
        trigger: &Trigger,
        index: usize,
        text: &str,
        timeline: &mut Timeline,
    ) -> anyhow::Result<()> {
        let message = Inbound::new(SENDER, text).profile_name("Ana").account_sid(ACCOUNT_SID);
        let signed = message.signed(AUTH_TOKEN, &trigger.webhook_url);
        let mut request = self.client.post(&trigger.webhook_url).body(signed.body);
        for (name, value) in signed.headers {
            request = request.header(name, value);
        }
        let (at, sent) = (context.clock.now(), tokio::time::Instant::now());
        let response = request.send().await?;
        let took = sent.elapsed();
        let status = response.status().as_u16();
        ensure!(response.status().is_success(), "message {} was answered {status}", index + 1);
        timeline.add_post(at, took, index, status, text);
        Ok(())
    }

    /// The detail of the trigger's execution, once its answer is on its way no more.
    async fn finished_execution(&self, trigger: &str) -> anyhow::Result<Option<Value>> {
        let list = self.get(&format!("/api/triggers/{trigger}/executions")).await?;
        let Some(id) = list.pointer("/data/0/id").and_then(Value::as_str) else {
            return Ok(None);
        };
        let detail = self.get(&format!("/api/triggers/{trigger}/executions/{id}")).await?;
        let status = detail.pointer("/deliveries/0/status").and_then(Value::as_str);
        Ok(status.is_some_and(|status| status != "pending").then_some(detail))
    }
}

/// The requests that show each step.
fn how_to_look(trigger: &str, detail: &Value) -> Vec<(&'static str, String)> {
    let id = detail.pointer("/execution/id").and_then(Value::as_str).unwrap_or_default();
    let session = detail.pointer("/session/session_id").and_then(Value::as_str).unwrap_or_default();
    vec![
        ("the executions of a trigger", format!("GET /api/triggers/{trigger}/executions")),
        (
            "messages, model calls, chunks, attempts",
            format!("GET /api/triggers/{trigger}/executions/{id}"),
        ),
        (
            "from a session back to its trigger",
            format!("GET /api/v1/sessions/{session}/trigger-context"),
        ),
    ]
}

/// The `trigger_config` of seed 000 for `WhatsApp` through Twilio, with smaller chunks, a shorter
/// window, and each message a paragraph of its own.
fn whatsapp(messages_url: &str) -> Value {
    json!({
        "channel": {
            "type": "twilio_whatsapp",
            "auth": {"type": "basic", "secret_ref": "TWILIO_CREDENTIALS"}
        },
        "execution": {
            "mode": "async",
            "callback": {
                "url": messages_url,
                "method": "POST",
                "content_type": "application/x-www-form-urlencoded",
                "auth": {"type": "basic", "secret_ref": "TWILIO_CREDENTIALS"},
                "body_template": {
                    "To": "{{phoneNumber}}",
                    "Body": "{{agent_response}}",
                    "From": "whatsapp:+14155238886"
                },
                "response_transform": {"max_length": 8000, "strip_markdown": true}
            },
            "ack_response": {
                "body": "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response></Response>",
                "content_type": "text/xml"
            },
            "split_config": {
                "enabled": true,
                "numbering": true,
                "max_chunks": 6,
                "chunk_strategy": "paragraph",
                "max_chunk_size": 100,
                "inter_chunk_delay_ms": 300
            },
            "message_buffer": {
                "enabled": true,
                "window_ms": WINDOW_MS,
                "max_messages": 8,
                "concat_separator": "\n\n"
            }
        },
        "sender_access": {"mode": "any"},
        "context_mapping": {
            "_waId": "$.WaId",
            "_messageSid": "$.MessageSid",
            "phoneNumber": "$.From",
            "profileName": "$.ProfileName"
        },
        "query_extraction": {"mode": "field", "field": "Body"},
        "response_adapter": {"format": "twiml"},
        "session_strategy": {"mode": "derive", "fields": ["phoneNumber"]}
    })
}

/// The demo is a test, too: it fails if what it tells is not true.
fn check(detail: &Value, twilio: &Messages) -> anyhow::Result<()> {
    let n_messages = detail["messages"].as_array().map_or(0, Vec::len);
    ensure!(n_messages == MESSAGES.len(), "the execution has {n_messages} messages, not 3");
    let status = detail.pointer("/deliveries/0/status").and_then(Value::as_str);
    if status != Some("delivered") {
        bail!("the answer was not delivered: {}", detail["deliveries"]);
    }
    let received: Vec<String> = twilio.accepted().into_iter().map(|sent| sent.body).collect();
    let expected: Vec<String> = MESSAGES
        .iter()
        .enumerate()
        .map(|(index, text)| format!("({}/{})\n{text}", index + 1, MESSAGES.len()))
        .collect();
    ensure!(received == expected, "Twilio received {received:?}");
    Ok(())
}

/// A time as the API prints it.
pub(super) fn time(value: &Value, pointer: &str) -> anyhow::Result<DateTime<Utc>> {
    let text = value.pointer(pointer).and_then(Value::as_str);
    let text = text.with_context(|| format!("the execution has no {pointer}"))?;
    Ok(DateTime::parse_from_rfc3339(text)?.with_timezone(&Utc))
}
