//! Ways in for the fuzz targets (`fuzz/`): the steps of a request that need no server, as thin
//! functions. Compiled with `--cfg fuzzing` only, which cargo-fuzz sets.

use std::collections::HashMap;

use actix_web::http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use chrono::{DateTime, Utc};
use recado_clock::ManualClock;
use recado_types::trigger::{self, TriggerConfig};
use recado_types::{AgentId, ProjectId, TenantId, TriggerId};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::auth::{Keys, Received};
use crate::channel::{Arrival, Challenge, Incoming};
use crate::message;
use crate::payload::{self, PayloadLimits, form};
use crate::public_url::PublicUrl;
use crate::refusal::Refusal;
use crate::trigger::{CompiledTrigger, Owner};

/// Where every [`Request`] goes.
pub const PUBLIC_URL: &str = "https://recado.example.com";

/// What a body may hold.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// The levels of JSON.
    pub depth: usize,
    /// The fields of JSON.
    pub fields: usize,
    /// The fields of a form.
    pub form_fields: usize,
}

/// Reads a body as `Content-Type` says; `Err` says why it is refused.
///
/// # Errors
/// What the sender would be told.
pub fn parse_body(
    content_type: Option<&str>,
    body: &[u8],
    accepts_text: bool,
    limits: BodyLimits,
) -> Result<Value, String> {
    let limits = PayloadLimits {
        json_depth: limits.depth,
        json_fields: limits.fields,
        form_fields: limits.form_fields,
    };
    payload::parse(content_type, body, accepts_text, limits).map_err(told)
}

/// The fields of a form with at most `most` of them, in order.
pub fn form_fields(body: &[u8], most: usize) -> Option<Vec<(String, String)>> {
    form::pairs(body, most).ok()
}

/// A request, already received.
#[derive(Debug)]
pub struct Request {
    public_url: PublicUrl,
    path_and_query: String,
    headers: HeaderMap,
    body: Vec<u8>,
    at: DateTime<Utc>,
}

impl Request {
    /// A request to [`PUBLIC_URL`] and `path_and_query`, at a time in Unix seconds. Headers that
    /// HTTP does not allow are left out: no server would pass them on.
    pub fn new(
        path_and_query: &str,
        headers: &[(impl AsRef<[u8]>, impl AsRef<[u8]>)],
        body: &[u8],
        at: i64,
    ) -> Self {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_ref());
            let value = HeaderValue::from_bytes(value.as_ref());
            if let (Ok(name), Ok(value)) = (name, value) {
                map.append(name, value);
            }
        }
        Self {
            public_url: PUBLIC_URL.parse().expect("the constant is a URL"),
            path_and_query: path_and_query.to_owned(),
            headers: map,
            body: body.to_vec(),
            at: DateTime::from_timestamp(at, 0).unwrap_or_default(),
        }
    }

    fn received(&self) -> Received<'_> {
        Received {
            public_url: &self.public_url,
            path_and_query: &self.path_and_query,
            headers: &self.headers,
            body: &self.body,
            at: self.at,
            limits: PayloadLimits::default(),
        }
    }

    /// Its body, read within the limits that an operator has by default.
    ///
    /// # Errors
    /// What the sender would be told.
    pub fn payload(&self) -> Result<Value, String> {
        let content_type = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        payload::parse(content_type, &self.body, true, PayloadLimits::default()).map_err(told)
    }
}

/// What a message became.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// What the agent is asked.
    pub text: String,
    /// What the trigger took from the payload.
    pub context: Map<String, Value>,
}

/// A trigger whose every secret has the same value.
#[derive(Debug)]
pub struct Trigger(CompiledTrigger);

impl Trigger {
    /// A trigger with a valid configuration.
    pub fn new(config: TriggerConfig, secret: &str) -> Self {
        let own_keys = Keys::own(secret, None);
        let named: HashMap<_, _> = config
            .channel
            .iter()
            .flat_map(trigger::Channel::secret_refs)
            .map(|(_, name)| (name.to_owned(), secret.to_owned()))
            .collect();
        let owner = Owner {
            id: TriggerId(Uuid::from_u128(1)),
            tenant_id: TenantId(Uuid::from_u128(2)),
            project_id: ProjectId(Uuid::from_u128(3)),
            agent_id: AgentId(Uuid::from_u128(4)),
            enabled: true,
        };
        Self(CompiledTrigger::new(owner, config, own_keys, named))
    }

    /// Whether the channel takes the request for its provider's. One without rules takes none.
    pub fn is_authentic(&self, request: &Request) -> bool {
        self.0.channel.is_authentic(&request.received())
    }

    /// Whether a GET passes the channel's challenge.
    pub fn passes_challenge(&self, request: &Request) -> bool {
        matches!(self.0.channel.challenge(&request.received()), Challenge::Passed(_))
    }

    /// What becomes of a request with this payload: a message or a refusal for each that is in it.
    ///
    /// # Errors
    /// What the sender would be told, if all of the request is refused.
    pub fn messages(
        &self,
        request: &Request,
        payload: Value,
    ) -> Result<Vec<Result<Message, String>>, String> {
        match self.0.channel.interpret(&request.received(), payload).map_err(told)? {
            Arrival::Notice(_answer) => Ok(Vec::new()),
            Arrival::Messages(incoming) => {
                let message = |incoming| self.message(request, incoming).map_err(told);
                Ok(incoming.iter().map(message).collect())
            }
        }
    }

    fn message(&self, request: &Request, incoming: &Incoming) -> Result<Message, Refusal> {
        let context = message::context_of(&self.0.config.context_mapping, &incoming.payload)?;
        let clock = ManualClock::new(request.at);
        let made = message::normalise(&self.0, &request.headers, incoming, context, &clock)?;
        Ok(Message { text: made.text, context: made.context })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` passes")]
fn told(refusal: Refusal) -> String {
    refusal.to_string()
}
