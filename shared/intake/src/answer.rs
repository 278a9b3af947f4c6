//! What a sender is told at once, when the broker has its message.
//!
//! The answer depends on the trigger and the message id only, so a provider's retry of a message
//! gets the first answer again, from whichever instance.
//!
//! It is 202, as seed 000 says of asynchronous triggers, but where a provider asks for 200: Twilio
//! (the `twiml` format), Meta, Slack, Teams, and those who post mails. That holds for a configured `ack_response` and for
//! the default alike. There is always a `Content-Type`: Twilio counts an answer without one as a
//! failure (error 11200).

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_TYPE;
use recado_types::trigger::{ChannelKind, ResponseFormat, Source, TriggerConfig};
use recado_types::{ExecutionId, MessageId, SessionId};
use serde::Serialize;

use crate::trigger::CompiledTrigger;

const EMPTY_TWIML: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response></Response>";

/// A success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// 200 or 202.
    pub status: StatusCode,
    /// Never empty.
    pub content_type: String,
    /// As it is sent.
    pub body: String,
}

/// A message that was accepted, as far as its sender is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The message.
    pub message_id: MessageId,
    /// Its conversation.
    pub session_id: SessionId,
}

impl Accepted {
    /// The execution it becomes, provided that it does not join one that begins with another.
    pub fn execution_id(&self) -> ExecutionId {
        ExecutionId::of_first(self.message_id)
    }
}

/// The default body.
#[derive(Serialize)]
struct Acceptance {
    success: bool,
    status: &'static str,
    trigger_id: String,
    message_id: String,
    session_id: String,
    /// Only where it is certain: a buffered message may join an execution that begins with another.
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_id: Option<String>,
    buffered: bool,
}

/// What the sender is told of the first message that was accepted. There is none if the request was
/// a batch of which none could be taken.
pub fn acknowledge(trigger: &CompiledTrigger, first: Option<Accepted>) -> Answer {
    let config = &trigger.config;
    let kind = config.channel.as_ref().map(|channel| channel.kind);
    let format = config.response_adapter.format;
    if let Some(ack) = &config.execution.ack_response {
        return Answer::new(status(config), &ack.content_type, ack.body.clone());
    }
    match (kind, format, first) {
        // Slack shows a body to the user who typed a command, and Teams expects a message.
        (Some(ChannelKind::Slack), ..) => Answer::new(StatusCode::OK, "text/plain", String::new()),
        (Some(ChannelKind::Teams), ..) => {
            let body = r#"{"type":"message","text":""}"#.to_owned();
            Answer::new(StatusCode::OK, "application/json", body)
        }
        (_, ResponseFormat::Twiml, _) => Answer::empty_twiml(),
        (Some(ChannelKind::MetaWhatsapp), ..) | (.., None) => {
            Answer::new(StatusCode::OK, "application/json", r#"{"success":true}"#.to_owned())
        }
        (_, _, Some(message)) => accepted(trigger, message),
    }
}

fn accepted(trigger: &CompiledTrigger, message: Accepted) -> Answer {
    let buffered = trigger.config.execution.buffer.is_some();
    let accepted = Acceptance {
        success: true,
        status: "accepted",
        trigger_id: trigger.id.to_string(),
        message_id: message.message_id.to_string(),
        session_id: message.session_id.to_string(),
        execution_id: (!buffered).then(|| message.execution_id().to_string()),
        buffered,
    };
    let body = serde_json::to_string(&accepted).expect("texts and flags are JSON");
    let config = &trigger.config;
    Answer::new(status(config), "application/json", body)
}

fn status(config: &TriggerConfig) -> StatusCode {
    let kind = config.channel.as_ref().map(|channel| channel.kind);
    // To Mailgun and Postmark, anything but 200 is a failure.
    let wants_200 = matches!(config.source, Source::Email(_))
        || matches!(
            kind,
            Some(ChannelKind::MetaWhatsapp | ChannelKind::Slack | ChannelKind::Teams)
        );
    let is_twiml = config.response_adapter.format == ResponseFormat::Twiml;
    if wants_200 || is_twiml { StatusCode::OK } else { StatusCode::ACCEPTED }
}

impl Answer {
    /// An answer with a body of this type.
    pub fn new(status: StatusCode, content_type: &str, body: String) -> Self {
        Self { status, content_type: content_type.to_owned(), body }
    }

    /// Nothing for Twilio to do.
    pub fn empty_twiml() -> Self {
        let (content_type, body) = ("text/xml".to_owned(), EMPTY_TWIML.to_owned());
        Self { status: StatusCode::OK, content_type, body }
    }
}

impl From<Answer> for HttpResponse {
    fn from(answer: Answer) -> Self {
        Self::build(answer.status)
            .insert_header((CONTENT_TYPE, answer.content_type))
            .body(answer.body)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;
    use crate::trigger::tests::compiled;

    fn handed() -> Accepted {
        let id = Uuid::from_u128;
        Accepted { message_id: MessageId(id(4)), session_id: SessionId(id(5)) }
    }

    fn answer(execution: &Value, format: &str) -> Answer {
        let trigger = compiled(&json!({
            "execution": execution, "response_adapter": {"format": format},
        }));
        acknowledge(&trigger, Some(handed()))
    }

    #[test]
    fn the_default_names_everything_that_is_certain() {
        let answer = answer(&json!({"mode": "async"}), "raw");
        assert_eq!(
            (answer.status.as_u16(), answer.content_type.as_str()),
            (202, "application/json")
        );
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(
            body,
            json!({
                "success": true, "status": "accepted", "buffered": false,
                "trigger_id": Uuid::from_u128(1), "message_id": handed().message_id,
                "session_id": handed().session_id,
                "execution_id": handed().execution_id(),
            })
        );
    }

    #[test]
    fn a_buffered_message_has_no_execution_yet() {
        let answer =
            answer(&json!({"mode": "async", "message_buffer": {"enabled": true}}), "ebarn");
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!((&body["buffered"], body.get("execution_id")), (&json!(true), None));
        assert_eq!(answer.status, 202);
    }

    #[test]
    fn a_configured_acknowledgement_is_sent_as_it_is() {
        let execution = |ack: Value| json!({"mode": "async", "ack_response": ack});
        let xml = execution(json!({"body": "<a/>", "content_type": "text/xml"}));
        let expected =
            |status| Answer { status, content_type: "text/xml".into(), body: "<a/>".into() };
        assert_eq!(answer(&xml, "twiml"), expected(StatusCode::OK));
        assert_eq!(answer(&xml, "raw"), expected(StatusCode::ACCEPTED));
        let empty = answer(&execution(json!({})), "raw");
        assert_eq!((empty.body.as_str(), empty.content_type.is_empty()), ("", false));
    }

    #[test]
    fn twilio_is_told_that_there_is_nothing_to_do() {
        let answer = answer(&json!({"mode": "async"}), "twiml");
        assert_eq!(answer, Answer::empty_twiml());
        let response = HttpResponse::from(answer);
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers().get(CONTENT_TYPE).unwrap(), "text/xml");
    }
}
