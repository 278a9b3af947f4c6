//! `/v1/apps/{app_id}/webhooks/{channel_id}` (seed 003): a published app's channel, guarded by a
//! token. The channel is a trigger, its token the trigger's `webhook_secret`, and the body, of
//! whatever type, is the message.
//!
//! Errors are problem documents (RFC 9457) that say what can be done next.

use std::time::Instant;

use actix_web::http::header::AUTHORIZATION;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use recado_http::{ApiError, Problem};
use recado_intake::auth::Received;
use recado_intake::{CompiledTrigger, payload};
use recado_store::apps::AppStatus;
use recado_types::{AppId, SessionId, TriggerId};
use serde::Serialize;
use serde_json::{Map, Value, json};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::{acknowledged, note, only_post};
use crate::ingress::Ingress;
use crate::refusal::Refusal;
use crate::take::{Taken, Telling};

/// The route.
pub(crate) const PATH: &str = "/v1/apps/{app_id}/webhooks/{channel_id}";

const SURFACE: &str = "apps";

/// Where the token is; it wins over a bearer token.
const TOKEN_HEADER: &str = "X-Everruns-Webhook-Token";

/// What seed 003 answers.
#[derive(Serialize)]
struct Invoked {
    accepted: bool,
    created_session: bool,
    session_id: String,
}

/// POST: somebody wrote something.
pub(crate) async fn receive(
    request: HttpRequest,
    payload: Payload,
    ingress: Data<Ingress>,
) -> Result<HttpResponse, ApiError> {
    let begun = Instant::now();
    let outcome = Box::pin(take(&ingress, &request, payload)).await;
    note(SURFACE, trigger_id(&request), begun, &outcome);
    match outcome {
        Ok((response, _)) => Ok(response),
        Err(refusal) => Err(problem(refusal.into(), request.path())),
    }
}

/// Anything but POST.
pub(crate) async fn method_not_allowed(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    Err(problem(only_post(), request.path()))
}

async fn take(
    ingress: &Ingress,
    request: &HttpRequest,
    payload: Payload,
) -> Result<(HttpResponse, &'static str), Refusal> {
    let app_id = prefixed(request, "app_id", "app_").map(AppId).ok_or(Refusal::AppNotFound)?;
    let trigger_id = trigger_id(request).ok_or(Refusal::AppNotFound)?;
    let trigger = match ingress.trigger(trigger_id).await {
        Err(Refusal::TriggerNotFound) => return Err(Refusal::AppNotFound),
        looked_up => looked_up?,
    };
    let app = trigger.app.as_ref().filter(|app| app.id == app_id).ok_or(Refusal::AppNotFound)?;
    if app.status != AppStatus::Published || !trigger.enabled {
        return Err(Refusal::AppNotLive);
    }
    let body = ingress.body(&trigger, request, payload).await?;
    let received = ingress.received(request, &body);
    check_token(&trigger, &received)?;
    if trigger.channel.always_checks() && !trigger.channel.is_authentic(&received) {
        return Err(recado_intake::Refusal::InvalidSignature(trigger.channel.proof()).into());
    }
    let value = payload::anything(&body, ingress.limits.payload)?;
    let messages = match ingress.take(&trigger, &received, &body, value, Telling::Novelty).await? {
        Taken::Notice(answer) => return Ok((answer.into(), "notice")),
        Taken::Messages(messages) => messages,
    };
    let Some(message) = messages.first() else {
        // Of a batch, none could be taken.
        return Err(recado_intake::Refusal::SenderDenied.into());
    };
    let body = json!(Invoked {
        accepted: true,
        created_session: message.is_new_session,
        session_id: shown(message.session_id),
    });
    Ok((acknowledged(body, message.rate), "accepted"))
}

/// Does the request name the channel's token?
fn check_token(trigger: &CompiledTrigger, request: &Received<'_>) -> Result<(), Refusal> {
    let bearer = || {
        let (scheme, token) = request.only_header(AUTHORIZATION.as_str())?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token)
    };
    let token = if request.headers.contains_key(TOKEN_HEADER) {
        request.only_header(TOKEN_HEADER)
    } else {
        bearer()
    };
    let token = token.unwrap_or_default().trim().as_bytes();
    let is_known = trigger.own_keys.any(request.at, |key| key.ct_eq(token).into());
    is_known.then_some(()).ok_or(Refusal::InvalidToken)
}

fn trigger_id(request: &HttpRequest) -> Option<TriggerId> {
    prefixed(request, "channel_id", "appchan_").map(TriggerId)
}

/// An id as seed 003 writes it: a prefix and 32 hexadecimal digits.
fn prefixed(request: &HttpRequest, name: &str, prefix: &str) -> Option<Uuid> {
    let digits = request.match_info().get(name)?.strip_prefix(prefix)?;
    let is_simple = digits.len() == 32 && !digits.bytes().any(|byte| byte.is_ascii_uppercase());
    is_simple.then(|| Uuid::try_parse(digits).ok())?
}

fn shown(session: SessionId) -> String {
    format!("session_{}", session.0.simple())
}

/// The error as seed 003 documents errors, with what can be done next.
fn problem(error: ApiError, path: &str) -> ApiError {
    let mut further = Map::from_iter([("instance".to_owned(), Value::from(path))]);
    let retry_after = error.retry_after_seconds();
    if let Some(seconds) = retry_after {
        further.insert("retry_after_seconds".to_owned(), seconds.into());
    }
    let action = match error.problem() {
        Problem::RateLimited | Problem::Unavailable => {
            Some(("retry-later", "Send the same request again after retry_after_seconds."))
        }
        Problem::InvalidToken => {
            Some(("retry", "Send the channel's token in X-Everruns-Webhook-Token."))
        }
        Problem::AppNotPublished => {
            Some(("retry-later", "Publish the app and enable its channel first."))
        }
        Problem::MethodNotAllowed => Some(("retry", "Use POST.")),
        problem if problem.status().is_client_error() && problem != Problem::AppNotFound => {
            Some(("retry", "Correct the request as `detail` says."))
        }
        _ => None,
    };
    let actions = action.map(|(rel, hint)| json!({"rel": rel, "method": "POST", "hint": hint}));
    further.insert("allowed_actions".to_owned(), Value::from_iter(actions));
    error.as_rfc9457(further)
}
