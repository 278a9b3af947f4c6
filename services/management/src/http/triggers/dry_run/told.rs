//! What would be told: to the sender, to the model, and to whom the answer is carried.

use recado_callback::chunks;
use recado_callback::render::{Chunk, render};
use recado_http::guard::Outbound;
use recado_http::{ApiError, Problem};
use recado_intake::answer::{self, Answer};
use recado_intake::reply::{self, AgentReply, ReplyShape};
use recado_store::tenants;
use recado_types::DeliveryId;
use recado_types::agent::prompt_sections;
use recado_types::credential::Credential;
use recado_types::hidden::HIDDEN;
use recado_types::hosts::DestinationHosts;
use recado_types::trigger::email::Smtp;
use recado_types::trigger::{Callback, CallbackAuth, Email, Mode, Source};
use serde_json::{Map, Value, json};

use super::steps::{Steps, Stop};
use super::walk::{Made, Walk};
use crate::failure::store_failed;

/// How an answer is shown.
pub(super) fn shown_answer(answer: &Answer, body: &str) -> Value {
    json!({
        "status": answer.status.as_u16(), "content_type": answer.content_type, "body": body,
    })
}

/// How much of the requests is shown, in bytes; one more may go beyond it.
const MAX_SHOWN: usize = 1 << 20;

