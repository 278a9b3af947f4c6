//! What is to be tried.

use actix_web::http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use recado_http::ApiError;
use recado_types::shape::{ObjectReader, Problems};
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
    /// The bytes as they were sent, and the query of the address they were sent to.
    Bytes { body: String, query: Option<String> },
}

impl Sample {
    pub(super) fn read(body: &Value) -> Result<Self, ApiError> {
        let problems = Problems::default();
        let sample = ObjectReader::new(body, "", &problems).map(|mut fields| {
            let payload = fields.any("payload").cloned();
            let bytes = fields.string("body", 0..=MAX_BODY).map(str::to_owned);
            let query = fields.string("query", 0..=MAX_QUERY).map(str::to_owned);
            let headers = read_headers(&mut fields);
            let response = fields.string("agent_response", 1..=MAX_RESPONSE);
            let what = match (payload, bytes) {
                (Some(payload), None) => {
                    if query.is_some() {
                        fields.refuse("query", "goes with `body`");
                    }
                    What::Payload(payload)
                }
                (None, Some(body)) => {
                    refuse_foreign_query(&fields, query.as_deref());
                    What::Bytes { body, query }
                }
                (Some(payload), Some(_)) => {
                    fields.refuse("body", "must not be there beside `payload`");
                    What::Payload(payload)
                }
                (None, None) => {
                    fields.refuse("payload", "is required, or else `body`");
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
    // Curl says so too, but who gives a body of JSON should not have to.
    if !headers.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    headers
}

/// The shape of the body.
pub(in super::super) fn body_schema() -> Value {
    let headers = json!({
        "type": "object",
        "maxProperties": MAX_HEADERS,
        "propertyNames": { "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$" },
        "additionalProperties": { "type": "string", "pattern": "^[\\t -~]*$" },
        "description": "Without a `Content-Type` it is `application/json`.",
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

    #[test]
    fn it_is_a_payload_or_bytes() {
        let sample = Sample::read(&json!({"payload": {"a": 1}})).unwrap();
        assert!(matches!(sample.what, What::Payload(payload) if payload == json!({"a": 1})));
        assert_eq!(sample.agent_response, USUAL_RESPONSE);
        let bytes = json!({"body": "a=1", "query": "b=2", "headers": {"Content-Type": "text/x"}});
        let sample = Sample::read(&bytes).unwrap();
        assert!(matches!(sample.what, What::Bytes { query: Some(query), .. } if query == "b=2"));
        assert_eq!(sample.headers.get(CONTENT_TYPE).unwrap(), "text/x");
        Sample::read(&body_example()).unwrap();
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
            assert_eq!(Sample::read(&bad).unwrap_err().problem(), Problem::InvalidInput, "{bad}");
        }
    }
}
