//! `POST /api/triggers/webhook/{id}`: from a request to a message that the broker has.

use std::sync::Arc;
use std::time::Instant;

use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use recado_clock::Clock;
use recado_http::ApiError;
use recado_types::TriggerId;
use recado_types::trigger::QueryExtraction;
use uuid::Uuid;

use crate::answer::Answer;
use crate::auth::{self, ApiKeys, Received};
use crate::channel::Arrival;
use crate::config::Limits;
use crate::metrics::{BODY_BYTES, REQUEST_SECONDS, REQUESTS};
use crate::outbox::Outbox;
use crate::public_url::PublicUrl;
use crate::refusal::Refusal;
use crate::trigger::{CompiledTrigger, Triggers};
use crate::{body, message, payload};

/// The route.
pub(crate) const PATH: &str = "/api/triggers/webhook/{id}";

/// How a UUID is written in a path; the other forms that its parser knows are nobody's links.
const HYPHENATED: usize = 36;

/// Everything a request needs. Shared by all workers.
#[derive(Debug)]
pub(crate) struct Ingress {
    pub(crate) limits: Limits,
    pub(crate) public_url: PublicUrl,
    pub(crate) triggers: Arc<Triggers>,
    pub(crate) api_keys: Arc<ApiKeys>,
    pub(crate) outbox: Outbox,
    pub(crate) clock: Arc<dyn Clock>,
}

/// What became of a request that was not refused.
enum Outcome {
    /// It is a message, and the broker has it.
    Accepted(Answer),
    /// There was nothing to do.
    Notice(Answer),
}

/// The endpoint.
pub(crate) async fn receive(
    request: HttpRequest,
    payload: Payload,
    ingress: Data<Ingress>,
) -> Result<HttpResponse, ApiError> {
    let begun = Instant::now();
    let outcome = Box::pin(ingress.receive(&request, payload)).await;
    let label = match &outcome {
        Ok(Outcome::Accepted(_)) => "accepted",
        Ok(Outcome::Notice(_)) => "notice",
        Err(refusal) => refusal.code(),
    };
    REQUESTS.with_label_values(&[label]).inc();
    REQUEST_SECONDS.with_label_values(&[label]).observe(begun.elapsed().as_secs_f64());
    match outcome {
        Ok(Outcome::Accepted(answer) | Outcome::Notice(answer)) => Ok(answer.into()),
        Err(refusal) => {
            // What is our own fault is logged, with its causes, by the middleware.
            if refusal.is_the_senders() {
                let trigger_id = trigger_id(&request).map(tracing::field::display);
                tracing::info!(trigger.id = trigger_id, refusal.code = label, "webhook refused");
            }
            Err(refusal.into())
        }
    }
}

impl Ingress {
    async fn receive(&self, request: &HttpRequest, payload: Payload) -> Result<Outcome, Refusal> {
        // Before the body: strangers who guess at links cost us no memory.
        let trigger = self.trigger(request).await?;
        let Limits { max_body, body_timeout, .. } = self.limits;
        let body = body::read(request, payload, max_body, body_timeout).await?;
        BODY_BYTES.observe(f64::from(u32::try_from(body.len()).unwrap_or(u32::MAX)));

        let received = Received {
            public_url: &self.public_url,
            path_and_query: request.uri().path_and_query().map_or("", |target| target.as_str()),
            headers: request.headers(),
            body: &body,
        };
        auth::authenticate(&trigger, &received, &self.api_keys).await?;

        let content_type = content_type(&received)?;
        let accepts_text = trigger.config.query_extraction == QueryExtraction::FullBody;
        let payload = payload::parse(content_type, &body, accepts_text)?;
        let hints = match trigger.channel.interpret(&payload) {
            Arrival::Message(hints) => hints,
            Arrival::Notice(answer) => return Ok(Outcome::Notice(answer)),
        };
        let headers = request.headers();
        let message = message::normalise(&trigger, headers, &payload, hints, &*self.clock)?;

        let (message_id, session_id) = (message.id, message.session_id);
        let answer = Answer::to(&trigger, &message);
        let buffer = trigger.config.execution.buffer.as_ref();
        self.outbox.hand_over(message, buffer).await?;
        tracing::debug!(
            tenant.id = %trigger.tenant_id,
            trigger.id = %trigger.id,
            session.id = %session_id,
            message.id = %message_id,
            "accepted message {message_id}"
        );
        Ok(Outcome::Accepted(answer))
    }

    /// The trigger that the path names, if it takes messages.
    async fn trigger(&self, request: &HttpRequest) -> Result<Arc<CompiledTrigger>, Refusal> {
        let id = trigger_id(request).ok_or(Refusal::TriggerNotFound)?;
        let trigger = self.triggers.get(id).await.map_err(Refusal::Lookup)?;
        let trigger = trigger.ok_or(Refusal::TriggerNotFound)?;
        if trigger.enabled { Ok(trigger) } else { Err(Refusal::TriggerDisabled) }
    }
}

fn trigger_id(request: &HttpRequest) -> Option<TriggerId> {
    let text = request.match_info().get("id")?;
    let id = Uuid::try_parse(text).ok().filter(|_| text.len() == HYPHENATED)?;
    Some(TriggerId(id))
}

/// What the request says its body is. One that says it unreadably says something else than we read.
fn content_type<'a>(request: &Received<'a>) -> Result<Option<&'a str>, Refusal> {
    let header = request.headers.get(CONTENT_TYPE);
    header.map(|value| value.to_str().map_err(|_not_shown| Refusal::UnsupportedType)).transpose()
}