/// Why a callback cannot be made: its code, and what is said about it.
type Unsendable = (&'static str, String);

impl Walk<'_> {
    /// The steps that need the message.
    pub(super) async fn tell(&self, steps: &mut Steps, made: &Made) -> Result<(), Stop> {
        self.show_buffer(steps);
        self.show_acknowledgement(steps, made);
        let section = prompt_sections(made.ids.session_id, made.mask.context());
        steps.pass("prompt", json!({ "context_section": made.mask.text(section.trim_start()) }));
        self.show_callback(steps, made).await
    }

    fn show_buffer(&self, steps: &mut Steps) {
        let shown = match &self.trigger().config.execution.buffer {
            None => json!({ "buffered": false }),
            Some(buffer) => json!({
                "buffered": true,
                "window_ms": buffer.policy.window_ms,
                "max_messages": buffer.policy.max_messages,
                "max_wait_ms": buffer.policy.max_wait_ms,
            }),
        };
        steps.pass("buffer", shown);
    }

    fn show_acknowledgement(&self, steps: &mut Steps, made: &Made) {
        let (trigger, ids) = (self.trigger(), made.ids);
        let config = &trigger.config;
        if !config.source.is_requested() {
            steps.skip("acknowledgement", "the trigger fires by itself: there is no request");
            return;
        }
        let (answer, waits) = match config.execution.mode {
            Mode::Async => (answer::acknowledge(trigger, Some(ids)), false),
            Mode::Sync => {
                let (adapter, split) = (&config.response_adapter, config.execution.split.as_ref());
                let reply = AgentReply {
                    trigger_id: trigger.id,
                    agent_id: trigger.agent_id,
                    execution_id: ids.execution_id(),
                    session_id: ids.session_id,
                    response: &self.sample.agent_response,
                    total_tokens: None,
                    latency_ms: 0,
                };
                (reply::reply(&ReplyShape { adapter, split }, &reply), true)
            }
        };
        let Value::Object(mut shown) = shown_answer(&answer, &made.mask.text(&answer.body)) else {
            unreachable!("it is an object literal")
        };
        // `status` is the step's.
        let status = shown.remove("status");
        shown.insert("status_code".to_owned(), status.unwrap_or_default());
        shown.insert("waits_for_the_agent".to_owned(), waits.into());
        steps.pass("acknowledgement", shown.into());
    }

    async fn show_callback(&self, steps: &mut Steps, made: &Made) -> Result<(), Stop> {
        let execution = &self.trigger().config.execution;
        if let Source::Email(email) = &self.trigger().config.source
            && let Some(smtp) = &email.smtp
        {
            self.show_mails(steps, made, email, smtp);
            return Ok(());
        }
        let Some(callback) = &execution.callback else {
            steps.skip("callback", "the trigger has no callback");
            return Ok(());
        };
        if execution.mode == Mode::Sync {
            steps.skip("callback", "the sender waits for the answer");
            return Ok(());
        }
        let cut = chunks::of(&self.sample.agent_response, execution, callback);
        let tenant = tenants::find(&self.caller.store, self.caller.tenant).await;
        let tenant = tenant.map_err(store_failed)?.ok_or(Problem::TenantMismatch);
        let hosts = DestinationHosts::of(&tenant.map_err(ApiError::from)?.destination_hosts);
        let judged = self.shown_chunks(callback, made, &hosts, &cut.chunks);
        match judged {
            Ok(requests) => {
                steps.pass("callback", json!({ "truncated": cut.truncated, "chunks": requests }));
            }
            Err((code, message)) => steps.fail_as("callback", code, &message),
        }
        Ok(())
    }

    /// The mails that the answer becomes; to whom they go is the mail's to say that is answered.
    fn show_mails(&self, steps: &mut Steps, made: &Made, email: &Email, smtp: &Smtp) {
        let execution = &self.trigger().config.execution;
        let cut = chunks::transformed(&self.sample.agent_response, execution, &smtp.transform);
        if cut.chunks.is_empty() {
            steps.fail_as("callback", "empty_response", "the agent's response is empty");
            return;
        }
        let mails = (1..).zip(&cut.chunks);
        let mails = mails
            .map(|(number, text): (u32, _)| json!({ "number": number, "text": made.mask.text(text) }))
            .collect::<Vec<_>>();
        let shown = json!({
            "by": "smtp", "from": email.address.to_string(), "server": smtp.host.to_string(),
            "truncated": cut.truncated, "chunks": mails,
        });
        steps.pass("callback", shown);
    }

    /// The requests of all chunks; those of the last ones only while all together are not large.
    fn shown_chunks(
        &self,
        callback: &Callback,
        made: &Made,
        hosts: &DestinationHosts,
        texts: &[String],
    ) -> Result<Vec<Value>, Unsendable> {
        if texts.is_empty() {
            return Err(("empty_response", "the agent's response is empty".to_owned()));
        }
        let count = u32::try_from(texts.len()).unwrap_or(u32::MAX);
        let (mut shown, mut size) = (Vec::with_capacity(texts.len()), 0);
        for (number, text) in (1..).zip(texts) {
            if size > MAX_SHOWN {
                shown.push(json!({ "number": number, "reason": "there is too much to show" }));
                continue;
            }
            let chunk = self.shown_chunk(callback, made, hosts, (number, count), text)?;
            size += chunk["body"].as_str().unwrap_or_default().len() + text.len();
            shown.push(chunk);
        }
        Ok(shown)
    }

    /// The request that carries a chunk. Whether it can be made is judged by what it really would
    /// be; what is shown is made of what may be shown.
    fn shown_chunk(
        &self,
        callback: &Callback,
        made: &Made,
        hosts: &DestinationHosts,
        (number, count): (u32, u32),
        text: &str,
    ) -> Result<Value, Unsendable> {
        let (mask, now) = (&made.mask, self.api.clock.now());
        let execution_id = made.ids.execution_id();
        let chunk = |context| Chunk {
            context,
            text,
            number,
            count,
            execution_id,
            delivery_id: DeliveryId::of(execution_id),
            whole_round: 1,
            session_id: made.ids.session_id,
            trigger_id: self.trigger().id,
        };
        let secret = self.subject.callback_secret.as_deref();
        let real = render(callback, &chunk(&made.context), secret, now)
            .map_err(|error| (error.code(), error.to_string()))?;
        hosts.check(&real.url).map_err(|error| ("destination_not_allowed", error.to_string()))?;
        let stand_in = stand_in(&callback.auth, mask.stand_in());
        let masked = render(callback, &chunk(mask.context()), Some(&stand_in), now);
        let open =
            Callback { auth: CallbackAuth::Credential(Credential::None), ..callback.clone() };
        let open = render(&open, &chunk(mask.context()), None, now);
        let (Ok(masked), Ok(open)) = (masked, open) else {
            let reason = "it cannot be shown without its hidden values";
            return Ok(json!({ "number": number, "text": mask.text(text), "reason": reason }));
        };
        let content_type = masked.headers.get("content-type").and_then(|value| value.to_str().ok());
        Ok(json!({
            "number": number,
            "text": mask.text(text),
            "method": masked.method.as_str(),
            "url": mask.text(masked.url.as_str()),
            "content_type": content_type,
            "headers": shown_headers(made, &masked, &open),
            "body": mask.text(&String::from_utf8_lossy(&masked.body)),
        }))
    }
}

/// What the credential or the signature adds is hidden.
fn shown_headers(made: &Made, masked: &Outbound, open: &Outbound) -> Value {
    let shown = |name, value: &[u8]| match open.headers.get(name) {
        Some(_) => made.mask.text(&String::from_utf8_lossy(value)),
        None => HIDDEN.to_owned(),
    };
    let headers = masked.headers.iter();
    let headers = headers
        .map(|(name, value)| (name.to_string(), shown(name, value.as_bytes()).into()))
        .collect::<Map<_, _>>();
    headers.into()
}

/// A secret of the form that `auth` needs.
fn stand_in(auth: &CallbackAuth, word: &str) -> String {
    match auth {
        CallbackAuth::Credential(Credential::Basic { .. }) => format!("{word}:{word}"),
        CallbackAuth::Credential(_) | CallbackAuth::Hmac { .. } => word.to_owned(),
    }
}
