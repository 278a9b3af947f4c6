//! What is to be tried.

use actix_web::http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use recado_http::ApiError;
use recado_types::shape::{ObjectReader, Problems};
use recado_types::trigger::TriggerType;
use serde_json::{Value, json};

use crate::failure::invalid;

const MAX_HEADERS: usize = 100;
const MAX_QUERY: usize = 8_192;
const MAX_RESPONSE: usize = 100_000;
/// A body has less than this: the document around it is not larger.
const MAX_BODY: usize = crate::body::MAX_BODY;

/// What the agent answers if nothing is said.
const USUAL_RESPONSE: &str = "This is a sample answer.";

/// A webhook that might come.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) what: What,
    pub(super) headers: HeaderMap,
    /// What the agent might answer.
    pub(super) agent_response: String,
}

/// What is in it.
#[derive(Debug)]
pub(super) enum What {
    /// A value, as if it had been read already.
    Payload(Value),
    /// What a schedule makes of its next tick.
    NextTick,
    /// The bytes as they were sent, and the query of the address they were sent to.
    Bytes { body: String, query: Option<String> },
}

impl Sample {
    /// What makes a trigger of this type fire.
    pub(super) fn read(body: &Value, trigger_type: TriggerType) -> Result<Self, ApiError> {
        let problems = Problems::default();
        let sample = ObjectReader::new(body, "", &problems).map(|mut fields| {
            let payload = fields.any("payload").cloned();
            let bytes = fields.string("body", 0..=MAX_BODY).map(str::to_owned);
            let query = fields.string("query", 0..=MAX_QUERY).map(str::to_owned);
            let mut headers = read_headers(&mut fields);
            if !headers.contains_key(CONTENT_TYPE) {
                let usual = usual_type(trigger_type, bytes.as_deref().unwrap_or_default());
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(usual));
            }
            let response = fields.string("agent_response", 1..=MAX_RESPONSE);
            let what = match (payload, bytes) {
                (Some(payload), None) => {
                    if query.is_some() {
                        fields.refuse("query", "goes with `body`");
                    }
                    What::Payload(payload)
                }
                (None, Some(body)) => {
                    if matches!(trigger_type, TriggerType::Schedule | TriggerType::DbEvent) {
                        fields.refuse("body", "is for triggers that take requests; give `payload`");
                    }
                    refuse_foreign_query(&fields, query.as_deref());
                    What::Bytes { body, query }
                }
                (Some(payload), Some(_)) => {
                    fields.refuse("body", "must not be there beside `payload`");
                    What::Payload(payload)
                }
                (None, None) if trigger_type == TriggerType::Schedule => What::NextTick,
                (None, None) => {
                    let or_body = match trigger_type {
                        TriggerType::DbEvent => {
                            "is required: `{\"row\": {…}}` or what a NOTIFY says"
                        }
                        _ => "is required, or else `body`",
                    };
                    fields.refuse("payload", or_body);
                    What::Payload(Value::Null)
                }
            };
            fields.done();
            let agent_response = response.unwrap_or(USUAL_RESPONSE).to_owned();
            Self { what, headers, agent_response }
        });
        problems.finish(()).map_err(invalid)?;
        Ok(sample.expect("anything but an object is a problem"))
    }
}

fn refuse_foreign_query(fields: &ObjectReader<'_>, query: Option<&str>) {
    let is_part = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'"' | b'<' | b'>');
    if !query.unwrap_or_default().bytes().all(is_part) {
        fields.refuse("query", "must be what stands behind `?` in an address, percent-encoded");
    }
}

fn read_headers(fields: &mut ObjectReader<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields.entries("headers", MAX_HEADERS) {
        let path = format!("headers.{}", name.chars().take(64).collect::<String>());
        let parsed = HeaderName::from_bytes(name.as_bytes());
        let text = value.as_str().map(HeaderValue::from_str);
        match (parsed, text) {
            (Ok(name), Some(Ok(value))) => headers.append(name, value),
            (Err(_), _) => fields.refuse(&path, "is not a name of a header"),
            (_, None) => fields.refuse(&path, "must be a text"),
            (_, Some(Err(_))) => fields.refuse(&path, "must have no control characters"),
        }
    }
    headers
}

