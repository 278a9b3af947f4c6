//! `/api/triggers/webhook/{id}` (seed 000): the sender waits for the agent, or is acknowledged.

use std::time::{Duration, Instant};

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use recado_http::ApiError;
use recado_intake::CompiledTrigger;
use recado_intake::answer::{self, Answer};
use recado_intake::channel::Challenge;
use recado_intake::payload;
use recado_intake::reply::{self, AgentReply, ReplyShape};
use recado_store::executions::EndedExecution;
use recado_types::TriggerId;
use recado_types::trigger::Mode;

use super::{id_in_path, note, only_post};
use crate::ingress::Ingress;
use crate::refusal::Refusal;
use crate::take::{Accepted, Taken, Telling};

/// The route.
pub(crate) const PATH: &str = "/api/triggers/webhook/{id}";

const SURFACE: &str = "native";

/// POST: somebody wrote something.
pub(crate) async fn receive(
    request: HttpRequest,
    payload: Payload,
    ingress: Data<Ingress>,
) -> Result<HttpResponse, ApiError> {
    let begun = Instant::now();
    let outcome = Box::pin(take(&ingress, &request, payload, begun)).await;
    note(SURFACE, id_in_path(&request, "id").map(TriggerId), begun, &outcome);
    Ok(outcome?.0)
}

/// GET: a provider wants to know who we are. Triggers of other providers have no GET.
pub(crate) async fn challenge(
    request: HttpRequest,
    ingress: Data<Ingress>,
) -> Result<HttpResponse, ApiError> {
    let Some(id) = id_in_path(&request, "id") else { return Err(Refusal::TriggerNotFound.into()) };
    let trigger = ingress.trigger(TriggerId(id)).await?;
    match trigger.channel.challenge(&ingress.received(&request, b"")) {
        Challenge::Passed(answer) => Ok(answer.into()),
        Challenge::Failed => Err(Refusal::ChallengeFailed.into()),
        Challenge::Unknown => Err(only_post()),
    }
}

async fn take(
    ingress: &Ingress,
    request: &HttpRequest,
    payload: Payload,
    begun: Instant,
) -> Result<(HttpResponse, &'static str), Refusal> {
    // Before the body: strangers who guess at links cost us no memory.
    let id = id_in_path(request, "id").ok_or(Refusal::TriggerNotFound)?;
    let trigger = ingress.trigger(TriggerId(id)).await?;
    if !trigger.enabled {
        return Err(recado_intake::Refusal::TriggerDisabled.into());
    }
    let body = ingress.body(&trigger, request, payload).await?;
    let received = ingress.received(request, &body);
    ingress.authenticate(&trigger, &received).await?;
    let value = payload::of(&trigger, &received)?;
    let telling = match trigger.config.execution.mode {
        Mode::Sync => Telling::Answer,
        Mode::Async => Telling::Acceptance,
    };
    let mut messages = match ingress.take(&trigger, &received, &body, value, telling).await? {
        Taken::Notice(answer) => return Ok((answer.into(), "notice")),
        Taken::Messages(messages) => messages,
    };
    let waits_for = messages.last_mut().and_then(|message| {
        let expected = message.expected.take()?;
        Some((&*message, expected))
    });
    let (answer, label) = match waits_for {
        Some((message, expected)) => {
            let wait = Duration::from_millis(trigger.config.wait_ms.into());
            let ended = expected.within(wait.saturating_sub(begun.elapsed())).await?;
            (told(&trigger, message, &ended, begun)?, "answered")
        }
        None => (answer::acknowledge(&trigger, messages.first().map(Accepted::told)), "accepted"),
    };
    let mut response = HttpResponse::from(answer);
    if let Some(rate) = messages.last().and_then(|message| message.rate) {
        rate.write_headers(response.headers_mut());
    }
    Ok((response, label))
}

/// How executions end that were not to be answered.
const SILENT: [&str; 2] = ["session_handed_off", "superseded"];

/// What the agent said, in the form that the sender expects.
fn told(
    trigger: &CompiledTrigger,
    message: &Accepted<'_>,
    ended: &EndedExecution,
    begun: Instant,
) -> Result<Answer, Refusal> {
    let execution = message.execution_id();
    let response = match ended.status.as_str() {
        "success" => ended.agent_response.as_deref().unwrap_or_default(),
        "timeout" => return Err(Refusal::ExecutionTimedOut { execution }),
        // Nothing went wrong, and the agent has nothing to say: a person answers, or the answer
        // comes with the next message's.
        "cancelled" if ended.error_code.as_deref().is_some_and(|code| SILENT.contains(&code)) => {
            return Ok(answer::acknowledge(trigger, Some(message.told())));
        }
        _ => {
            let code = ended.error_code.clone();
            return Err(Refusal::ExecutionFailed { execution, code });
        }
    };
    let config = &trigger.config;
    let shape =
        ReplyShape { adapter: &config.response_adapter, split: config.execution.split.as_ref() };
    let latency_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let reply = AgentReply {
        trigger_id: trigger.id,
        agent_id: ended.agent_id,
        execution_id: execution,
        session_id: message.session_id,
        response,
        total_tokens: ended.tokens_used,
        latency_ms,
    };
    Ok(reply::reply(&shape, &reply))
}