/// What a body is if nothing is said: who gives JSON, or a mail as it is, should not have to.
fn usual_type(trigger_type: TriggerType, body: &str) -> &'static str {
    let is_json = body.trim_start().starts_with('{');
    if trigger_type == TriggerType::Email && !is_json {
        "message/rfc822"
    } else {
        "application/json"
    }
}

/// The shape of the body.
pub(in super::super) fn body_schema() -> Value {
    let headers = json!({
        "type": "object",
        "maxProperties": MAX_HEADERS,
        "propertyNames": { "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$" },
        "additionalProperties": { "type": "string", "pattern": "^[\\t -~]*$" },
        "description": "Without a `Content-Type` it is `application/json`, or `message/rfc822` for a \
                        mail that is no JSON.",
    });
    let response = json!({
        "type": "string", "minLength": 1, "maxLength": MAX_RESPONSE,
        "description": "What the agent might answer.",
    });
    json!({
        "oneOf": [
            {
                "title": "A payload",
                "type": "object",
                "properties": {
                    "payload": { "not": { "type": "null" } },
                    "headers": headers,
                    "agent_response": response,
                },
                "required": ["payload"],
                "additionalProperties": false,
            },
            {
                "title": "The next tick of a schedule",
                "type": "object",
                "properties": { "agent_response": response },
                "additionalProperties": false,
            },
            {
                "title": "A body as it was sent",
                "type": "object",
                "properties": {
                    "body": { "type": "string", "maxLength": MAX_BODY },
                    "query": {
                        "type": "string", "maxLength": MAX_QUERY, "pattern": "^[!$-;=?-~]*$",
                    },
                    "headers": headers,
                    "agent_response": response,
                },
                "required": ["body"],
                "additionalProperties": false,
            },
        ],
    })
}

/// One that is right.
pub(in super::super) fn body_example() -> Value {
    json!({
        "payload": { "chatInput": "Where is my order?", "userId": "user-7" },
        "agent_response": "It left our warehouse this morning.",
    })
}

#[cfg(test)]
mod tests {
    use recado_http::Problem;

    use super::*;

    fn read(body: &Value) -> Result<Sample, ApiError> {
        Sample::read(body, TriggerType::Webhook)
    }

    #[test]
    fn a_schedule_needs_nothing_and_has_no_bytes() {
        let read = |body: Value| Sample::read(&body, TriggerType::Schedule);
        assert!(matches!(read(json!({})).unwrap().what, What::NextTick));
        assert!(matches!(read(json!({"payload": 1})).unwrap().what, What::Payload(_)));
        assert_eq!(read(json!({"body": "{}"})).unwrap_err().problem(), Problem::InvalidInput);
    }

    #[test]
    fn a_mail_needs_no_content_type() {
        let of = |body: &str| {
            let sample = Sample::read(&json!({ "body": body }), TriggerType::Email).unwrap();
            sample.headers.get(CONTENT_TYPE).unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!(of("From: ana@client.example\r\n\r\n"), "message/rfc822");
        assert_eq!(of(" {}"), "application/json");
    }

    #[test]
    fn it_is_a_payload_or_bytes() {
        let sample = read(&json!({"payload": {"a": 1}})).unwrap();
        assert!(matches!(sample.what, What::Payload(payload) if payload == json!({"a": 1})));
        assert_eq!(sample.agent_response, USUAL_RESPONSE);
        let bytes = json!({"body": "a=1", "query": "b=2", "headers": {"Content-Type": "text/x"}});
        let sample = read(&bytes).unwrap();
        assert!(matches!(sample.what, What::Bytes { query: Some(query), .. } if query == "b=2"));
        assert_eq!(sample.headers.get(CONTENT_TYPE).unwrap(), "text/x");
        read(&body_example()).unwrap();
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            json!({}),
            json!([]),
            json!({"payload": null}),
            json!({"payload": {}, "body": ""}),
            json!({"payload": {}, "query": "a=1"}),
            json!({"body": "", "query": "a b"}),
            json!({"body": {}}),
            json!({"payload": {}, "headers": {"a b": ""}}),
            json!({"payload": {}, "headers": {"a": 1}}),
            json!({"payload": {}, "headers": {"a": "\n"}}),
            json!({"payload": {}, "agent_response": ""}),
            json!({"payload": {}, "more": 1}),
        ] {
            assert_eq!(read(&bad).unwrap_err().problem(), Problem::InvalidInput, "{bad}");
        }
    }
}
